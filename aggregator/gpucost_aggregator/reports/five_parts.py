"""The five parts that every scope is shown in, always in this order."""

from collections.abc import Iterable
from typing import NamedTuple

from gpucost.identity import HolderKind

from gpucost_aggregator.reports.line import add_sums
from gpucost_aggregator.reports.report import Remainder, Report, Subject
from gpucost_aggregator.store.rows import Dimension, Sums, Total

BY = (Dimension.HOLDER_KIND,)
"""What totals are grouped by for ``five_of_totals``."""


class Five(NamedTuple):
    """
    One measure, nanoseconds or nano-dollars, in its parts.

    The first three are charged to somebody: containers, the host, and use that no process accounts for.
    """

    used: int = 0
    unknown: int = 0
    idle: int = 0
    unallocated: int = 0
    unobserved: int = 0

    @property
    def charged(self) -> int:
        """What somebody pays."""
        return self.used + self.unknown + self.idle

    @property
    def nobodys(self) -> int:
        """What nobody holds, or nobody watched."""
        return self.unallocated + self.unobserved

    @property
    def total(self) -> int:
        """All of it."""
        return self.charged + self.nobodys


class Shares(NamedTuple):
    """The same scope in nano-dollars and in nanoseconds of GPU-time."""

    money: Five
    time: Five


def shares(charged: Sums, unallocated: Sums, unobserved: Sums) -> Shares:
    """The five parts of what is *charged* to somebody, and of what is charged to nobody."""
    return Shares(
        Five(
            charged.cost_used_nanodollars,
            charged.cost_unmeasured_nanodollars,
            charged.cost_idle_nanodollars,
            unallocated.cost_nanodollars,
            unobserved.cost_nanodollars,
        ),
        Five(
            charged.used_ns,
            charged.unmeasured_ns,
            charged.idle_ns,
            unallocated.charged_ns,
            unobserved.charged_ns,
        ),
    )


def shares_of_report(report: Report[Subject]) -> Shares:
    """The five parts of a report that has no unallocated or unobserved rows."""
    nobodys = (Remainder.UNALLOCATED, Remainder.UNOBSERVED)
    charged = [row.line.sums for row in report.rows]
    charged += [line.sums for kind, line in report.remainders.items() if kind not in nobodys]
    unallocated, unobserved = (report.remainders[kind].sums for kind in nobodys)
    return shares(add_sums(charged), unallocated, unobserved)


def shares_of_totals(totals: Iterable[Total]) -> Shares:
    """The five parts of totals that are grouped by ``BY``."""
    rows = [(total.key[0], total.sums) for total in totals]
    unallocated = [sums for kind, sums in rows if kind == HolderKind.UNALLOCATED.value]
    unobserved = [sums for kind, sums in rows if kind == HolderKind.UNOBSERVED.value]
    nobodys = (HolderKind.UNALLOCATED.value, HolderKind.UNOBSERVED.value)
    charged = [sums for kind, sums in rows if kind not in nobodys]
    return shares(add_sums(charged), add_sums(unallocated), add_sums(unobserved))
