"""What a node's kubelet answers at an instant, before it is put into messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from simnode import device_plugin
from simnode.device_plugin import Device
from simnode.dra_claims import DRIVER, PreparedClaim, container_claims, prepared
from simnode.kubelet import ListedClaim, ListedClaimDevice, ListedContainer, ListedDevice, ListedPod
from simnode.pod_life import holding, present
from simnode.world import Container, Node, Pod

TWO_PODS = 2


def listed_pods(node: Node, now_ns: int) -> list[ListedPod]:
    """Every pod that was admitted, with or without devices, also before its containers run."""
    pods = present(node, now_ns) if node.kubelet.lists_finished else holding(node, now_ns)
    claims = {claim.claim.uid: claim for claim in prepared(node, now_ns)}
    return [
        ListedPod(
            pod.namespace,
            pod.name,
            tuple(_container(node, pod, container, claims) for container in listed_containers(pod)),
        )
        for pod in pods
    ]


def allocatable(node: Node, now_ns: int) -> list[ListedDevice]:
    return list(_on_every_numa_node(node, device_plugin.advertised(node, now_ns)))


def listed_containers(pod: Pod) -> list[Container]:
    """Sidecars come first; ordinary init containers are never listed, not even while they hold a GPU."""
    sidecars = [container for container in pod.containers if container.kind == "sidecar"]
    return sidecars + [container for container in pod.containers if container.kind == "container"]


def devices(node: Node, container: Container) -> list[Device]:
    """What the device manager has allocated to a container, at its pod's admission and for good."""
    found = [
        device for hold in container.holds for device in device_plugin.allocated(node.gpus[hold.gpu], hold)
    ]
    return found + [Device(listed.resource, listed.id) for listed in container.listed]


def _container(
    node: Node, pod: Pod, container: Container, claims: dict[str, PreparedClaim]
) -> ListedContainer:
    listed = tuple(_on_every_numa_node(node, devices(node, container)))
    if not node.kubelet.dynamic_resources:
        return ListedContainer(container.name, devices=listed)
    dynamic = tuple(
        _claim(node, claims[claim.uid])
        for claim in container_claims(node, pod, container)
        if claim.uid in claims
    )
    return ListedContainer(container.name, devices=listed, claims=dynamic)


def _on_every_numa_node(node: Node, found: Iterable[Device]) -> Iterable[ListedDevice]:
    """An entry for each NUMA node that a device is near to, so that an id may appear several times."""
    for device in found:
        for numa_node in range(node.kubelet.numa_nodes):
            yield ListedDevice(device.resource, device.id, numa_node)


def _claim(node: Node, claim: PreparedClaim) -> ListedClaim:
    """
    All devices of the claim, whichever of them the container asked for.

    A kubelet collects the CDI names of a claim's devices while it goes through them: the first device has
    one name, the second has two. Where two pods made it prepare the claim twice, it has every device twice.
    """
    times = 2 if node.kubelet.doubled_claims and len(claim.since) >= TWO_PODS else 1
    names: list[str] = []
    resources = []
    for device in claim.devices * times:
        names.append(device.cdi_id)
        share = claim.claim.share_id or None
        resources.append(ListedClaimDevice(tuple(names), DRIVER, node.name, device.name, share))
    return ListedClaim(claim.claim.name, claim.claim.namespace, tuple(resources))
