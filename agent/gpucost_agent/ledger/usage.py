"""What each holder used of a device: the driver's samples by process, bounded by the device's own activity."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from gpucost.apportion import apportion
from gpucost.identity import UNATTRIBUTED, Holder
from gpucost.window import Interval

from gpucost_agent.ledger.activity import Activity
from gpucost_agent.readings import ProcessIdentity

Process = ProcessIdentity | None
"""A process, or None for one that nobody could identify."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Use by holder in wall nanoseconds; it never sums to more than *watched_ns*."""

    watched_ns: int
    used: Mapping[Holder, int] = field(default_factory=dict)
    method: str = ""
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Holders:
    """
    Who holds a device in an interval, and whose a process is.

    *alone* is the one that holds the whole device by itself, None if there is none.
    *memory* is what each holder's processes hold, for where nothing better is known.
    """

    containers: Collection[Holder]
    alone: Holder | None
    owner: Callable[[ProcessIdentity], Holder]
    memory: Mapping[Holder, int] = field(default_factory=dict)


def usage(activity: Activity[Process], interval: Interval, holders: Holders) -> Usage:
    """What *activity* says of *interval*, best method first."""
    device = activity.watched(interval)
    if not device.watched_ns:
        return Usage(0)
    parts, samples = _by_owner(activity, interval, holders)
    if holders.alone is not None:
        return _alone(holders.alone, device.busy_ns, parts, Usage(device.watched_ns, samples=device.samples))
    if not device.busy_ns and not any(parts.values()):
        return Usage(device.watched_ns, {}, "ring", device.samples)
    if samples:
        if (shortfall := device.busy_ns - sum(parts.values())) > 0:
            parts[UNATTRIBUTED] = parts.get(UNATTRIBUTED, 0) + shortfall
        return Usage(device.watched_ns, _scaled(parts, device.busy_ns), "ring_process", samples)
    if held := {holder: held for holder, held in holders.memory.items() if held}:
        return Usage(device.watched_ns, _divided(device.busy_ns, held), "memory")
    if holders.containers:
        return Usage(
            device.watched_ns, _divided(device.busy_ns, dict.fromkeys(holders.containers, 1)), "equal"
        )
    return Usage(device.watched_ns, {UNATTRIBUTED: device.busy_ns}, "ring", device.samples)


def _by_owner(
    activity: Activity[Process], interval: Interval, holders: Holders
) -> tuple[dict[Holder, int], int]:
    parts: dict[Holder, int] = {}
    by_process, samples = activity.used(interval)
    for process, used_ns in by_process.items():
        owner = UNATTRIBUTED if process is None else holders.owner(process)
        parts[owner] = parts.get(owner, 0) + used_ns
    return parts, samples


def _alone(alone: Holder, busy_ns: int, parts: Mapping[Holder, int], seen: Usage) -> Usage:
    """
    Everything the device did is its only holder's, but for what others were seen to do.

    Who could not be identified counts as the holder's: it pays for the whole device either way.
    """
    others = {owner: used for owner, used in parts.items() if owner not in (alone, UNATTRIBUTED) and used}
    others = _scaled(others, busy_ns)
    used = {**others, alone: busy_ns - sum(others.values())}
    return Usage(seen.watched_ns, used, "ring_process" if others else "ring", seen.samples)


def _scaled(parts: dict[Holder, int], most_ns: int) -> dict[Holder, int]:
    return parts if sum(parts.values()) <= most_ns else _divided(most_ns, parts)


def _divided(total_ns: int, weights: Mapping[Holder, int]) -> dict[Holder, int]:
    holders = sorted(weights, key=lambda holder: holder.order)
    parts = apportion(total_ns, [weights[holder] for holder in holders])
    return dict(zip(holders, parts, strict=True))
