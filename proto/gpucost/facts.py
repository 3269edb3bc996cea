"""What is known of pods, GPUs and clusters beside their slices; it travels once per change."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """Labels and annotations on the allow-list, and the owner, of a pod from an instant on."""

    namespace: str
    pod: str
    pod_uid: str
    valid_from_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner_kind: str = ""
    owner_name: str = ""


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A GPU's model as NVML spells it, its memory, and the kind and place of its node."""

    gpu_uuid: str
    model: str
    memory_bytes: int | None
    instance_type: str = ""
    region: str = ""
    valid_from_ns: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A Node object of a cluster, with its labels on the allow-list."""

    name: str
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at_ns: int = 0
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """A namespace of a cluster, with its labels on the allow-list."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class WaitingPod:
    """A pod that waits for what it *requests*, by resource name; one that requests nothing waits no more."""

    namespace: str
    pod: str
    pod_uid: str
    waiting_since_ns: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What a cluster's watcher says at once; with *complete* it is everything that exists."""

    seen_at_ns: int
    complete: bool = False
    nodes: tuple[NodeFacts, ...] = ()
    namespaces: tuple[NamespaceFacts, ...] = ()
    waiting_pods: tuple[WaitingPod, ...] = ()
