"""Use of devices by those who do not hold them: time that nobody holds is free, and not always idle."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpucost.identity import HolderKind
from gpucost.window import Interval

from gpucost_aggregator.reports.holding import HOLDING, Holding
from gpucost_aggregator.reports.line import Group
from gpucost_aggregator.store.rows import SHADOW, Total

Key = tuple[str, ...]
"""A device in the whole fleet, as ``Holding.device``."""


@dataclass(frozen=True, slots=True)
class FreeTime:
    """
    What there is to know of devices before their free time is called idle.

    *held_now*: a container holds some of it in the latest window. *used_now*: somebody uses it then who does not
    hold it. *uses* are such uses in the whole period, each from its first window to its last.
    """

    held_now: frozenset[Key]
    used_now: frozenset[Key]
    uses: Mapping[Key, Sequence[Interval]]

    def last_use(self, holding: Holding, free: Group) -> int | None:
        """End of the last use that met the *free* time of a device; use while others held it met none."""
        if free.first_ns is None or free.last_ns is None:
            return None
        uses = self.uses.get(holding.device, ())
        met = [use.end_ns for use in uses if use.start_ns < free.last_ns and use.end_ns > free.first_ns]
        return max(met, default=None)


def free_time(totals: Sequence[Total], latest: Sequence[Total]) -> FreeTime:
    """Of the *totals* of a period and of its *latest* window; their keys begin with a holding and SHADOW."""
    uses = defaultdict(list)
    used_now = _uses(latest)
    for device, use in (*_uses(totals), *used_now):
        uses[device].append(use)
    return FreeTime(_held(latest), frozenset(device for device, _ in used_now), dict(uses))


def _held(totals: Sequence[Total]) -> frozenset[Key]:
    found = ((_holding(total), total.sums.reserved_ns) for total in totals)
    return frozenset(holding.device for holding, reserved_ns in found if holding.is_held and reserved_ns)


def _uses(totals: Sequence[Total]) -> list[tuple[Key, Interval]]:
    held = _held(totals)
    found = []
    for total in totals:
        holding, flag = _holding(total), total.key[len(HOLDING)]
        kind = holding.holder_kind
        # Of a device that somebody holds, what no process accounts for may be the holder's own use.
        nobodys = kind == HolderKind.UNATTRIBUTED.value and holding.device not in held
        unheld = flag == SHADOW or kind == HolderKind.HOST.value or nobodys
        if unheld and total.last_used_ns is not None:
            found.append((holding.device, Interval(total.first_ns, total.last_used_ns)))
    return found


def _holding(total: Total) -> Holding:
    return Holding(*total.key[: len(HOLDING)])
