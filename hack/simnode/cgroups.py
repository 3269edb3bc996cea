"""Where a container's processes stand in a node's cgroup hierarchy, and what /proc/PID/cgroup says of it."""

from __future__ import annotations

from simnode.pod_life import host_uid
from simnode.world import Cgroup, Container, Pod

V1_CONTROLLERS = (
    "12:pids",
    "11:memory",
    "10:hugetlb",
    "9:cpuset",
    "8:devices",
    "7:net_cls,net_prio",
    "6:freezer",
    "5:perf_event",
    "4:blkio",
    "3:rdma",
    "2:cpu,cpuacct",
    "1:name=systemd",
)
SCOPE_PREFIXES = {"containerd": "cri-containerd", "crio": "crio", "docker": "docker"}

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"


def qos_class(pod: Pod) -> str:
    """A scenario does not say it and the three have paths of different shapes, so the UID deals them out."""
    return (BURSTABLE, BEST_EFFORT, GUARANTEED)[sum(pod.uid.encode()) % 3]


def container_path(cgroup: Cgroup, pod: Pod, container: Container, node_id: str = "") -> str:
    """
    Guaranteed pods lie directly under kubepods, the others below their class.

    *node_id* is the id of the container that a nested node is.
    """
    qos = qos_class(pod).lower()
    classes = [] if qos == GUARANTEED.lower() else [qos]
    prefix = SCOPE_PREFIXES[cgroup.runtime]
    uid = host_uid(pod)
    if cgroup.driver == "cgroupfs":
        # Of the three, only CRI-O keeps its prefix when systemd is not asked.
        leaf = f"{prefix}-{container.id}" if cgroup.runtime == "crio" else container.id
        outer = ["docker", node_id, "kubelet"] if cgroup.nested else []
        return "/" + "/".join([*outer, "kubepods", *classes, f"pod{uid}", leaf])
    outer = ["system.slice", f"docker-{node_id}.scope", "kubelet.slice"] if cgroup.nested else []
    root = "kubelet-kubepods" if cgroup.nested else "kubepods"
    slices = [*outer, f"{root}.slice", *(f"{root}-{name}.slice" for name in classes)]
    pod_slice = "-".join([root, *classes, f"pod{uid.replace('-', '_')}"]) + ".slice"
    path = "/" + "/".join([*slices, pod_slice, f"{prefix}-{container.id}.scope"])
    if cgroup.runtime == "crio" and cgroup.version == 2:
        # crun, CRI-O's default, puts the processes into a leaf of their own.
        path += "/container"
    return path


def service_path(name: str) -> str:
    return f"/system.slice/{name}.service"


def file_text(cgroup: Cgroup, path: str, in_container: bool) -> str:
    """What /proc/PID/cgroup holds."""
    if cgroup.version == 2:
        return f"0::{path}\n"
    # On a v1 host the unified line names the service that started the process, not the container's path.
    unified = service_path(cgroup.runtime) if in_container else path
    return "".join(f"{controller}:{path}\n" for controller in V1_CONTROLLERS) + f"0::{unified}\n"
