"""What a device plugin was asked for, and what it has to give out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simnode.devices import ComputeInstance, Gpu, GpuInstance, Hold
from simnode.world import Node


@dataclass(frozen=True, slots=True)
class Engine:
    """What can be held: a whole GPU, or one compute instance of a partitioned one."""

    gpu: Gpu
    instance: GpuInstance | None = None
    compute: ComputeInstance | None = None

    @property
    def uuid(self) -> str:
        return self.gpu.uuid if self.compute is None else self.compute.uuid

    @property
    def gi(self) -> int | None:
        return None if self.instance is None else self.instance.gi

    @property
    def ci(self) -> int | None:
        return None if self.compute is None else self.compute.ci

    def all_of_it(self) -> Hold:
        replicas, uuid = self.gpu.replicas, ""
        if self.compute is not None:
            replicas, uuid = self.compute.replicas, self.compute.uuid
        return Hold(self.gpu.index, tuple(range(replicas)), self.gi, self.ci, uuid)


@dataclass(frozen=True, slots=True)
class Device:
    resource: str
    id: str


def engines(gpu: Gpu, at_ns: int) -> Iterator[Engine]:
    """What a GPU is at an instant: itself, or the instances of its layout, which may be none."""
    layout = gpu.layout(at_ns)
    if layout is None:
        yield Engine(gpu)
        return
    for instance in layout.instances:
        for compute in instance.compute_instances:
            yield Engine(gpu, instance, compute)


def engine(gpu: Gpu, gi: int | None, ci: int | None, at_ns: int) -> Engine:
    """The one that is meant by gi and ci at an instant, or if it is made only later, the next one."""
    if gi is None:
        return Engine(gpu)
    for at in (at_ns, *(layout.at_ns for layout in gpu.layouts if layout.at_ns > at_ns)):
        for found in engines(gpu, at):
            if (found.gi, found.ci) == (gi, ci or 0):
                return found
    raise KeyError(f"GPU {gpu.index} has no instance gi {gi}, ci {ci or 0} from {at_ns} ns on")


def allocated(gpu: Gpu, hold: Hold) -> tuple[Device, ...]:
    """What the kubelet was told of a hold; nothing of fractions, and of claims it is told otherwise."""
    if hold.hidden or hold.claim is not None:
        return ()
    return tuple(Device(gpu.resource_of(hold), id_) for id_ in gpu.device_ids(hold))


def advertised(node: Node, at_ns: int) -> list[Device]:
    """What the plugin offers at an instant. What claims are made of is the DRA driver's to give out."""
    claimed = {(device.gpu, device.gi) for claim in node.claims for device in claim.devices}
    return [
        device
        for gpu in node.gpus
        for found in engines(gpu, at_ns)
        if (gpu.index, found.gi) not in claimed
        for device in allocated(gpu, found.all_of_it())
    ]
