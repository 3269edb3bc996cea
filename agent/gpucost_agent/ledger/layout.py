"""
How a GPU's time is divided over its devices: a whole GPU, or the instances of a MIG layout.

An instance weighs by the larger of its compute and memory parts, as it blocks both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from gpucost.apportion import apportion
from gpucost.identity import REMAINDER, UNALLOCATED, Device, Holder

from gpucost_agent.ledger.settle import Stretch


@dataclass(frozen=True, slots=True)
class ComputeInstance:
    """A compute instance of a GPU instance, by how many of its compute slices it has."""

    ci: int
    compute_slices: int
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class GpuInstance:
    """A GPU instance, by how many of the GPU's compute and memory slices it has."""

    gi: int
    profile: str
    placement: int
    compute_slices: int
    memory_slices: int
    compute_instances: tuple[ComputeInstance, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How a GPU was cut for *length_ns* wall nanoseconds.

    A whole GPU has *stretches* and no instances. A partitioned one has instances; the totals are those
    of its profile info (an A30 has four compute slices). *rest* is who answers for what can run nothing.
    *partitioned* is so in MIG mode also where there is no instance.
    """

    length_ns: int
    stretches: tuple[Stretch, ...] = ()
    instances: tuple[GpuInstance, ...] = ()
    compute_total: int = 0
    memory_total: int = 0
    rest: Holder = UNALLOCATED
    partitioned: bool = False


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """What a device gets of a layout's GPU-time, its weight before scaling, and its stretches."""

    device: Device
    gpu_time_ns: int
    weight: Fraction
    stretches: tuple[Stretch, ...]


def divide(gpu_uuid: str, layout: Layout) -> Iterator[DeviceTime]:
    """The devices of *layout* in the ledger's order; their GPU-time sums to its length."""
    if not (layout.instances or layout.partitioned):
        yield DeviceTime(Device(gpu_uuid), layout.length_ns, Fraction(1), layout.stretches)
        return
    instances = sorted(
        layout.instances, key=lambda instance: (instance.gi, instance.profile, instance.placement)
    )
    weights = [weight_of(instance, layout) for instance in instances]
    rest = max(Fraction(0), 1 - sum(weights, Fraction(0)))
    *times, remainder_ns = apportion(layout.length_ns, [*weights, rest])
    for instance, weight, time_ns in zip(instances, weights, times, strict=True):
        yield from _divide_instance(gpu_uuid, instance, weight, time_ns, layout)
    if remainder_ns:
        yield DeviceTime(Device(gpu_uuid, profile=REMAINDER), remainder_ns, rest, (_unusable(layout),))


def weight_of(instance: GpuInstance, layout: Layout) -> Fraction:
    """An instance's part of its GPU before scaling: the larger of its compute and memory parts."""
    return max(
        Fraction(instance.compute_slices, layout.compute_total),
        Fraction(instance.memory_slices, layout.memory_total),
    )


def _divide_instance(
    gpu_uuid: str, instance: GpuInstance, weight: Fraction, time_ns: int, layout: Layout
) -> Iterator[DeviceTime]:
    parts = sorted(instance.compute_instances, key=lambda part: part.ci)
    slices = [part.compute_slices for part in parts]
    rest = max(0, instance.compute_slices - sum(slices))
    whole = sum(slices) + rest
    *times, rest_ns = apportion(time_ns, [*slices, rest])
    for part, part_ns in zip(parts, times, strict=True):
        device = Device(gpu_uuid, instance.gi, part.ci, instance.profile, instance.placement)
        yield DeviceTime(device, part_ns, weight * Fraction(part.compute_slices, whole), part.stretches)
    if rest_ns:
        device = Device(gpu_uuid, instance.gi, None, instance.profile, instance.placement)
        yield DeviceTime(device, rest_ns, weight * Fraction(rest, whole), (_unusable(layout),))


def _unusable(layout: Layout) -> Stretch:
    # Nothing can run there, so a layout that was seen leaves nothing about its use to watch.
    watched = layout.length_ns if layout.rest == UNALLOCATED else 0
    return Stretch(layout.length_ns, watched, free=layout.rest)
