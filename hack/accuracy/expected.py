"""What each holder should be seen to use and pay: the ledger's formula over the truth, stretch by stretch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from accuracy.plan import GpuPlan
from accuracy.truth import NS, Device, DeviceTruth, Hold, Truth, Who
from demo.audit import formula

UNALLOCATED = Who("unallocated")
CHANGE_NS = NS
"""A change of holders or of a layout is seen to the second."""


@dataclass(slots=True)
class Due:
    """What one holder of one device should have in one window, in nanoseconds of the whole GPU."""

    device_ns: float = 0
    reserved_ns: float = 0
    used_ns: float = 0
    charged_ns: float = 0


@dataclass(frozen=True, slots=True)
class Time:
    """What is compared: whole windows from one instant to another."""

    begin_ns: int
    end_ns: int
    window_ns: int

    def windows(self) -> Iterator[tuple[int, int]]:
        for begin in range(self.begin_ns, self.end_ns, self.window_ns):
            yield begin, begin + self.window_ns


Dues = dict[tuple[Device, Who], dict[int, Due]]
"""By device, holder and the window's start."""


def expect(truth: Truth, plans: Mapping[str, GpuPlan], time: Time) -> Dues:
    """What is due to everybody."""
    found: Dues = defaultdict(lambda: defaultdict(Due))
    for key, device in truth.devices.items():
        edges = {edge for hold in device.holds for edge in (hold.since_ns, hold.until_ns)}
        for begin, end in time.windows():
            for since, until, weight in _lives(key, plans[key.gpu_uuid], begin, end):
                cuts = [since, *sorted(edge for edge in edges if since < edge < until), until]
                for stretch in pairwise(cuts):
                    for who, due in _settled(device, stretch).items():
                        _add(found[key, who][begin], due, weight)
    return found


def changes(truth: Truth, plans: Mapping[str, GpuPlan], time: Time, key: Device, who: Who) -> list[int]:
    """When holders or the layout change within a holder's life, or near its ends."""
    device = truth.devices[key]
    begin, end = device.life(who)
    edges = {edge for hold in device.holds for edge in (hold.since_ns, hold.until_ns)}
    edges |= {layout.begin_ns for layout in plans[key.gpu_uuid].layouts}
    near = max(begin - CHANGE_NS, time.begin_ns - CHANGE_NS), min(end + CHANGE_NS, time.end_ns + CHANGE_NS)
    return [edge for edge in edges if near[0] < edge < near[1]]


def weight_of(key: Device, plan: GpuPlan, instant_ns: int) -> Fraction | None:
    """A device's part of its GPU at an instant; None if it is not there."""
    instances = plan.layout_at(instant_ns).instances
    if key.gi is None or instances is None:
        return Fraction(1) if key.gi is None and instances is None else None
    for each in instances:
        if (each.gi, each.profile) == (key.gi, key.profile) and key.ci is not None and key.ci in each.parts:
            return each.weight * Fraction(each.parts[key.ci][0], each.slices)
    return None


def _lives(key: Device, plan: GpuPlan, begin_ns: int, end_ns: int) -> Iterator[tuple[int, int, Fraction]]:
    """The parts of an interval in which a device is there, each with its weight."""
    for layout in plan.layouts:
        since, until = max(begin_ns, layout.begin_ns), min(end_ns, layout.end_ns)
        weight = weight_of(key, plan, layout.begin_ns)
        if since < until and weight is not None:
            yield since, until, weight


def _settled(device: DeviceTruth, stretch: tuple[int, int]) -> dict[Who, Due]:
    begin, end = stretch
    length = end - begin
    holds = [hold for hold in device.holds if hold.since_ns <= begin and end <= hold.until_ns]
    reserved = _reserved(holds, length)
    used = {who: _use(device, who, stretch, reserved) for who in device.everybody()}
    used = {who: ns for who, ns in used.items() if ns}
    order = [*sorted({*reserved, *used}), UNALLOCATED]
    parts = formula.settle(formula.Stretch(length, length), reserved, used, UNALLOCATED, order)
    due = {}
    for who, part in parts.items():
        there = 0
        if who in reserved:
            there = length
        elif who in used:
            since, until = device.life(who)
            there = min(end, until) - max(begin, since)
        due[who] = Due(there, part.reserved_ns, part.used_ns, part.charged_ns)
    return due


def _reserved(holds: list[Hold], length: int) -> dict[Who, int]:
    """By replicas or by the part that a scheduler gave; what is more than there is, is scaled down to it."""
    whole = [hold for hold in holds if hold.share == 1]
    reserved: dict[Who, int] = defaultdict(int)
    if whole:
        counts = sorted((hold.who, hold.replicas) for hold in whole)
        of = whole[0].of
        if sum(count for _, count in counts) <= of:
            reserved.update(formula.replicas(length, of, counts))
        else:
            for who, count in counts:
                reserved[who] += length * count // of
    for hold in holds:
        if hold.share != 1:
            reserved[hold.who] += int(length * Fraction(str(hold.share)))
    if sum(reserved.values()) > length:
        names = sorted(reserved)
        reserved = defaultdict(
            int, zip(names, formula.apportion(length, [reserved[name] for name in names]), strict=True)
        )
    return dict(reserved)


def _use(device: DeviceTruth, who: Who, stretch: tuple[int, int], reserved: dict[Who, int]) -> int:
    used = device.used(who, *stretch)
    if who in device.threads:
        return min(reserved.get(who, 0), int(device.threads[who] * used))
    return used


def _add(due: Due, more: Due, weight: Fraction) -> None:
    due.device_ns += float(weight * int(more.device_ns))
    due.reserved_ns += float(weight * int(more.reserved_ns))
    due.used_ns += float(weight * int(more.used_ns))
    due.charged_ns += float(weight * int(more.charged_ns))
