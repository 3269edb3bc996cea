"""Somebody on a device of a node: what reports of single GPUs are grouped by, and what a device is called."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import REMAINDER, HolderKind

from gpucost_aggregator.store.rows import Dimension

HOLDING = (
    Dimension.CLUSTER,
    Dimension.NODE,
    Dimension.GPU_UUID,
    Dimension.GI,
    Dimension.CI,
    Dimension.PROFILE,
    Dimension.PLACEMENT,
    Dimension.HOLDER_KIND,
    Dimension.REASON,
    Dimension.NAMESPACE,
    Dimension.POD,
    Dimension.POD_UID,
    Dimension.CONTAINER,
)
"""The texts of a ``Holding``, in their order."""

SHORT_UUID = len("GPU-") + 6
"""So much of a UUID tells the GPUs of a node apart."""

Gpus = Mapping[tuple[str, str], GpuFacts]
"""Facts by (cluster, GPU UUID)."""

Workloads = Mapping[tuple[str, str, str, str], WorkloadFacts]
"""Facts by (cluster, namespace, pod, pod UID)."""


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """A holder on a device of a node, as texts in the order of ``HOLDING``; empty does not apply."""

    cluster: str
    node: str
    gpu_uuid: str
    gi: str
    ci: str
    profile: str
    placement: str
    holder_kind: str
    reason: str
    namespace: str
    pod: str
    pod_uid: str
    container: str

    @property
    def is_held(self) -> bool:
        """Whether its holder is a container."""
        return self.holder_kind == HolderKind.CONTAINER.value

    @property
    def gpu(self) -> tuple[str, str]:
        """The board that it is, or is a part of."""
        return self.cluster, self.gpu_uuid

    @property
    def device(self) -> tuple[str, ...]:
        """The device, in the whole fleet."""
        return (self.cluster, self.node, self.gpu_uuid, self.gi, self.ci, self.profile, self.placement)

    @property
    def pod_key(self) -> tuple[str, str, str]:
        """Its pod, within a cluster."""
        return self.namespace, self.pod, self.pod_uid

    @property
    def is_whole(self) -> bool:
        """Whether the device is a board that is not partitioned."""
        return not (self.gi or self.profile)

    @property
    def can_be_held(self) -> bool:
        """Whether anything can run there: not on the rest of a GPU, nor on the rest of an instance."""
        return self.is_whole or bool(self.ci)

    @property
    def part_name(self) -> str:
        """What of its board the device is; empty for all of it."""
        if self.is_whole:
            return ""
        if self.profile == REMAINDER:
            return "rest"
        return f"MIG {self.profile}" if self.ci else f"rest of MIG {self.profile}"

    @property
    def device_name(self) -> str:
        """The device in short: ``GPU-5a5a71``, ``MIG 3g.40gb · GPU-5a5a71``, ``rest of GPU-5a5a71``."""
        board = self.gpu_uuid[:SHORT_UUID]
        if self.profile == REMAINDER:
            return f"rest of {board}"
        return board if self.is_whole else f"{self.part_name} · {board}"


def facts_of(workloads: Workloads, holding: Holding) -> WorkloadFacts | None:
    """What is known of the pod that it is."""
    return workloads.get((holding.cluster, holding.namespace, holding.pod, holding.pod_uid))


def gpu_model(gpus: Gpus, holding: Holding) -> str:
    """The board's model; empty where it is not known."""
    facts = gpus.get(holding.gpu)
    return facts.model if facts else ""
