"""What the API says of a pod's containers: what they ask for, and how far they are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from simnode import cgroups
from simnode.dra_claims import claims_of, container_claims
from simnode.kube_store import Manifest
from simnode.kubelet_answers import devices
from simnode.pod_life import begins_ns, ends_ns, has_begun, runs
from simnode.world import Container, Node, Pod

PENDING, RUNNING, ENDED = "Pending", "Running", "Succeeded"

RUNTIME_SCHEMES = {"containerd": "containerd", "crio": "cri-o", "docker": "docker"}
# What makes a pod's QoS class, and so the shape of its cgroup path.
REQUESTS = {
    cgroups.GUARANTEED: ({"cpu": "4", "memory": "16Gi"}, {"cpu": "4", "memory": "16Gi"}),
    cgroups.BURSTABLE: ({"cpu": "1", "memory": "4Gi"}, {}),
    cgroups.BEST_EFFORT: ({}, {}),
}

Stamp = Callable[[int], str]
"""From an offset to the time as the API prints it."""


def phase(pod: Pod, at_ns: int | None) -> str:
    """None stands for the moment before anything of it was started."""
    if at_ns is None:
        return PENDING
    released = pod.last_ns
    if released is not None and at_ns >= released:
        return ENDED
    if not _is_initialized(pod, at_ns):
        return PENDING
    if all(has_begun(pod, container, at_ns) for container in pod.containers if container.kind != "init"):
        return RUNNING
    return PENDING


def spec(node: Node, pod: Pod) -> Manifest:
    found: Manifest = {
        "nodeName": node.name,
        "restartPolicy": "Always" if _comes_again(pod) else "Never",
        "containers": [_spec(node, pod, c) for c in pod.containers if c.kind == "container"],
    }
    first = [container for container in pod.containers if container.kind != "container"]
    if first:
        found["initContainers"] = [_spec(node, pod, container) for container in first]
    if pod.ports and found["containers"]:
        found["containers"][0]["ports"] = list(_ports(pod))
    if pod.host_network:
        found["hostNetwork"] = True
    if claims := claims_of(node, pod):
        found["resourceClaims"] = [
            {"name": _claim_name(index), "resourceClaimName": claim.name}
            for index, claim in enumerate(claims)
        ]
    return found


def statuses(node: Node, pod: Pod, at_ns: int | None, stamp: Stamp) -> Manifest:
    """The parts of a pod's status that are about its containers and claims."""

    def of(wanted: Callable[[Container], bool]) -> list[Manifest]:
        return [_status(node, pod, c, at_ns, stamp) for c in pod.containers if wanted(c)]

    found: Manifest = {"containerStatuses": of(lambda container: container.kind == "container")}
    if any(container.kind != "container" for container in pod.containers):
        found["initContainerStatuses"] = of(lambda container: container.kind != "container")
    if claims := claims_of(node, pod):
        found["resourceClaimStatuses"] = [
            {"name": _claim_name(index), "resourceClaimName": claim.name}
            for index, claim in enumerate(claims)
        ]
    return found


def conditions(pod: Pod, at_ns: int | None, stamp: Stamp) -> list[Manifest]:
    now = phase(pod, at_ns)
    ready = "True" if now == RUNNING else "False"
    waits = any(container.kind == "init" for container in pod.containers)
    initialized = "True" if not waits or (at_ns is not None and _is_initialized(pod, at_ns)) else "False"
    states = {"PodScheduled": "True", "Initialized": initialized, "ContainersReady": ready, "Ready": ready}
    return [
        {"type": name, "status": status, "lastProbeTime": None, "lastTransitionTime": stamp(pod.start_ns)}
        for name, status in states.items()
    ]


def _comes_again(pod: Pod) -> bool:
    """A pod that finishes by itself is one that nobody starts again."""
    return pod.finished_ns is None and not (pod.owner and pod.owner.kind == "Job")


def _is_initialized(pod: Pod, at_ns: int) -> bool:
    """Init containers have to end, sidecars only to begin."""
    return all(
        has_begun(pod, container, at_ns) and (container.kind == "sidecar" or not runs(pod, container, at_ns))
        for container in pod.containers
        if container.kind != "container"
    )


def _spec(node: Node, pod: Pod, container: Container) -> Manifest:
    requests, limits = (dict(amounts) for amounts in REQUESTS[cgroups.qos_class(pod)])
    for resource, count in Counter(device.resource for device in devices(node, container)).items():
        requests[resource] = limits[resource] = str(count)
    resources: Manifest = {"requests": requests, "limits": limits}
    names = {claim.uid: _claim_name(index) for index, claim in enumerate(claims_of(node, pod))}
    if claims := container_claims(node, pod, container):
        resources["claims"] = [{"name": names[claim.uid]} for claim in claims]
    found: Manifest = {
        "name": container.name,
        "image": f"registry.example/{container.name}:1",
        "resources": resources,
    }
    if container.kind == "sidecar":
        found["restartPolicy"] = "Always"
    return found


def _status(node: Node, pod: Pod, container: Container, at_ns: int | None, stamp: Stamp) -> Manifest:
    is_running = at_ns is not None and runs(pod, container, at_ns)
    status: dict[str, Any] = {
        "name": container.name,
        "image": f"registry.example/{container.name}:1",
        "imageID": "",
        "lastState": {},
        "ready": is_running and container.kind != "init",
        "started": is_running,
        "restartCount": 0,
    }
    if at_ns is None or not has_begun(pod, container, at_ns):
        waits = any(other.kind != "container" for other in pod.containers)
        status["state"] = {"waiting": {"reason": "PodInitializing" if waits else "ContainerCreating"}}
        return status
    container_id = f"{RUNTIME_SCHEMES[node.cgroup.runtime]}://{container.id}"
    status["containerID"] = container_id
    started = stamp(begins_ns(pod, container))
    ended_ns = ends_ns(pod, container)
    if is_running or ended_ns is None:
        status["state"] = {"running": {"startedAt": started}}
        return status
    status["state"] = {
        "terminated": {
            "exitCode": 0,
            "reason": "Completed",
            "startedAt": started,
            "finishedAt": stamp(ended_ns),
            "containerID": container_id,
        }
    }
    # What an init container had to do is done, which is all that its readiness means.
    status["ready"] = container.kind == "init"
    return status


def _ports(pod: Pod) -> Iterator[Manifest]:
    for name, number in pod.ports.items():
        port: Manifest = {"name": name, "containerPort": number, "protocol": "TCP"}
        if pod.host_network:
            port["hostPort"] = number
        yield port


def _claim_name(index: int) -> str:
    """The pod's own name for a claim, which is not the claim's name in a real pod either."""
    return f"claim-{index}"
