"""What a scenario says of its GPUs, as far as theory and modes need it. Times are nanoseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import yaml

from demo.audit.scenario import NEVER, Driver, Who, Work, milliseconds_ns, offset_ns

AMPERE, HOPPER = "ampere", "hopper"
_HOPPER = re.compile(r"\b(H100|H200|H20|GH200|B100|B200|GB200|B300)\b")
_PROFILE = re.compile(r"(\d+)g\.(\d+)gb")
_MEMORY_GB = re.compile(r"(\d+)GB")
_PROCESS_CALL = "nvmlDeviceGetProcessUtilization"


@dataclass(frozen=True, slots=True)
class Instance:
    """A GPU instance: its profile, its part of the GPU, and of each compute instance its slices and its replicas."""

    gi: int
    profile: str
    weight: Fraction
    slices: int
    parts: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a GPU is cut from one instant to another; *instances* is None for a whole GPU."""

    begin_ns: int
    end_ns: int
    instances: tuple[Instance, ...] | None


@dataclass(frozen=True, slots=True)
class Job:
    """An entry of processes: on which instance it works, if any, whose it is, and what it wants."""

    work: Work
    owner: tuple[str, str, str, int]
    """Namespace, pod, container, and when the pod begins; all empty for the host's."""

    gi: int | None
    ci: int | None
    threads: float


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """One board, and what its node's driver and exporter are like."""

    uuid: str
    cluster: str
    node: str
    driver: Driver
    architecture: str
    dcgm_interval_ns: int | None
    sharing: str
    has_accounting: bool
    tells_processes: bool
    layouts: tuple[Layout, ...]
    jobs: tuple[Job, ...]
    is_hami: bool
    is_kai: bool
    has_init: bool

    def layout_at(self, instant_ns: int) -> Layout:
        """The layout of an instant."""
        return next(each for each in self.layouts if each.begin_ns <= instant_ns < each.end_ns)


def read(text: str, run: Mapping[str, Any]) -> dict[str, GpuPlan]:
    """The GPUs of a scenario by UUID; *run* is the first line of the simulator's record."""
    document = yaml.safe_load(text)
    boards = {(node["cluster"], node["node"]): node["gpus"] for node in run["nodes"]}
    found = {}
    for cluster in document["clusters"]:
        for node in cluster["nodes"]:
            uuids = [board["gpu_uuid"] for board in boards[cluster["name"], node["name"]]]
            for place, uuid in enumerate(uuids):
                found[uuid] = _gpu(cluster["name"], node, (place, uuid), run["start_ns"])
    return found


def _gpu(cluster: str, node: Mapping[str, Any], board: tuple[int, str], began_ns: int) -> GpuPlan:
    place, uuid = board
    gpu, driver, dcgm = node["gpus"][place], node.get("driver") or {}, node.get("dcgm")
    pods = [pod for pod in node.get("pods") or () if _is_on(pod, place)]
    silent = [*(driver.get("unsupported") or ()), *(gpu.get("unsupported") or ())]
    return GpuPlan(
        uuid=uuid,
        cluster=cluster,
        node=node["name"],
        driver=Driver(
            milliseconds_ns(driver.get("sample_period_ms", 167)),
            driver.get("owner", "proportional"),
            driver.get("rounding", "down"),
            milliseconds_ns(driver.get("turn_ms", 2)),
        ),
        architecture=HOPPER if _HOPPER.search(gpu["model"]) and driver.get("gpm", True) else AMPERE,
        dcgm_interval_ns=None if dcgm is None else offset_ns(dcgm.get("interval", "30s")),
        sharing=gpu.get("sharing", "time_slicing"),
        has_accounting=bool(gpu.get("accounting", driver.get("accounting", False))),
        tells_processes=not any(part in _PROCESS_CALL for part in silent),
        layouts=tuple(_layouts(gpu, began_ns)),
        jobs=tuple(_jobs(node, place, began_ns)),
        is_hami=any("hami.io/vgpu-devices-allocated" in (pod.get("annotations") or {}) for pod in pods),
        is_kai=any("gpu-fraction" in (pod.get("annotations") or {}) for pod in pods),
        has_init=any(each.get("kind") == "init" for pod in pods for each in pod["containers"]),
    )


def _is_on(pod: Mapping[str, Any], place: int) -> bool:
    held = [each for container in pod["containers"] for each in container.get("gpus") or ()]
    return any((each["gpu"] if isinstance(each, Mapping) else each) == place for each in held)


def _layouts(gpu: Mapping[str, Any], began_ns: int) -> Iterator[Layout]:
    cuts = [(began_ns + offset_ns(each.get("at", 0)), each) for each in gpu.get("mig") or ()]
    ends = [at for at, _ in cuts] + [NEVER]
    yield Layout(0, ends[0], None)
    for (at, entry), end in zip(cuts, ends[1:], strict=True):
        instances = None if entry.get("off") else tuple(_instances(gpu["model"], entry["instances"]))
        yield Layout(at, end, instances)


def _instances(model: str, entries: list[Mapping[str, Any]]) -> Iterator[Instance]:
    found = [_instance(model, entry) for entry in entries]
    whole = sum(each.weight for each in found)
    for each in found:
        # More than one GPU is scaled down to it; less leaves a remainder.
        weight = each.weight / whole if whole > 1 else each.weight
        yield Instance(each.gi, each.profile, weight, each.slices, each.parts)


def _instance(model: str, entry: Mapping[str, Any]) -> Instance:
    compute, memory_gb = (int(number) for number in _PROFILE.match(entry["profile"]).groups())  # type: ignore[union-attr]
    slices, size = int(entry.get("slices", compute)), entry.get("size")
    all_slices, all_memory = (4, 4) if "A30" in model else (7, 8)
    if size is None:
        size = _memory_slices(model, memory_gb, all_memory)
    parts = {
        int(part.get("ci", place)): (int(part.get("slices", slices)), int(part.get("replicas", 1)))
        for place, part in enumerate(entry.get("compute_instances", [{}]))
    }
    weight = max(Fraction(slices, all_slices), Fraction(int(size), all_memory))
    return Instance(int(entry["gi"]), entry["profile"], weight, slices, parts)


def _memory_slices(model: str, memory_gb: int, slices: int) -> int:
    """A profile's gigabytes are the board's, divided by its slices and rounded down."""
    board = _MEMORY_GB.search(model)
    whole = (
        int(board.group(1))
        if board
        else {"A30": 24, "H100 NVL": 94, "H100 PCIe": 80, "H200": 141, "B200": 180}[
            next(name for name in ("A30", "H100 NVL", "H100 PCIe", "H200", "B200") if name in model)
        ]
    )
    return max(1, min(slices, round(memory_gb * slices / whole)))


def _jobs(node: Mapping[str, Any], place: int, began_ns: int) -> Iterator[Job]:
    for entry in node.get("host_processes") or ():
        if entry["gpu"] == place:
            yield _job(entry, ("", "", "", 0), (began_ns, began_ns, NEVER))
    for pod in node.get("pods") or ():
        origin = began_ns + offset_ns(pod.get("start", 0))
        last = began_ns + offset_ns(pod["end"]) if "end" in pod else NEVER
        if "finished" in pod:
            last = origin + offset_ns(pod["finished"])
        first = origin
        for container in sorted(
            pod["containers"], key=lambda each: each.get("kind", "container") == "container"
        ):
            begin = origin + offset_ns(container["start"]) if "start" in container else first
            end = origin + offset_ns(container["end"]) if "end" in container else last
            if container.get("kind") == "init":
                first = end
            owner = (pod["namespace"], pod["name"], container["name"], origin)
            for entry in container.get("processes") or ():
                if entry["gpu"] == place:
                    yield _job(entry, owner, (origin, begin, end))


def _job(entry: Mapping[str, Any], owner: tuple[str, str, str, int], life: tuple[int, int, int]) -> Job:
    origin, first, last = life
    work = Work(
        Who("work", *owner[:3]),
        origin + offset_ns(entry["start"]) if "start" in entry else first,
        origin + offset_ns(entry["end"]) if "end" in entry else last,
        entry.get("busy") or {"pattern": "none"},
        offset_ns(entry["every"]) if "every" in entry else None,
        offset_ns(entry["for"]) if "for" in entry else 0,
    )
    gi = entry.get("gi")
    return Job(work, owner, gi, None if gi is None else entry.get("ci", 0), float(entry.get("threads", 1)))
