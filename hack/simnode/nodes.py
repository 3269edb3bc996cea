"""Reads one node of a scenario: its driver, its GPUs, and its pods by way of pods.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from simnode import draws
from simnode.boards import BOARDS, board
from simnode.document import Value
from simnode.overlaps import assign_replicas, check_memory, check_pids
from simnode.pods import Draft, read_pods, read_process
from simnode.world import Cgroup, Driver, Gpu, Node

MOST_GPUS = 64
"""As many as the library has handles for."""

_KEYS = (
    "name",
    "booted",
    "instance_type",
    "region",
    "labels",
    "annotations",
    "driver",
    "cgroup",
    "gpus",
    "pods",
    "host_processes",
)
_UUID = "GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(slots=True)
class ClusterDraft:
    """A cluster while it is read: places of its pods by path, and of the UUIDs of the whole scenario."""

    seed: int
    name: str
    path: str
    uuids: dict[str, Value]
    pods: dict[str, Value] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def read_node(entry: Value, cluster: ClusterDraft) -> Node:
    """The node, its pods with the replicas that they hold."""
    seed = cluster.seed
    fields = entry.section("a node", _KEYS)
    for key in ("name", "gpus"):
        if key not in fields:
            entry.fail(f"a node needs `{key}`")
    name = fields["name"].name("a node's name")
    if name in cluster.names:
        fields["name"].fail(f"there is a node {name} already; names of nodes must differ in a cluster")
    cluster.names.add(name)
    path = f"{cluster.path}/nodes/{name}"
    booted = fields["booted"].offset("booted") if "booted" in fields else 0
    if booted > 0:
        fields["booted"].fail("booted must not be after the start; write a negative time such as -30m")
    gpus = _gpus(fields["gpus"], seed, path, cluster.uuids)
    draft = Draft(seed, path, gpus)
    pods = read_pods(fields["pods"], draft, cluster.pods) if "pods" in fields else []
    hosts = fields["host_processes"].items("host_processes") if "host_processes" in fields else []
    host_processes = tuple(
        read_process(host, draft, f"{path}/host_processes/{i}", 0, None) for i, host in enumerate(hosts)
    )
    check_pids(draft)
    check_memory(draft)
    pods = assign_replicas(draft, pods)
    empty = MappingProxyType[str, str]({})
    return Node(
        path=path,
        cluster=cluster.name,
        name=name,
        uid=draws.lower_uuid(seed, path, "uid"),
        booted_ns=booted,
        instance_type=fields["instance_type"].text("instance_type") if "instance_type" in fields else None,
        region=fields["region"].text("region") if "region" in fields else None,
        labels=fields["labels"].text_map("labels") if "labels" in fields else empty,
        annotations=fields["annotations"].text_map("annotations") if "annotations" in fields else empty,
        driver=_driver(fields.get("driver")),
        cgroup=_cgroup(fields.get("cgroup")),
        gpus=gpus,
        pods=tuple(pods),
        host_processes=host_processes,
        pid_base=draws.integer(seed, path, "pids", 900_000),
        pid_stride=max(1, len(draft.specs)),
        pids_taken=tuple(sorted({spec.pid for spec, _ in draft.specs if spec.pid is not None})),
    )


def _driver(entry: Value | None) -> Driver:
    keys = ("version", "sample_period_ms", "ring_depth", "owner", "rounding", "turn_ms")
    fields = entry.section("driver", keys) if entry else {}
    get = fields.get
    version, period, depth = get("version"), get("sample_period_ms"), get("ring_depth")
    owner, rounding, turn = get("owner"), get("rounding"), get("turn_ms")
    period_ns = period.milliseconds("sample_period_ms") if period else 167_000_000
    if period and not 10**6 <= period_ns <= 4 * 10**9:
        period.fail("sample_period_ms must be from 1 to 4000")
    turn_ns = turn.milliseconds("turn_ms") if turn else 2_000_000
    if turn and turn_ns < 10_000:
        turn.fail("turn_ms must be at least 0.01; shorter turns would cost the simulator a core")
    version_pattern = r"\d{3}\.\d{1,3}(?:\.\d{1,2})?"
    return Driver(
        version=version.matching("version", version_pattern, "570.86.15") if version else "570.86.15",
        sample_period_ns=period_ns,
        ring_depth=depth.integer("ring_depth", 1, 4096) if depth else 72,
        owner=owner.choice("owner", ("proportional", "last", "instant", "longest"))
        if owner
        else "proportional",
        rounding=rounding.choice("rounding", ("down", "nearest")) if rounding else "down",
        turn_ns=turn_ns,
    )


def _cgroup(entry: Value | None) -> Cgroup:
    fields = entry.section("cgroup", ("version", "driver", "runtime")) if entry else {}
    version, driver, runtime = fields.get("version"), fields.get("driver"), fields.get("runtime")
    return Cgroup(
        version=version.integer("version", 1, 2) if version else 2,
        driver=driver.choice("driver", ("systemd", "cgroupfs")) if driver else "systemd",
        runtime=runtime.choice("runtime", ("containerd", "crio", "docker")) if runtime else "containerd",
    )


def _gpus(entries: Value, seed: int, path: str, uuids: dict[str, Value]) -> tuple[Gpu, ...]:
    found: list[Gpu] = []
    items = entries.items("gpus", 1)
    if len(items) > MOST_GPUS:
        items[MOST_GPUS].fail(f"a node has at most {MOST_GPUS} GPUs")
    for index, entry in enumerate(items):
        keys = ("model", "uuid", "minor", "memory_mib", "replicas", "idle_watts", "busy_watts")
        fields = entry.section("a GPU", keys)
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
        idle = fields["idle_watts"].number("idle_watts", 0, 10_000) if "idle_watts" in fields else 70
        busy = (
            fields["busy_watts"].number("busy_watts", 0, 10_000) if "busy_watts" in fields else max(600, idle)
        )
        if busy < idle:
            fields.get("busy_watts", entry).fail("busy_watts must not be below idle_watts")
        uuid = "GPU-" + draws.lower_uuid(seed, f"{path}/gpus/{index}", "uuid")
        if "uuid" in fields:
            uuid = fields["uuid"].matching("uuid", _UUID, "GPU-5a5a7118-e550-79a1-597e-7631e126c57a")
        if uuid in uuids:
            fields.get("uuid", entry).fail(f"{uuid} is another GPU's; UUIDs must differ")
        uuids[uuid] = entry
        replicas = fields["replicas"].integer("replicas", 1, 1024) if "replicas" in fields else 1
        found.append(Gpu(index, model, uuid, minor, memory, replicas, int(idle * 1000), int(busy * 1000)))
    return tuple(found)
