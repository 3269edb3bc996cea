"""What may not overlap in time: pods of one name, holders of one replica, processes of one PID, memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from simnode import draws
from simnode.document import Value
from simnode.pods import Draft, Request
from simnode.world import Hold, Pod, ProcessSpec


def _overlap(start: int, end: int | None, other_start: int, other_end: int | None) -> bool:
    return (other_end is None or start < other_end) and (end is None or other_start < end)


def check_pod_names(pods: Iterable[Pod], places: dict[str, Value]) -> None:
    """A pod's name is unique in its namespace among the living."""
    seen: dict[tuple[str, str], list[Pod]] = defaultdict(list)
    for pod in pods:
        for other in seen[pod.namespace, pod.name]:
            if _overlap(pod.start_ns, pod.end_ns, other.start_ns, other.end_ns):
                places[pod.path].fail(
                    f"a pod {pod.namespace}/{pod.name} lives already then; rename one or end the first"
                )
        seen[pod.namespace, pod.name].append(pod)


def check_pids(draft: Draft) -> None:
    """A PID that the scenario names is one process's at a time; one process may work on several GPUs."""
    seen: dict[int, list[ProcessSpec]] = defaultdict(list)
    for spec, place in draft.specs:
        if spec.pid is None:
            continue
        for other in seen[spec.pid]:
            same_process = (
                spec.path.rpartition("/")[0] == other.path.rpartition("/")[0] and spec.gpu != other.gpu
            )
            if not same_process and _overlap(spec.start_ns, spec.end_ns, other.start_ns, other.end_ns):
                place.fail(f"PID {spec.pid} is another living process's; choose another or leave `pid` out")
        seen[spec.pid].append(spec)


def check_memory(draft: Draft) -> None:
    """The processes of a GPU never hold more memory than it has; a repeating entry counts throughout."""
    for gpu in draft.gpus:
        specs = [(spec, place) for spec, place in draft.specs if spec.gpu == gpu.index]
        for spec, place in specs:
            at = spec.start_ns
            held = sum(
                o.memory_mib for o, _ in specs if o.start_ns <= at and (o.end_ns is None or at < o.end_ns)
            )
            if held > gpu.memory_mib:
                place.fail(
                    f"the processes on GPU {gpu.index} hold {held} MiB when this one starts, "
                    f"and it has {gpu.memory_mib} MiB; lower a memory_mib"
                )


def assign_replicas(draft: Draft, pods: list[Pod]) -> list[Pod]:
    """The pods with the numbers of the replicas that they hold, drawn among the free ones at their start."""
    held: dict[str, list[Hold]] = defaultdict(list)
    for gpu in draft.gpus:
        taken: list[tuple[Request, tuple[int, ...]]] = []
        for request in sorted((r for r in draft.requests if r.gpu == gpu.index), key=lambda r: r.start_ns):
            blocked = {
                number
                for other, numbers in taken
                if other.end_ns is None or request.start_ns < other.end_ns
                for number in numbers
            }
            free = [number for number in range(gpu.replicas) if number not in blocked]
            if len(free) < request.count:
                raise_oversubscribed(request, gpu.replicas, len(blocked))
            numbers = []
            for turn in range(request.count):
                what = f"replica of gpu {gpu.index}, {turn}"
                numbers.append(free.pop(draws.integer(draft.seed, request.container, what, len(free))))
            taken.append((request, tuple(sorted(numbers))))
            held[request.container].append(Hold(gpu.index, tuple(sorted(numbers))))
    return [
        replace(pod, containers=tuple(replace(c, holds=tuple(held[c.path])) for c in pod.containers))
        for pod in pods
    ]


def raise_oversubscribed(request: Request, replicas: int, blocked: int) -> None:
    has = "one replica" if replicas == 1 else f"{replicas} replicas"
    request.place.fail(
        f"GPU {request.gpu} has {has}, {blocked} held at that time, and {request.count} more asked for; "
        "raise the GPU's `replicas` or end another pod before"
    )
