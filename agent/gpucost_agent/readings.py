"""
What sources return: frozen, complete, with the instant at which it was read.

None means that it could not be read; an empty tuple means that there was nothing.
Shares of time are integers in parts per million (ppm), as the sources give whole percents or small ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
class ComputeInstance:
    """A compute instance of a GPU instance, by its number there, and its part of the GPU's compute slices."""

    ci: int
    uuid: str
    compute_slices: int


@dataclass(frozen=True, slots=True)
class GpuInstance:
    """
    An instance of a GPU in MIG mode, by how many of the GPU's compute and memory slices it has.

    *placement* is the first of its memory slices; *profile* is the driver's name of it, such as ``3g.40gb``.
    """

    gi: int
    profile: str
    placement: int
    compute_slices: int
    memory_slices: int
    parts: tuple[ComputeInstance, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """
    How a GPU is cut: not at all, or in MIG mode into *instances*, by number.

    The totals are the profile info's: how many slices the GPU has (an A30 has four compute slices).
    """

    mig: bool = False
    instances: tuple[GpuInstance, ...] = ()
    compute_total: int = 0
    memory_total: int = 0


WHOLE = Partition()
"""A GPU that is not partitioned."""


class ActivitySource(StrEnum):
    """What says how busy a device was, best first; the names are those of methods in slices."""

    GPM = "gpm"
    DCGM = "dcgm"
    RING = "ring"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class ActivitySpan:
    """
    Mean activity of a whole GPU (*gi* None) or a GPU instance over (*since_ns*, *until_ns*], as shares of that time.

    *busy_ppm* is of the graphics engine, the others are of the SMs, the tensor cores and the memory's bandwidth.
    On an instance they are relative to the instance. None is not known.
    """

    since_ns: int
    until_ns: int
    gi: int | None = None
    busy_ppm: int | None = None
    sm_ppm: int | None = None
    tensor_ppm: int | None = None
    dram_ppm: int | None = None


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
    """
    A process with a context on the GPU, by its host PID, and the memory that it holds there.

    In MIG mode *gi* and *ci* are the instance that it runs on. *mps*: it is a client of MPS.
    """

    pid: int
    memory_bytes: int | None
    gi: int | None = None
    ci: int | None = None
    mps: bool = False


@dataclass(frozen=True, slots=True)
class GpuReading:
    """
    One look at one GPU. *troubles* name what could not be read, one constant name each.

    *partition* is None where it could not be read; then the last one stands. *gpm* has a span for the whole GPU or
    one for each GPU instance. *accounting* is use by process as the driver integrates it, where the administrator
    enabled that; its rows are means over the window like those of *process_window*, without its rounding.
    *rate* is the driver's spot reading, for where there is no ring.
    """

    gpu_uuid: str
    read_at: Instant
    ring: tuple[RingSample, ...] | None
    process_window: ProcessWindow | None
    processes: tuple[RunningProcess, ...] | None
    energy_uj: int | None
    troubles: tuple[str, ...] = ()
    partition: Partition | None = WHOLE
    gpm: tuple[ActivitySpan, ...] = ()
    accounting: ProcessWindow | None = None
    rate: ActivitySpan | None = None

    def pids(self) -> set[int]:
        """Every process that it names."""
        pids = {process.pid for process in self.processes or ()}
        for window in (self.process_window, self.accounting):
            if window is not None:
                pids |= {use.pid for use in window.uses}
        return pids


@dataclass(frozen=True, slots=True)
class DcgmReading:
    """
    One scrape of the node's dcgm-exporter: activity by GPU since the scrape before it, each value once.

    *read_at* is the scrape's; *missing* names columns that the exporter could fill and does not. *troubles* name why
    values were left out, one constant name each.
    """

    read_at: Instant
    spans: Mapping[str, tuple[ActivitySpan, ...]]
    missing: tuple[str, ...] = ()
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
    """
    Devices that the kubelet gave to one container, each id once.

    *pod_uid* is empty where only names are known. *listed*: the kubelet's list has it; its own checkpoint file also
    has ordinary init containers, which the list leaves out.
    """

    namespace: str
    pod: str
    container: str
    devices: tuple[DeviceId, ...]
    pod_uid: str = ""
    listed: bool = True


@dataclass(frozen=True, slots=True)
class HoldingReading:
    """
    Who holds what, from the kubelet's pod-resources socket and its files.

    *allocatable* are the device ids that the kubelet could give, held or not; None where it did not say.
    *changed_at_ns* is when the kubelet last wrote down an allocation, which is exact; None where its file is not read.
    *claims_hidden*: pods hold resource claims that this kubelet does not list.
    """

    read_at: Instant
    allocations: tuple[Allocation, ...]
    allocatable: tuple[DeviceId, ...] | None
    changed_at_ns: int | None = None
    claims_hidden: bool = False


@dataclass(frozen=True, slots=True)
class PodContainer:
    """
    A container of a pod as the API server knows it; times are whole seconds there.

    *init*: an ordinary init container, which runs before the others; sidecars are none.
    """

    name: str
    container_id: str
    started_at_ns: int | None
    finished_at_ns: int | None
    init: bool = False


@dataclass(frozen=True, slots=True)
class GpuFraction:
    """
    A part of a GPU that a scheduler wrote into a pod's annotations, for one container (empty: for its first).

    The GPU is named by *gpu_uuid*, by the *group* for which a reservation pod holds one, or by the driver's
    *gpu_index*. *memory_bytes* and *cores_ppm* are limits; *share_ppm* is a share outright. None or 0 says nothing.
    """

    container: str = ""
    gpu_uuid: str = ""
    group: str = ""
    memory_bytes: int = 0
    cores_ppm: int = 0
    share_ppm: int = 0
    gpu_index: int | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """
    A pod of this node. Labels and annotations are already cut to the allow-list.

    *deleted_at_ns* is when its object was seen to be gone; such a pod is remembered for some minutes.
    *fractions* are what a scheduler of fractions gave it. *reserves* is the group for which it holds a GPU as a
    scheduler's placeholder (*reserves_uuid* where it says which). *static_uid* is a static pod's id on its node.
    *claims*: it refers to resource claims.
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
    fractions: tuple[GpuFraction, ...] = ()
    reserves: str = ""
    reserves_uuid: str = ""
    static_uid: str = ""
    claims: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """The node's own object: labels and annotations as they are."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """
    What the API server says of this node: None where it could not be asked yet.

    *dcgm_url* is where the node's dcgm-exporter answers; empty if none of its pods is one.
    """

    read_at: Instant
    cluster_uid: str | None
    node: Node | None
    pods: tuple[Pod, ...]
    dcgm_url: str = ""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """
    A host process: PID and start time make its key, as PIDs are used again.

    *pod_uid* and *container_id* are empty for a process outside Kubernetes; *unit* names its systemd unit.
    *mps_percent* is the part of a GPU's threads to which it was started; None is not limited, or not known.
    """

    pid: int
    start_ticks: int
    pod_uid: str = ""
    container_id: str = ""
    unit: str = ""
    command: str = ""
    mps_percent: int | None = None


@dataclass(frozen=True, slots=True)
class GpusSeen:
    """All GPUs that the driver showed at an instant."""

    gpus: tuple[Gpu, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class GpuLook:
    """A look at a GPU, and who the processes were that it names; None where that could not be found out."""

    reading: GpuReading
    identities: Mapping[int, ProcessIdentity | None]


@dataclass(frozen=True, slots=True)
class PodNamed:
    """A pod of this name has this UID at an instant, as the node's own files say."""

    namespace: str
    pod: str
    uid: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class ContainerNamed:
    """The container with this id is of this name, in the pod with this UID, as the node's own files say."""

    container_id: str
    namespace: str
    pod: str
    container: str
    pod_uid: str


Entry = (
    GpusSeen | GpuLook | DcgmReading | HoldingReading | ClusterReading | PodNamed | ContainerNamed | Instant
)
"""Whatever the books take in; an instant is what both clocks said."""


@dataclass(frozen=True, slots=True)
class Boot:
    """The node's boot: its id, and when it was (wall nanoseconds)."""

    boot_id: str
    booted_at_ns: int
