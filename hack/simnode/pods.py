"""Reads a node's pods, their containers and their processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from simnode import draws
from simnode.document import Value
from simnode.lives import LAST_PID
from simnode.patterns import read_busy
from simnode.world import Container, Gpu, Owner, Pod, ProcessSpec

CONTEXT_MIB = 500
"""What a process holds if the scenario does not say: about the size of a CUDA context."""


@dataclass(frozen=True, slots=True)
class Request:
    """That a container wants to hold some replicas of a GPU, before it is known which."""

    container: str
    gpu: int
    count: int
    start_ns: int
    end_ns: int | None
    place: Value


@dataclass(slots=True)
class Draft:
    """A node while it is read."""

    seed: int
    path: str
    gpus: tuple[Gpu, ...]
    requests: list[Request] = field(default_factory=list)
    specs: list[tuple[ProcessSpec, Value]] = field(default_factory=list)

    def gpu_index(self, value: Value, what: str) -> int:
        index = value.integer(what, 0)
        if index >= len(self.gpus):
            value.fail(f"{what} {index} does not exist; this node's GPUs are 0 to {len(self.gpus) - 1}")
        return index


def read_pods(entries: Value, draft: Draft, places: dict[str, Value]) -> list[Pod]:
    """The pods; a pod's path counts how often its name was used before, so that its draws are its own."""
    found: list[Pod] = []
    for entry in entries.items("pods"):
        keys = ("name", "namespace", "uid", "labels", "annotations", "owner", "start", "end", "containers")
        fields = entry.section("a pod", keys)
        for key in ("name", "namespace", "containers"):
            if key not in fields:
                entry.fail(f"a pod needs `{key}`")
        name = fields["name"].name("a pod's name")
        namespace = fields["namespace"].name("a pod's namespace")
        earlier = sum(pod.name == name and pod.namespace == namespace for pod in found)
        path = f"{draft.path}/pods/{namespace}/{name}/{earlier}"
        places[path] = entry
        start, end = _span(fields, "a pod's", 0, None)
        containers: list[Container] = []
        for place in fields["containers"].items("containers", 1):
            container = _container(place, draft, path, start, end)
            if any(other.name == container.name for other in containers):
                place.fail(f"this pod has a container {container.name} already; names must differ in a pod")
            containers.append(container)
        uid = (
            fields["uid"].text("a pod's uid")
            if "uid" in fields
            else draws.lower_uuid(draft.seed, path, "uid")
        )
        empty = MappingProxyType[str, str]({})
        labels = fields["labels"].text_map("labels") if "labels" in fields else empty
        annotations = fields["annotations"].text_map("annotations") if "annotations" in fields else empty
        owner = _owner(fields.get("owner"))
        found.append(
            Pod(path, name, namespace, uid, labels, annotations, owner, start, end, tuple(containers))
        )
    return found


def _span(fields: dict[str, Value], whose: str, origin: int, last: int | None) -> tuple[int, int | None]:
    """Start and end from the simulation's start; the file counts from origin, last is the end by default."""
    start = origin
    if "start" in fields:
        start += fields["start"].offset(f"{whose} start")
        if start < origin:
            fields["start"].fail(f"{whose} start must not be negative")
    end = last
    if "end" in fields:
        end = origin + fields["end"].offset(f"{whose} end")
        if last is not None and end > last:
            fields["end"].fail(f"{whose} end is after its pod's end; nothing outlives its pod")
    if end is not None and end <= start:
        fields.get("end", fields.get("start", next(iter(fields.values())))).fail(
            f"{whose} end must be after its start"
        )
    return start, end


def _owner(entry: Value | None) -> Owner | None:
    if entry is None or entry.is_null():
        return None
    if not entry.is_mapping():
        entry.choice("owner", ("none",))
        return None
    fields = entry.section("owner", ("kind", "name"))
    for key in ("kind", "name"):
        if key not in fields:
            entry.fail(f"an owner needs `{key}`; a pod without an owner has `owner: none` or no such key")
    kind = fields["kind"].choice("an owner's kind", ("Deployment", "StatefulSet", "Job", "DaemonSet"))
    return Owner(kind, fields["name"].name("an owner's name"))


def _container(entry: Value, draft: Draft, pod: str, start: int, end: int | None) -> Container:
    fields = entry.section("a container", ("name", "id", "gpus", "processes"))
    if "name" not in fields:
        entry.fail("a container needs `name`")
    name = fields["name"].name("a container's name")
    path = f"{pod}/containers/{name}"
    id_ = draws.hexadecimal(draft.seed, path, "id")
    if "id" in fields:
        id_ = fields["id"].matching("a container's id", "[0-9a-f]{64}", "64 hexadecimal digits in lower case")
    seen: set[int] = set()
    for hold in fields["gpus"].items("gpus") if "gpus" in fields else []:
        index, count = _hold(hold, draft)
        if index in seen:
            hold.fail(f"this container holds GPU {index} already; write {{gpu: {index}, replicas: N}} once")
        seen.add(index)
        draft.requests.append(Request(path, index, count, start, end, hold))
    items = fields["processes"].items("processes") if "processes" in fields else []
    processes = tuple(
        read_process(item, draft, f"{path}/processes/{i}", start, end) for i, item in enumerate(items)
    )
    return Container(path, name, id_, (), processes)


def _hold(entry: Value, draft: Draft) -> tuple[int, int]:
    if not entry.is_mapping():
        return draft.gpu_index(entry, "GPU"), 1
    fields = entry.section("a held GPU", ("gpu", "replicas"))
    if "gpu" not in fields:
        entry.fail("a held GPU needs `gpu`, its place in the node's list")
    index = draft.gpu_index(fields["gpu"], "GPU")
    return index, fields["replicas"].integer("replicas", 1) if "replicas" in fields else 1


def read_process(entry: Value, draft: Draft, path: str, origin: int, last: int | None) -> ProcessSpec:
    """One entry under `processes` or `host_processes`; its times count from origin."""
    keys = ("gpu", "pid", "start", "end", "every", "for", "memory_mib", "busy")
    fields = entry.section("a process", keys)
    if "gpu" not in fields:
        entry.fail("a process needs `gpu`, the place of its GPU in the node's list")
    gpu = draft.gpu_index(fields["gpu"], "GPU")
    start, end = _span(fields, "a process's", origin, last)
    every = fields["every"].offset("every") if "every" in fields else None
    length = fields["for"].offset("for") if "for" in fields else None
    if (every is None) != (length is None):
        entry.fail("`every` and `for` belong together: a new process `every` so often, each `for` so long")
    if every is not None and length is not None:
        if length < 1_000_000:
            fields["for"].fail("for must be at least 1ms")
        if every < length:
            fields["every"].fail(
                "every must not be shorter than for: an entry has one living process at a time"
            )
        if "pid" in fields:
            fields["pid"].fail("each process of `every` has a new PID; leave `pid` out")
    pid = fields["pid"].integer("pid", 2, LAST_PID) if "pid" in fields else None
    memory = fields["memory_mib"].integer("memory_mib", 0) if "memory_mib" in fields else CONTEXT_MIB
    busy = read_busy(fields.get("busy"))
    spec = ProcessSpec(path, gpu, pid, len(draft.specs), start, end, every, length, memory, busy)
    draft.specs.append((spec, entry))
    return spec
