"""What is known of pods and GPUs beside their slices; it travels once per change."""

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
