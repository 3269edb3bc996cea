"""What each holder used of a device: the driver's word by process, bounded by the device's own activity."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from gpucost.apportion import apportion
from gpucost.identity import UNATTRIBUTED, Holder

from gpucost_agent.ledger.activity import Seen, Used
from gpucost_agent.readings import ProcessIdentity

Process = ProcessIdentity | None
"""A process, or None for one that nobody could identify."""

MEMORY = "memory"
EQUAL = "equal"


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
    *blind*: processes were seen, and of none could be said whose it is.
    *limited*: each can use a part of the device only, so that it is busy for longer than their parts tell.
    """

    containers: Collection[Holder]
    alone: Holder | None
    owner: Callable[[ProcessIdentity], Holder]
    memory: Mapping[Holder, int] = field(default_factory=dict)
    blind: bool = False
    limited: bool = False


def usage(seen: Seen, used: Used[Process] | None, holders: Holders) -> Usage:
    """Who used what of a device that was *seen* to work, best method first."""
    if not seen.watched_ns:
        return Usage(0)
    parts = _by_owner(used.by_process if used is not None else {}, holders)
    if holders.alone is not None:
        return _alone(holders.alone, seen, parts, used)
    if not seen.busy_ns and not any(parts.values()):
        return Usage(seen.watched_ns, {}, seen.method, seen.samples)
    if used is not None and (used.samples or any(parts.values())) and not holders.blind:
        parts = _filled(parts, seen.busy_ns, _by_owner(used.rounded_off, holders), holders.limited)
        return Usage(seen.watched_ns, _scaled(parts, seen.busy_ns), used.method, used.samples)
    if held := {holder: held for holder, held in holders.memory.items() if held}:
        return Usage(seen.watched_ns, _divided(seen.busy_ns, held), MEMORY)
    if holders.containers:
        return Usage(seen.watched_ns, _divided(seen.busy_ns, dict.fromkeys(holders.containers, 1)), EQUAL)
    return Usage(seen.watched_ns, {UNATTRIBUTED: seen.busy_ns}, seen.method, seen.samples)


def _by_owner(by_process: Mapping[Process, int], holders: Holders) -> dict[Holder, int]:
    parts: dict[Holder, int] = {}
    for process, used_ns in by_process.items():
        owner = UNATTRIBUTED if process is None else holders.owner(process)
        parts[owner] = parts.get(owner, 0) + used_ns
    return parts


def _alone(alone: Holder, seen: Seen, parts: Mapping[Holder, int], by: Used[Process] | None) -> Usage:
    """
    Everything the device did is its only holder's, but for what others were seen to do.

    Who could not be identified counts as the holder's: it pays for the whole device either way.
    """
    others = {owner: used for owner, used in parts.items() if owner not in (alone, UNATTRIBUTED) and used}
    others = _scaled(others, seen.busy_ns)
    used = {**others, alone: seen.busy_ns - sum(others.values())}
    method = by.method if others and by is not None else seen.method
    return Usage(seen.watched_ns, used, method, seen.samples)


def _filled(
    parts: Mapping[Holder, int], busy_ns: int, rounded_off: Mapping[Holder, int], limited: bool
) -> dict[Holder, int]:
    """
    *parts* with what rounding took from them, as far as the device was busier than they say.

    What is short beyond that no process accounts for, unless their use is *limited*.
    """
    short = max(0, busy_ns - sum(parts.values()))
    undone = min(short, sum(rounded_off.values()))
    filled = {**dict.fromkeys(rounded_off, 0), UNATTRIBUTED: 0, **parts}
    for holder, more in _divided(undone, rounded_off).items():
        filled[holder] += more
    if not limited:
        filled[UNATTRIBUTED] += short - undone
    return {holder: part for holder, part in filled.items() if part}


def _scaled(parts: dict[Holder, int], most_ns: int) -> dict[Holder, int]:
    return parts if sum(parts.values()) <= most_ns else _divided(most_ns, parts)


def _divided(total_ns: int, weights: Mapping[Holder, int]) -> dict[Holder, int]:
    holders = sorted(weights, key=lambda holder: holder.order)
    parts = apportion(total_ns, [weights[holder] for holder in holders])
    return dict(zip(holders, parts, strict=True))
