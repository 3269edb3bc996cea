from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval, from_rfc3339

from gpucost_aggregator.reports.completeness import LIVE_FOR_NS, Completeness, completeness
from gpucost_aggregator.reports.period import period, zone_named
from gpucost_aggregator.store.rows import NodeProgress

NOW = from_rfc3339("2026-11-21T08:01:30Z")
THROUGH = from_rfc3339("2026-11-21T08:00:00Z")
MINUTE = 60 * NS_PER_SECOND
KNOWN = Completeness(THROUGH, MINUTE, 2, (), NOW)
NOTHING = Completeness(None, None, 0, (), None)


@pytest.mark.parametrize(("text", "hours"), [("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720)])
def test_a_length_ends_at_the_last_complete_window(text: str, hours: int) -> None:
    found = period(text, UTC, NOW, KNOWN)
    assert found.answered == Interval(THROUGH - hours * NS_PER_HOUR, THROUGH)
    assert not found.is_cut


def test_a_length_without_any_window_ends_now() -> None:
    assert period("1h", UTC, NOW, NOTHING).answered.end_ns == NOW - NOW % MINUTE


def test_today_begins_at_midnight_in_its_zone_and_is_cut_where_the_books_are_open() -> None:
    utc = period("today", UTC, NOW, KNOWN)
    assert utc.answered == Interval(from_rfc3339("2026-11-21T00:00:00Z"), THROUGH)
    assert utc.is_cut
    tokyo = period("today", ZoneInfo("Asia/Tokyo"), NOW, KNOWN)
    assert tokyo.answered.start_ns == from_rfc3339("2026-11-20T15:00:00Z")


@pytest.mark.parametrize("mark", [",", "/"])
def test_a_pair_leaves_its_end_out_and_lies_on_windows(mark: str) -> None:
    found = period(f"2026-11-21T07:00:30Z{mark}2026-11-21T08:30:00+01:00", UTC, NOW, KNOWN)
    assert found.answered == Interval(
        from_rfc3339("2026-11-21T07:00:00Z"), from_rfc3339("2026-11-21T07:30:00Z")
    )


def test_a_pair_past_the_last_complete_window_is_cut_and_may_be_empty() -> None:
    cut = period("2026-11-21T07:59:00Z,2026-11-21T09:00:00Z", UTC, NOW, KNOWN)
    assert cut.answered == Interval(THROUGH - MINUTE, THROUGH)
    assert cut.is_cut
    ahead = period("2026-11-22T00:00:00Z,2026-11-23T00:00:00Z", UTC, NOW, KNOWN)
    assert ahead.answered.length_ns == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "0h",
        "-1d",
        "999999h",
        "yesterday",
        "2026-11-21,2026-11-22",
        "2026-11-21T00:00:00Z",
        "2026-11-21T02:00:00Z,2026-11-21T02:00:00Z",
        "2026-11-21T02:00:00Z,2026-11-21T01:00:00Z",
        "1960-01-01T00:00:00Z,1961-01-01T00:00:00Z",
        "2026-11-21T00:00:00Z,2026-11-22T00:00:00Z,2026-11-23T00:00:00Z",
    ],
)
def test_anything_else_is_no_window(text: str) -> None:
    with pytest.raises(Reject):
        period(text, UTC, NOW, KNOWN)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "/etc/localtime", "\0"])
def test_a_zone_has_an_iana_name(name: str) -> None:
    assert zone_named("UTC") is UTC
    with pytest.raises(Reject):
        zone_named(name)


def node(name: str, closed_through_ns: int, heard_ns: int, window_ns: int = MINUTE) -> NodeProgress:
    return NodeProgress(NodeId("east", name), "boot", window_ns, closed_through_ns, heard_ns)


def test_books_are_complete_up_to_the_slowest_live_node() -> None:
    found = completeness([node("a", THROUGH, NOW), node("b", THROUGH - MINUTE, NOW - MINUTE)], (), NOW)
    assert (found.complete_through_ns, found.window_ns, found.silent) == (THROUGH - MINUTE, MINUTE, ())


def test_a_silent_node_holds_nobody_up_and_is_named() -> None:
    gone = node("b", THROUGH - NS_PER_HOUR, NOW - LIVE_FOR_NS - 1)
    found = completeness([node("a", THROUGH, NOW), gone], (), NOW)
    assert found.complete_through_ns == THROUGH
    assert found.silent == (gone.node,)


def test_where_all_are_silent_the_furthest_counts() -> None:
    found = completeness([node("a", THROUGH, 0), node("b", THROUGH - MINUTE, 0)], (), NOW)
    assert found.complete_through_ns == THROUGH
    assert completeness([], (), NOW) == NOTHING


def test_only_the_clusters_asked_for_count() -> None:
    assert completeness([node("a", THROUGH, NOW)], ("west",), NOW) == NOTHING


def test_a_window_closed_short_is_not_complete_for_the_fleet() -> None:
    found = completeness([node("a", THROUGH + NS_PER_SECOND, NOW)], (), NOW)
    assert found.complete_through_ns == THROUGH
