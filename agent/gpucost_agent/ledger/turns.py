"""When a device was held, and by whom: for what is seen across the instants at which that changes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpucost.identity import Device, Holder
from gpucost.window import Interval

from gpucost_agent.ledger.occupancy import Occupancy


@dataclass(frozen=True, slots=True)
class Turns:
    """When a device was held, and by whom; intervals in the order of time."""

    held: tuple[Interval, ...] = ()
    by_holder: dict[Holder, tuple[Interval, ...]] = field(default_factory=dict)


def turns_of(device: Device, occupancies: Sequence[Occupancy]) -> Turns:
    """The turns at *device*."""
    held: list[Interval] = []
    by_holder: dict[Holder, list[Interval]] = {}
    for occupancy in occupancies:
        holders = (occupancy.by_device or {}).get(device, {})
        if holders:
            _extend(held, occupancy.interval)
        for holder in holders:
            _extend(by_holder.setdefault(holder, []), occupancy.interval)
    return Turns(tuple(held), {holder: tuple(turns) for holder, turns in by_holder.items()})


def _extend(turns: list[Interval], more: Interval) -> None:
    if turns and turns[-1].end_ns == more.start_ns:
        turns[-1] = Interval(turns[-1].start_ns, more.end_ns)
    else:
        turns.append(more)
