"""
Who pays for one stretch of one device.

The formula is the ledger's (docs/adr/0003): who uses pays for its use, and what nobody used is paid
by those who blocked it without using it. It works on integrals of a whole stretch, never on samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from gpucost.apportion import apportion
from gpucost.identity import UNALLOCATED, Holder

from gpucost_agent.ledger.spans import NOT_KNOWN, Efficiency

OVERSUBSCRIBED = "oversubscribed"
OVERLAPPING = "overlapping"
"""Fractions of schedulers that together pass the device."""

SHADOW = "shadow"
"""Uses a device of which neither it nor another container of its pod holds anything."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    A part of a window in which a device's layout and reservations do not change, in wall nanoseconds.

    *watched_ns* is the part in which activity was watched. *free* is who blocked what nobody reserved:
    ``unallocated``, or ``unobserved`` where the agent can not say.
    With a limit (a share that is enforced), *used* is how long its holder was active, not what it used.
    *flags* go on the slices of the containers that hold the device; *excess* too, where they hold more than there is.
    *shadows* use it, and nobody gave it to them. *worker* is the one to whom *efficiency* belongs.
    """

    length_ns: int
    watched_ns: int
    reserved: Mapping[Holder, int] = field(default_factory=dict)
    used: Mapping[Holder, int] = field(default_factory=dict)
    limits: Mapping[Holder, Fraction] = field(default_factory=dict)
    free: Holder = UNALLOCATED
    method: str = ""
    samples: int = 0
    flags: frozenset[str] = frozenset()
    excess: str = OVERSUBSCRIBED
    shadows: frozenset[Holder] = frozenset()
    worker: Holder | None = None
    efficiency: Efficiency = NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Share:
    """What one holder reserved of a stretch, used of it, and pays for, in wall nanoseconds."""

    holder: Holder
    reserved_ns: int
    used_ns: int
    idle_ns: int
    unmeasured_ns: int
    flags: frozenset[str] = frozenset()

    @property
    def charged_ns(self) -> int:
        """What the holder pays for."""
        return self.used_ns + self.idle_ns + self.unmeasured_ns


def settle(stretch: Stretch) -> tuple[Share, ...]:
    """
    The shares of *stretch* in the ledger's order; their charged time sums to its length.

    Raises:
        ValueError: More was used than watched, or watched than there is: device activity bounds both,
            so this is a fault of the caller.
    """
    length = stretch.length_ns
    reserved, oversubscribed = _reserved(stretch)
    used = _used(stretch, reserved)
    used_in_all = sum(used.values())
    if not used_in_all <= stretch.watched_ns <= length:
        raise ValueError(f"used {used_in_all} ns of {stretch.watched_ns} ns watched of {length} ns")
    reserved[stretch.free] = reserved.get(stretch.free, 0) + length - sum(reserved.values())
    holders = sorted(reserved.keys() | used.keys(), key=lambda holder: holder.order)
    # What nobody reserved is claimed whole: its use, if any, has holders of its own.
    unused = [
        reserved.get(holder, 0)
        if holder == stretch.free
        else max(0, reserved.get(holder, 0) - used.get(holder, 0))
        for holder in holders
    ]
    parts = apportion(length - used_in_all, unused)
    shares = []
    for holder, part in zip(holders, parts, strict=True):
        idle, unmeasured = apportion(part, (stretch.watched_ns - used_in_all, length - stretch.watched_ns))
        flags = stretch.flags if holder in stretch.reserved else frozenset()
        if oversubscribed and holder in stretch.reserved:
            flags |= {stretch.excess}
        if holder in stretch.shadows:
            flags |= {SHADOW}
        shares.append(Share(holder, reserved.get(holder, 0), used.get(holder, 0), idle, unmeasured, flags))
    return tuple(shares)


def reserve_replicas(length_ns: int, replicas: int, held: Mapping[Holder, int]) -> dict[Holder, int]:
    """
    What each holder of time-slicing replicas reserves of a stretch of *length_ns*.

    A replica is one of *replicas* equal parts; units left over go to held replicas in the order of their
    holders, then to free ones. More held than there are makes the stretch oversubscribed.
    """
    holders = sorted(held, key=lambda holder: holder.order)
    parts = apportion(length_ns, [1] * replicas)
    # Beyond the number of replicas every further one blocks as much as the last.
    parts += [parts[-1]] * max(0, sum(held.values()) - replicas)
    reserved, first = {}, 0
    for holder in holders:
        reserved[holder] = sum(parts[first : first + held[holder]])
        first += held[holder]
    return reserved


def _reserved(stretch: Stretch) -> tuple[dict[Holder, int], bool]:
    if sum(stretch.reserved.values()) <= stretch.length_ns:
        return dict(stretch.reserved), False
    holders = sorted(stretch.reserved, key=lambda holder: holder.order)
    parts = apportion(stretch.length_ns, [stretch.reserved[holder] for holder in holders])
    return dict(zip(holders, parts, strict=True)), True


def _used(stretch: Stretch, reserved: Mapping[Holder, int]) -> dict[Holder, int]:
    used = dict(stretch.used)
    for holder, limit in stretch.limits.items():
        if holder in used:
            used[holder] = min(reserved.get(holder, 0), int(limit * used[holder]))
    return used
