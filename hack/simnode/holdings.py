"""Reads what containers hold, and says for how long they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from simnode.document import Value
from simnode.engines import timeline
from simnode.world import Claim, Container, Gpu, Hold, ListedId, Node, Pod, ProcessSpec


@dataclass(frozen=True, slots=True)
class Device:
    """What can be held, as it is at one time: a GPU, or one of its compute instances from its making to its end."""

    gpu: int
    gi: int | None
    ci: int | None
    mig_uuid: str
    number: int  # of the compute instance among all of the GPU's; 0: the whole GPU
    replicas: int
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class Request:
    """That a container wants to hold some replicas of a device, before it is known which."""

    pod: str
    container: str
    kind: str
    device: Device
    count: int
    share: Fraction
    start_ns: int
    end_ns: int | None
    place: Value
    hidden: bool = False
    ids: tuple[str, ...] = ()
    resource: str | None = None
    claim: Claim | None = None


@dataclass(slots=True)
class Draft:
    """A node while it is read."""

    seed: int
    path: str
    gpus: tuple[Gpu, ...]
    claims: tuple[Claim, ...] = ()
    requests: list[Request] = field(default_factory=list)
    specs: list[tuple[ProcessSpec, Value]] = field(default_factory=list)

    def gpu_index(self, value: Value, what: str) -> int:
        index = value.integer(what, 0)
        if index >= len(self.gpus):
            value.fail(f"{what} {index} does not exist; this node's GPUs are 0 to {len(self.gpus) - 1}")
        return index

    def device(self, place: Value, gpu: int, gi: int | None, ci: int | None, at_ns: int) -> Device:
        """The device at an instant; refuses one that is not there then."""
        lives, facts = timeline(self.gpus[gpu]), self.gpus[gpu]
        when = f"at {at_ns / 10**9:g}s"
        if gi is None:
            if facts.layout(at_ns):
                place.fail(f"GPU {gpu} is partitioned {when}; name an instance by `gi`")
            return Device(gpu, None, None, "", 0, facts.replicas, lives.whole_until(at_ns))
        engine = lives.engine(gi, ci or 0, at_ns)
        if not engine:
            place.fail(f"GPU {gpu} has no compute instance {ci or 0} of a GPU instance {gi} {when}")
        part = engine.part
        return Device(gpu, gi, part.ci, part.uuid, engine.number, part.replicas, engine.end_ns)


def earlier(one: int | None, other: int | None) -> int | None:
    """Of two ends the earlier; None is never."""
    return other if one is None else one if other is None else min(one, other)


def instance_of(fields: dict[str, Value]) -> tuple[int | None, int | None]:
    """The keys `gi` and `ci`, which is 0 by default."""
    gi = fields["gi"].integer("gi", 0) if "gi" in fields else None
    if gi is None and "ci" in fields:
        fields["ci"].fail("`ci` needs `gi`, the GPU instance that it is in")
    ci = fields["ci"].integer("ci", 0) if "ci" in fields else 0
    return gi, None if gi is None else ci


def read_hold(
    entry: Value, draft: Draft, container: tuple[str, str, str], span: tuple[int, int | None]
) -> Request:
    """One entry under `gpus`; container is its pod's path, its own, and its kind."""
    start, end = span
    fields: dict[str, Value] = {"gpu": entry}
    if entry.is_mapping():
        keys = ("gpu", "gi", "ci", "replicas", "share", "hidden", "ids", "resource")
        fields = entry.section("a held GPU", keys)
        if "gpu" not in fields:
            entry.fail("a held GPU needs `gpu`, its place in the node's list")
    gpu = draft.gpu_index(fields["gpu"], "GPU")
    gi, ci = instance_of(fields)
    device = draft.device(entry, gpu, gi, ci, start)
    share = Fraction(1)
    if "share" in fields:
        share = fields["share"].number("share", 0, 1, above=True)
    ids = fields["ids"].items("ids") if "ids" in fields else []
    return Request(
        *container,
        device,
        fields["replicas"].integer("replicas", 1) if "replicas" in fields else 1,
        share,
        start,
        earlier(end, device.end_ns),
        entry,
        hidden=fields["hidden"].boolean("hidden") if "hidden" in fields else False,
        ids=tuple(value.text("an id") for value in ids),
        resource=fields["resource"].text("resource") if "resource" in fields else None,
    )


def read_listed(entries: Value | None) -> tuple[ListedId, ...]:
    found: list[ListedId] = []
    for entry in entries.items("ids") if entries else []:
        fields = entry.section("a listed id", ("resource", "id"))
        if "id" not in fields:
            entry.fail("a listed id needs `id`")
        resource = fields["resource"].text("resource") if "resource" in fields else "nvidia.com/gpu"
        found.append(ListedId(resource, fields["id"].text("id")))
    return tuple(found)


def claimed(
    entries: Value | None,
    draft: Draft,
    namespace: str,
    container: tuple[str, str, str],
    span: tuple[int, int | None],
) -> tuple[tuple[str, ...], list[Request]]:
    """The names of the claims that a container refers to, and what it holds by them."""
    names: list[str] = []
    requests: list[Request] = []
    for entry in entries.items("claims") if entries else []:
        name = entry.text("a claim's name")
        claim = next((c for c in draft.claims if (c.namespace, c.name) == (namespace, name)), None)
        if not claim:
            entry.fail(f"the node has no claim {name} in the namespace {namespace}; add it to its `claims`")
        if name in names:
            entry.fail(f"this container refers to the claim {name} already")
        names.append(name)
        for one in claim.devices:
            device = draft.device(entry, one.gpu, one.gi, one.ci, span[0])
            end = earlier(span[1], device.end_ns)
            requests.append(
                Request(*container, device, device.replicas, Fraction(1), span[0], end, entry, claim=claim)
            )
    return tuple(names), requests


def held_span(node: Node, pod: Pod, container: Container, hold: Hold) -> tuple[int, int | None]:
    """
    When a container holds a device, from the simulation's start.

    From its pod's start to the end of all its pod's containers, or of the device. What an init container holds goes
    at its own end to the later containers of its pod that hold the same.
    """
    end = earlier(pod.last_ns, _device_end(node.gpus[hold.gpu], hold, pod.start_ns))
    device = (hold.gpu, hold.gi, hold.ci)
    same = [c for c in pod.containers if any((h.gpu, h.gi, h.ci) == device for h in c.holds)]
    inits = [c for c in same if c.kind != "container"]
    before = inits[: inits.index(container)] if container in inits else inits
    start = max((c.end_ns or 0 for c in before if c.kind == "init"), default=pod.start_ns)
    handed_on = container.kind == "init" and same[-1] is not container
    return start, earlier(container.end_ns, end) if handed_on else end


def _device_end(gpu: Gpu, hold: Hold, at_ns: int) -> int | None:
    if hold.gi is None:
        return timeline(gpu).whole_until(at_ns)
    engine = timeline(gpu).engine(hold.gi, hold.ci or 0, at_ns)
    return engine.end_ns if engine else at_ns
