"""One line of a report: exact sums, what is billed, and how far its prices can be trusted."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.reports.basis import Billed
from gpucost_aggregator.store.rows import Dimension, Sums, Total

SHELF_LIFE_DAYS = 180
"""Prices past this age are shown as stale."""

PRICE_DIMENSIONS = (Dimension.PRICE_SOURCE, Dimension.PRICE_DATE)
"""What every report groups by last, so that a line knows where its prices come from."""


class PriceTag(NamedTuple):
    """Where a price comes from, and the date of that source as YYYY-MM-DD, empty if it has none."""

    source: str
    date: str

    @property
    def is_estimate(self) -> bool:
        """Whether it is a list price that nobody here agreed to."""
        return self.source.startswith("catalogue")

    def is_stale(self, at_ns: int) -> bool:
        """Whether it is past its shelf life at *at_ns*; a date that can not be read is not known to be."""
        try:
            written = date.fromisoformat(self.date)
        except ValueError:
            return False
        today = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_ns // NS_PER_SECOND)
        return today.date() - written > timedelta(days=SHELF_LIFE_DAYS)


@dataclass(frozen=True, slots=True)
class Group:
    """Totals of one line put together: sums, prices, flags, and the windows that they span."""

    sums: Sums = field(default_factory=Sums)
    prices: frozenset[PriceTag] = frozenset()
    flags: frozenset[str] = frozenset()
    first_ns: int | None = None
    last_ns: int | None = None
    last_used_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A group with what the report's basis bills it. *at_ns* is when its prices' age is looked at."""

    group: Group
    billed: Billed
    at_ns: int

    @property
    def sums(self) -> Sums:
        """The exact sums."""
        return self.group.sums

    @property
    def efficiency(self) -> float | None:
        """Used of charged, 0 to 1; None where nothing was charged."""
        charged = self.sums.charged_ns
        return self.sums.used_ns / charged if charged else None

    @property
    def is_lower_bound(self) -> bool:
        """Whether some use is unknown, so that the efficiency may be higher."""
        return self.sums.unmeasured_ns > 0

    @property
    def is_estimate(self) -> bool:
        """Whether a list price is in it."""
        return any(price.is_estimate for price in self.group.prices)

    @property
    def is_stale(self) -> bool:
        """Whether a price past its shelf life is in it."""
        return any(price.is_stale(self.at_ns) for price in self.group.prices)


def add_sums(many: Iterable[Sums]) -> Sums:
    """The sum of sums, field by field."""
    totals = dict.fromkeys(_FIELDS, 0)
    for sums in many:
        for name in _FIELDS:
            totals[name] += getattr(sums, name)
    return Sums(**totals)


def group_of(totals: Iterable[Total]) -> Group:
    """
    *totals* put together; the last two texts of their keys are the price's source and date.

    Several prices of one line are several totals, so its first and last windows are over all of them.
    """
    rows = list(totals)
    used = [total.last_used_ns for total in rows if total.last_used_ns is not None]
    return Group(
        sums=add_sums(total.sums for total in rows),
        prices=frozenset(PriceTag(*total.key[-2:]) for total in rows),
        flags=frozenset(flag for total in rows for flag in total.flags),
        first_ns=min((total.first_ns for total in rows), default=None),
        last_ns=max((total.last_ns for total in rows), default=None),
        last_used_ns=max(used, default=None),
    )


def join_groups(groups: Iterable[Group]) -> Group:
    """Several groups as one."""
    many = list(groups)
    used = [group.last_used_ns for group in many if group.last_used_ns is not None]
    return Group(
        sums=add_sums(group.sums for group in many),
        prices=frozenset().union(*(group.prices for group in many)),
        flags=frozenset().union(*(group.flags for group in many)),
        first_ns=min((group.first_ns for group in many if group.first_ns is not None), default=None),
        last_ns=max((group.last_ns for group in many if group.last_ns is not None), default=None),
        last_used_ns=max(used, default=None),
    )


_FIELDS = tuple(each.name for each in fields(Sums))
