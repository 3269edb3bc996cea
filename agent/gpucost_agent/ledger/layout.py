"""
How a GPU's time is divided over its devices: a whole GPU, or the instances of a MIG layout.

An instance weighs by the larger of its compute and memory parts, as it blocks both.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
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
    of its profile info (an A30 has four compute slices). *partitioned* is so in MIG mode also where there is no
    instance. *rest* is who answers for what can run nothing, and how long; empty is nobody all the time.
    """

    length_ns: int
    stretches: tuple[Stretch, ...] = ()
    instances: tuple[GpuInstance, ...] = ()
    compute_total: int = 0
    memory_total: int = 0
    rest: tuple[tuple[int, Holder], ...] = ()
    partitioned: bool = False


def joined(layouts: Iterable[Layout]) -> tuple[Layout, ...]:
    """Layouts of a window; one that stood at several times is one, as its length is divided over its devices once."""
    found: dict[Hashable, Layout] = {}
    for layout in layouts:
        shape = _shape(layout)
        before = found.get(shape)
        found[shape] = layout if before is None else _together(before, layout)
    return tuple(found.values())


def _shape(layout: Layout) -> Hashable:
    instances = tuple(
        (
            each.gi,
            each.profile,
            each.placement,
            each.compute_slices,
            each.memory_slices,
            tuple((part.ci, part.compute_slices) for part in each.compute_instances),
        )
        for each in layout.instances
    )
    return layout.partitioned, layout.compute_total, layout.memory_total, instances


def _together(before: Layout, after: Layout) -> Layout:
    """Two layouts of one shape."""
    instances = tuple(
        replace(
            one,
            compute_instances=tuple(
                replace(part, stretches=part.stretches + also.stretches)
                for part, also in zip(one.compute_instances, other.compute_instances, strict=True)
            ),
        )
        for one, other in zip(before.instances, after.instances, strict=True)
    )
    return replace(
        before,
        length_ns=before.length_ns + after.length_ns,
        stretches=before.stretches + after.stretches,
        instances=instances,
        rest=before.rest + after.rest,
    )


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
        yield DeviceTime(Device(gpu_uuid, profile=REMAINDER), remainder_ns, rest, _unusable(layout))


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
        yield DeviceTime(device, rest_ns, weight * Fraction(rest, whole), _unusable(layout))


def _unusable(layout: Layout) -> tuple[Stretch, ...]:
    # Nothing can run there, so a layout that was seen leaves nothing about its use to watch.
    return tuple(
        Stretch(length_ns, length_ns if holder == UNALLOCATED else 0, free=holder)
        for length_ns, holder in layout.rest or ((layout.length_ns, UNALLOCATED),)
    )
