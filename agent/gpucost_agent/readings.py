"""
What sources return: frozen, complete, with the instant at which it was read.

None means that it could not be read; an empty tuple means that there was nothing.
Shares of time are integers in parts per million (ppm), as the sources give whole percents or small ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpucost.clock import Instant
from gpucost.identity import Device

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver enumerates it. *minor* is the number in /dev/nvidia<minor>, not the index."""

    uuid: str
    index: int
    minor: int | None
    model: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class RingSample:
    """Device activity over one sample period that ended at *ended_at_ns* (the driver's wall clock)."""

    ended_at_ns: int
    busy_ppm: int


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Part of a reading's window in which the GPU worked for one process, as the driver samples it."""

    pid: int
    busy_ppm: int


@dataclass(frozen=True, slots=True)
class ProcessWindow:
    """
    Use by process over the ring samples that ended in (*since_ns*, *until_ns*].

    Processes that are not named had none. *samples* is how many ring samples the window held.
    """

    since_ns: int
    until_ns: int
    samples: int
    uses: tuple[ProcessUse, ...]


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process with a context on the GPU, by its host PID, and the memory that it holds there."""

    pid: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One look at one GPU. *troubles* name what could not be read, one constant name each."""

    gpu_uuid: str
    read_at: Instant
    ring: tuple[RingSample, ...] | None
    process_window: ProcessWindow | None
    processes: tuple[RunningProcess, ...] | None
    energy_uj: int | None
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceId:
    """
    A kubelet's device id, parsed: the device it names, and which replica of it.

    *device* is None where the id is of no known form or names a GPU that the driver does not show.
    """

    resource: str
    raw: str
    device: Device | None
    replica: int | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Devices that the kubelet gave to one container, each id once."""

    namespace: str
    pod: str
    container: str
    devices: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True)
class HoldingReading:
    """
    Who holds what, from the kubelet's pod-resources socket.

    *allocatable* are the device ids that the kubelet could give, held or not; None where it did not say.
    """

    read_at: Instant
    allocations: tuple[Allocation, ...]
    allocatable: tuple[DeviceId, ...] | None


@dataclass(frozen=True, slots=True)
class PodContainer:
    """A container of a pod as the API server knows it; times are whole seconds there."""

    name: str
    container_id: str
    started_at_ns: int | None
    finished_at_ns: int | None


@dataclass(frozen=True, slots=True)
class Pod:
    """
    A pod of this node. Labels and annotations are already cut to the allow-list.

    *deleted_at_ns* is when its object was seen to be gone; such a pod is remembered for some minutes.
    """

    namespace: str
    name: str
    uid: str
    phase: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_kind: str
    owner_name: str
    containers: tuple[PodContainer, ...]
    deleted_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """The node's own object: labels and annotations as they are."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """What the API server says of this node: None where it could not be asked yet."""

    read_at: Instant
    cluster_uid: str | None
    node: Node | None
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """
    A host process: PID and start time make its key, as PIDs are used again.

    *pod_uid* and *container_id* are empty for a process outside Kubernetes; *unit* names its systemd unit.
    """

    pid: int
    start_ticks: int
    pod_uid: str = ""
    container_id: str = ""
    unit: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Boot:
    """The node's boot: its id, and when it was (wall nanoseconds)."""

    boot_id: str
    booted_at_ns: int
