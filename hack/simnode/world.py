"""What a scenario says, frozen. Times are nanoseconds from the simulation's start; None is never."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Hold:
    """What a container holds of one GPU: the numbers of its replicas; (0,) where the GPU is not shared."""

    gpu: int
    replicas: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Container:
    path: str
    name: str
    id: str
    holds: tuple[Hold, ...]
    processes: tuple[ProcessSpec, ...]


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


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    model: str
    uuid: str
    minor: int
    memory_mib: int
    replicas: int
    idle_milliwatts: int
    busy_milliwatts: int

    def device_ids(self, hold: Hold) -> tuple[str, ...]:
        """The ids by which a device plugin names what is held."""
        if self.replicas == 1:
            return (self.uuid,)
        return tuple(f"{self.uuid}::{number}" for number in hold.replicas)


@dataclass(frozen=True, slots=True)
class Driver:
    version: str
    sample_period_ns: int
    ring_depth: int
    owner: str  # proportional, last, instant, longest
    rounding: str  # down, nearest
    turn_ns: int


@dataclass(frozen=True, slots=True)
class Cgroup:
    version: int  # 1 or 2
    driver: str  # systemd, cgroupfs
    runtime: str  # containerd, crio, docker


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
