"""What a scenario says, frozen. Times are nanoseconds from the simulation's start; None is never."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simnode.devices import ComputeInstance, Gpu, GpuInstance, Hold, Layout

__all__ = [
    "Bursts",
    "Busy",
    "Cgroup",
    "Claim",
    "ClaimDevice",
    "Cluster",
    "ComputeInstance",
    "Constant",
    "Container",
    "Dcgm",
    "Driver",
    "Duty",
    "Failure",
    "Gpu",
    "GpuInstance",
    "Hold",
    "KubeletKind",
    "Layout",
    "ListedId",
    "Namespace",
    "Node",
    "Nothing",
    "Owner",
    "Pod",
    "ProcessSpec",
    "Random",
    "Scenario",
]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Wants nothing; it only holds memory."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Wants a part of every 10 ms."""

    share: float


@dataclass(frozen=True, slots=True)
class Duty:
    """Wants the GPU for on_ns at the beginning of each period."""

    on_ns: int
    period_ns: int
    phase_ns: int


@dataclass(frozen=True, slots=True)
class Bursts:
    """Wants the GPU for on_ns, again and again, with a drawn pause between the beginnings."""

    on_ns: int
    every_ns: int
    jitter: float


@dataclass(frozen=True, slots=True)
class Random:
    """Poisson arrivals of jobs with exponential lengths; they queue."""

    rate_hz: float
    mean_ns: int


Busy = Nothing | Constant | Duty | Bursts | Random


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One entry under `processes` or `host_processes`: one process, or with every_ns many in turn."""

    path: str
    gpu: int
    pid: int | None  # None: drawn, see lives.pid_of
    slot: int  # its place among the node's entries, from which PIDs are drawn
    start_ns: int
    end_ns: int | None
    every_ns: int | None
    for_ns: int | None
    memory_mib: int
    busy: Busy
    gi: int | None = None  # on which instance of a partitioned GPU it works
    ci: int | None = None
    threads: float = 1.0  # MPS: the part of the GPU's threads that it may use
    sm: float = 1.0  # while it runs: how much of the SMs, of the tensor cores, of the memory's bandwidth
    tensor: float = 0.0
    dram: float = 0.0


@dataclass(frozen=True, slots=True)
class ListedId:
    """An id that the kubelet lists for a container and that means nothing that is simulated."""

    resource: str
    id: str


@dataclass(frozen=True, slots=True)
class Container:
    path: str
    name: str
    id: str
    holds: tuple[Hold, ...]
    processes: tuple[ProcessSpec, ...]
    kind: str = "container"  # container, init, sidecar
    start_ns: int = 0  # when it runs, from the simulation's start
    end_ns: int | None = None
    listed: tuple[ListedId, ...] = ()
    claims: tuple[str, ...] = ()  # names of claims of its node that it refers to


@dataclass(frozen=True, slots=True)
class Owner:
    kind: str  # Deployment, StatefulSet, Job or DaemonSet
    name: str


@dataclass(frozen=True, slots=True)
class Pod:
    path: str
    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Owner | None
    start_ns: int
    end_ns: int | None
    containers: tuple[Container, ...]
    finished_ns: int | None = None  # its containers have ended for good; its object stays until end_ns
    host_network: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)  # container ports by name, of its first container

    @property
    def last_ns(self) -> int | None:
        """When its containers are over and what they held is given back."""
        return self.end_ns if self.finished_ns is None else self.finished_ns


@dataclass(frozen=True, slots=True)
class Failure:
    """
    The driver fails from an instant until another (None: for ever).

    *kind* is lost, gone, hang, error, uninitialized or mismatch; *gpu* is None for all.
    *call* is a part of names of C symbols, empty for all; *code* is what `error` returns.
    """

    kind: str
    at_ns: int
    until_ns: int | None
    gpu: int | None = None
    call: str = ""
    code: int = 999


@dataclass(frozen=True, slots=True)
class ClaimDevice:
    gpu: int
    gi: int | None = None
    ci: int | None = None
    made_for_it: bool = False  # a MIG device that is made when the claim is prepared


@dataclass(frozen=True, slots=True)
class Claim:
    """A ResourceClaim of gpu.nvidia.com, allocated on this node."""

    name: str
    namespace: str
    uid: str
    devices: tuple[ClaimDevice, ...]
    share_id: str = ""


@dataclass(frozen=True, slots=True)
class KubeletKind:
    """How the node's kubelet behaves."""

    version: str = "1.35.8"
    dynamic_resources: bool = True  # False: List says nothing of claims, as before 1.34
    lists_finished: bool = False  # True: finished pods stay listed until they are deleted, as before 1.34
    numa_nodes: int = 1  # an id is listed once for each NUMA node of its device
    doubled_claims: bool = False  # claims are listed twice, the second time with the CDI names of both
    checkpoint: bool = True  # kubelet_internal_checkpoint is written
    dra_checkpoint: bool = True  # the DRA driver's checkpoint is written
    cdi: bool = True  # the DRA driver's CDI files are written


@dataclass(frozen=True, slots=True)
class Dcgm:
    """The node's dcgm-exporter."""

    interval_ns: int = 30_000_000_000
    names: str = "old"  # old, new: of fields since DCGM 4.6
    labels: str = "new"  # old, new
    sentinels: bool = False  # prints DCGM's blank values where it has none
    pod: bool = True  # has a pod on the API server, so that it can be found
    down: tuple[tuple[int, int | None], ...] = ()  # spans in which nobody listens
    scale: float = 1.0  # of its ratios; above 1 it shows impossible ones


@dataclass(frozen=True, slots=True)
class Driver:
    version: str
    sample_period_ns: int
    ring_depth: int
    owner: str  # proportional, last, instant, longest
    rounding: str  # down, nearest
    turn_ns: int
    accounting: bool = False  # the administrator enabled accounting mode
    gpm: bool | None = None  # None: as the GPUs' architecture has it
    unsupported: tuple[str, ...] = ()  # parts of names of C symbols that answer NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Cgroup:
    version: int  # 1 or 2
    driver: str  # systemd, cgroupfs
    runtime: str  # containerd, crio, docker
    nested: bool = False  # the node is itself a Docker container, as with kind


@dataclass(frozen=True, slots=True)
class Node:
    path: str
    cluster: str
    name: str
    uid: str
    booted_ns: int  # 0 or less
    instance_type: str | None
    region: str | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    driver: Driver
    cgroup: Cgroup
    gpus: tuple[Gpu, ...]
    pods: tuple[Pod, ...]
    host_processes: tuple[ProcessSpec, ...]
    pid_base: int
    pid_stride: int
    pids_taken: tuple[int, ...]  # those that the scenario names, in order
    failures: tuple[Failure, ...] = ()
    claims: tuple[Claim, ...] = ()
    kubelet: KubeletKind = KubeletKind()
    dcgm: Dcgm | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    uid: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cluster:
    path: str
    name: str
    uid: str  # of the kube-system namespace
    namespaces: tuple[Namespace, ...]  # those listed and those that pods name, and kube-system
    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"cluster {self.name} has no node {name}")


@dataclass(frozen=True, slots=True)
class Scenario:
    file: str
    name: str
    window_seconds: int
    seed: int
    clusters: tuple[Cluster, ...]

    def cluster(self, name: str) -> Cluster:
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        raise KeyError(f"scenario {self.name} has no cluster {name}")
