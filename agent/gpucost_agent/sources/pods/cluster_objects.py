"""What the API server's JSON says of nodes, namespaces and pods that wait for GPUs: pure."""

from collections.abc import Collection, Mapping
from typing import Any

from gpucost.facts import NamespaceFacts, NodeFacts, WaitingPod

from gpucost_agent.sources.kubelet.device_ids import GPU_RESOURCES, MIG_RESOURCE_PREFIX
from gpucost_agent.sources.pods.pod_objects import KEPT_KEYS, LONGEST_VALUE, parse_time_ns

Json = Mapping[str, Any]

NODE_KEYS = frozenset(
    {
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "karpenter.sh/capacity-type",
        "eks.amazonaws.com/capacityType",
        "cloud.google.com/gke-spot",
        "cloud.google.com/gke-preemptible",
        "kubernetes.azure.com/scalesetpriority",
        "oci.oraclecloud.com/oke-is-preemptible",
        "nvidia.com/gpu.product",
        "nvidia.com/gpu.count",
    }
)
"""Labels of nodes that prices and reports may look at; a node has a hundred others."""


def parse_node(node: Json) -> NodeFacts:
    """A Node object. Raises KeyError, TypeError or ValueError if it is none."""
    metadata = node["metadata"]
    return NodeFacts(
        metadata["name"],
        metadata["uid"],
        _cut(metadata.get("labels"), NODE_KEYS),
        parse_time_ns(metadata.get("creationTimestamp")) or 0,
    )


def parse_namespace(namespace: Json) -> NamespaceFacts:
    """A Namespace object. Raises KeyError or TypeError if it is none."""
    metadata = namespace["metadata"]
    return NamespaceFacts(metadata["name"], _cut(metadata.get("labels"), KEPT_KEYS))


def parse_waiting(pod: Json, extra_resources: Collection[str] = ()) -> WaitingPod:
    """
    A pod, with the GPUs that it waits for; none where it asks for none or was given a node.

    Raises KeyError, TypeError or ValueError if it is no pod.
    """
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    status = pod.get("status") or {}
    waits = not spec.get("nodeName") and status.get("phase") == "Pending"
    return WaitingPod(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        parse_time_ns(metadata.get("creationTimestamp")) or 0,
        _requests(spec, extra_resources) if waits else {},
    )


def _is_gpu(resource: str, extra_resources: Collection[str] = ()) -> bool:
    """Whether a resource of this name is GPUs, by the rule by which ids are told."""
    name = resource.removesuffix(".shared")
    return (
        name in GPU_RESOURCES
        or name.startswith(MIG_RESOURCE_PREFIX)
        or name in extra_resources
        or resource in extra_resources
    )


def _requests(spec: Json, extra_resources: Collection[str]) -> dict[str, int]:
    together: dict[str, int] = {}
    for container in spec.get("containers") or ():
        for resource, count in _asked(container, extra_resources).items():
            together[resource] = together.get(resource, 0) + count
    # Init containers run before the others, one after the other, on the same devices.
    for container in spec.get("initContainers") or ():
        for resource, count in _asked(container, extra_resources).items():
            together[resource] = max(together.get(resource, 0), count)
    return together


def _asked(container: Json, extra_resources: Collection[str]) -> dict[str, int]:
    resources = container.get("resources") or {}
    # Of an extended resource the two are equal, and the limit alone is enough.
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    counts = {name: int(count) for name, count in asked.items() if _is_gpu(name, extra_resources)}
    return {name: count for name, count in counts.items() if count > 0}


def _cut(labels: Mapping[str, str] | None, kept: Collection[str]) -> dict[str, str]:
    return {key: value[:LONGEST_VALUE] for key, value in (labels or {}).items() if key in kept}
