"""What may not overlap in time: pods of one name, processes of one PID, memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from simnode.document import Value
from simnode.holdings import Draft
from simnode.world import Pod, ProcessSpec


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
    """No GPU or GPU instance has less memory than its processes hold; a repeating entry counts throughout."""
    for gpu in draft.gpus:
        specs = [(spec, place) for spec, place in draft.specs if spec.gpu == gpu.index]
        for spec, place in specs:
            at = spec.start_ns
            held = sum(
                o.memory_mib
                for o, _ in specs
                if o.gi == spec.gi and o.start_ns <= at and (o.end_ns is None or at < o.end_ns)
            )
            what, has = f"GPU {gpu.index}", gpu.memory_mib
            layout = gpu.layout(at) if spec.gi is not None else None
            for instance in layout.instances if layout else ():
                if instance.gi == spec.gi:
                    what, has = f"instance {instance.gi} of GPU {gpu.index}", instance.memory_mib
            if held > has:
                place.fail(
                    f"the processes on {what} hold {held} MiB when this one starts, "
                    f"and it has {has} MiB; lower a memory_mib"
                )
