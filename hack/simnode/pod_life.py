"""When a node's pods are there, hold what was allocated to them, and run their containers. Pure."""

from __future__ import annotations

from simnode.world import Container, Node, Pod

CONFIG_HASH = "kubernetes.io/config.hash"


def present(node: Node, now_ns: int) -> list[Pod]:
    """The pods that are there at an instant: from their start on, no longer at their end."""
    return [pod for pod in node.pods if pod.start_ns <= now_ns and _is_before(now_ns, pod.end_ns)]


def holding(node: Node, now_ns: int) -> list[Pod]:
    """Those of them that have not finished, and so have what was allocated to them."""
    return [pod for pod in present(node, now_ns) if _is_before(now_ns, pod.finished_ns)]


def begins_ns(pod: Pod, container: Container) -> int:
    return max(container.start_ns, pod.start_ns)


def ends_ns(pod: Pod, container: Container) -> int | None:
    ends = [at for at in (container.end_ns, pod.last_ns) if at is not None]
    return min(ends, default=None)


def has_begun(pod: Pod, container: Container, now_ns: int) -> bool:
    return begins_ns(pod, container) <= now_ns


def runs(pod: Pod, container: Container, now_ns: int) -> bool:
    return has_begun(pod, container, now_ns) and _is_before(now_ns, ends_ns(pod, container))


def instants(node: Node) -> list[int]:
    """When anything of a node's pods, containers or partitions changes, in order."""
    found: set[int | None] = {layout.at_ns for gpu in node.gpus for layout in gpu.layouts}
    for pod in node.pods:
        found |= {pod.start_ns, pod.end_ns, pod.finished_ns}
        for container in pod.containers:
            found |= {begins_ns(pod, container), ends_ns(pod, container)}
    return sorted(at for at in found if at is not None)


def host_uid(pod: Pod) -> str:
    """The UID in a host's paths: a static pod's is its file's hash, which the API server never hears of."""
    return pod.annotations.get(CONFIG_HASH, pod.uid)


def is_static(pod: Pod) -> bool:
    return CONFIG_HASH in pod.annotations


def _is_before(now_ns: int, end_ns: int | None) -> bool:
    return end_ns is None or now_ns < end_ns
