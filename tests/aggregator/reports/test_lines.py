from itertools import pairwise

from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval, from_rfc3339
from hypothesis import given
from hypothesis import strategies as st

from gpucost_aggregator.reports.basis import Billed
from gpucost_aggregator.reports.line import Group, Line, PriceTag, group_of
from gpucost_aggregator.reports.steps import MOST_STEPS, steps
from gpucost_aggregator.store.rows import Sums, Total

AT = from_rfc3339("2026-11-21T08:00:00Z")


def line(**sums: int) -> Line:
    return Line(Group(Sums(**sums)), Billed(), AT)


def test_efficiency_is_used_of_charged_and_nothing_of_nothing() -> None:
    assert line().efficiency is None
    assert line(used_ns=1, idle_ns=3).efficiency == 0.25
    assert not line(used_ns=1, idle_ns=3).is_lower_bound
    assert line(used_ns=1, unmeasured_ns=3).is_lower_bound


def test_catalogue_prices_are_estimates_and_old_ones_stale() -> None:
    assert PriceTag("catalogue_other_region", "").is_estimate
    assert not PriceTag("book:catalogue", "").is_estimate
    assert PriceTag("override", "2026-05-24").is_stale(AT)
    assert not PriceTag("override", "2026-05-25").is_stale(AT)
    assert not PriceTag("unknown", "").is_stale(AT)


def test_totals_of_several_prices_are_one_group() -> None:
    totals = [
        Total(("x", "override", "2026-11-01"), Sums(used_ns=1), 5, 9, None, ("carried",)),
        Total(("x", "catalogue", "2026-01-01"), Sums(used_ns=2), 3, 7, 7, ()),
    ]
    group = group_of(totals)
    assert group.sums.used_ns == 3
    assert (group.first_ns, group.last_ns, group.last_used_ns) == (3, 9, 7)
    assert group.flags == {"carried"}
    assert len(group.prices) == 2


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from([1, 10, 60, 900, 3_600]))
def test_steps_cover_a_stretch_without_gaps_in_bars_that_can_be_seen(
    start: int, length: int, window: int
) -> None:
    window_ns = window * NS_PER_SECOND
    stretch = Interval(start * window_ns, (start + length) * window_ns)
    pieces = steps(stretch, window_ns)
    assert 1 <= len(pieces) <= MOST_STEPS
    assert pieces[0].start_ns == stretch.start_ns
    assert pieces[-1].end_ns == stretch.end_ns
    assert all(one.end_ns == other.start_ns for one, other in pairwise(pieces))
    assert all(piece.start_ns % window_ns == 0 for piece in pieces)


def test_a_week_is_cut_in_hours_of_the_clock() -> None:
    pieces = steps(Interval(AT - 168 * NS_PER_HOUR, AT), 60 * NS_PER_SECOND)
    assert {piece.length_ns for piece in pieces[1:-1]} == {4 * NS_PER_HOUR}
    assert steps(Interval(AT, AT), 60 * NS_PER_SECOND) == []
