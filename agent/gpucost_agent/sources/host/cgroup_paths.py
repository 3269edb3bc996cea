"""
Where a process stands, from its /proc/PID/cgroup: pure.

Container runtimes, cgroup drivers and cgroup versions each write paths of their own; a private cgroup namespace cuts
their beginning off. So nothing is anchored at the beginning: the last pod in the path counts, as an outer one is the
machine's that a nested kubelet runs on, and then the first container after it, as what follows is the workload's own.
"""

import re
from dataclasses import dataclass

_POD = re.compile(
    r"pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])(?:\.slice)?"
)
_CONTAINER = re.compile(
    r"[/:](?:(?:cri-containerd|crio|docker|libpod)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?(?=[/:]|$)"
)
_UNIT = re.compile(r"/(?P<unit>[^/]+\.(?:service|scope))(?=/|$)")


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a process stands; empty for what it is not in. A container outside of Kubernetes is in no pod.

    A static pod's *pod_uid* is its manifest's hash, 32 digits without dashes, and not the UID of its API object.
    """

    pod_uid: str = ""
    container_id: str = ""
    unit: str = ""


def parse_cgroup(text: str) -> Place:
    """
    The place that a /proc/PID/cgroup tells.

    Of several hierarchies (cgroup v1) the one that knows most is right: the others may show the service that started
    the process.
    """
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    # The kernel adds this to the path of a process that outlives its cgroup.
    places = [_place(path.removesuffix(" (deleted)")) for path in paths]
    return max(places, key=lambda place: (bool(place.pod_uid), bool(place.container_id)), default=Place())


def _place(path: str) -> Place:
    pods = list(_POD.finditer(path))
    if not pods:
        units, container = _UNIT.findall(path), _CONTAINER.search(path)
        return Place("", container["id"] if container else "", units[-1] if units else "")
    pod = pods[-1]
    container = _CONTAINER.search(path, pod.end())
    return Place(pod["uid"].replace("_", "-"), container["id"] if container else "")
