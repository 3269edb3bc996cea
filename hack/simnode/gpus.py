"""Reads a node's GPUs."""

from __future__ import annotations

from simnode import draws
from simnode.boards import BOARDS, UNKNOWN, board
from simnode.document import Value
from simnode.partitions import Plan, id_template, read_layouts
from simnode.surroundings import read_symbols
from simnode.world import Gpu, Layout

MOST_GPUS = 64
"""As many as the library has handles for."""

_KEYS = (
    "model",
    "uuid",
    "minor",
    "memory_mib",
    "replicas",
    "idle_watts",
    "busy_watts",
    "sharing",
    "resource",
    "id",
    "mig",
    "accounting",
    "unsupported",
)
_UUID = "GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def read_gpus(entries: Value, seed: int, path: str, uuids: dict[str, Value]) -> tuple[Gpu, ...]:
    found: list[Gpu] = []
    items = entries.items("gpus", 1)
    if len(items) > MOST_GPUS:
        items[MOST_GPUS].fail(f"a node has at most {MOST_GPUS} GPUs")
    for index, entry in enumerate(items):
        fields = entry.section("a GPU", _KEYS)
        if "model" not in fields:
            entry.fail(f"a GPU needs `model`, as NVML spells it, such as {next(iter(BOARDS))}")
        model = fields["model"].text("model")
        if len(model.encode()) > 95:
            fields["model"].fail("model must be at most 95 bytes long")
        memory = board(model).memory_mib
        if "memory_mib" in fields:
            memory = fields["memory_mib"].integer("memory_mib", 1, 2**24)
        if memory is None:
            entry.fail(f"the memory of {model!r} is not known; add `memory_mib`")
        minor = fields["minor"].integer("minor", 0, 255) if "minor" in fields else index
        if any(gpu.minor == minor for gpu in found):
            fields.get("minor", entry).fail(f"minor {minor} is another GPU's; minors of a node must differ")
        idle, busy = _watts(fields, entry)
        uuid = "GPU-" + draws.lower_uuid(seed, f"{path}/gpus/{index}", "uuid")
        if "uuid" in fields:
            uuid = fields["uuid"].matching("uuid", _UUID, "GPU-5a5a7118-e550-79a1-597e-7631e126c57a")
        if uuid in uuids:
            fields.get("uuid", entry).fail(f"{uuid} is another GPU's; UUIDs must differ")
        uuids[uuid] = entry
        replicas = fields["replicas"].integer("replicas", 1, 1024) if "replicas" in fields else 1
        sharing = "time_slicing"
        if "sharing" in fields:
            sharing = fields["sharing"].choice("sharing", ("time_slicing", "mps"))
        found.append(
            Gpu(
                index=index,
                model=model,
                uuid=uuid,
                minor=minor,
                memory_mib=memory,
                replicas=replicas,
                idle_milliwatts=idle,
                busy_milliwatts=busy,
                sharing=sharing,
                resource=fields["resource"].text("resource") if "resource" in fields else "nvidia.com/gpu",
                id=id_template(fields["id"], False, replicas) if "id" in fields else "",
                accounting=fields["accounting"].boolean("accounting") if "accounting" in fields else None,
                unsupported=read_symbols(fields.get("unsupported")),
                layouts=_layouts(fields, Plan(index, model, f"{path}/gpus/{index}", seed, uuids, entry)),
            )
        )
    return tuple(found)


def _watts(fields: dict[str, Value], entry: Value) -> tuple[int, int]:
    idle = fields["idle_watts"].number("idle_watts", 0, 10_000) if "idle_watts" in fields else 70
    busy = fields["busy_watts"].number("busy_watts", 0, 10_000) if "busy_watts" in fields else max(600, idle)
    if busy < idle:
        fields.get("busy_watts", entry).fail("busy_watts must not be below idle_watts")
    return int(idle * 1000), int(busy * 1000)


def _layouts(fields: dict[str, Value], plan: Plan) -> tuple[Layout, ...]:
    if "mig" not in fields:
        return ()
    known = board(plan.model)
    if known is not UNKNOWN and not known.mig_capable:
        fields["mig"].fail(f"{plan.model} cannot be partitioned; leave `mig` out")
    return read_layouts(fields["mig"], plan)
