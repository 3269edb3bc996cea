"""A sample, or a row of use by process, that lies across the instant at which a holder comes or goes."""

from collections.abc import Sequence

import pytest
from gpucost.identity import Device
from gpucost.window import Interval

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_look,
    a_pod,
    a_span,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
    uses,
)
from gpucost_agent.ledger.activity import Activity
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.borders import has_border
from gpucost_agent.ledger.occupancy import Occupancy, Part
from gpucost_agent.ledger.spans import NOT_KNOWN, Spans, Watched
from gpucost_agent.ledger.turns import turns_of
from gpucost_agent.readings import ActivitySource, ProcessIdentity, ProcessWindow, RingSample

MS = 1_000_000
PPM = 1_000_000


def of(from_ms: int, to_ms: int) -> Interval:
    return Interval(from_ms * MS, to_ms * MS)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], False),
        ([Interval(40, 90)], True),
        ([Interval(0, 1)], True),
        ([Interval(0, 50), Interval(50, 100)], False),
        ([Interval(0, 100)], False),
        ([Interval(-100, 200)], False),
        ([Interval(100, 200)], False),
    ],
)
def test_whether_a_turn_begins_or_ends_in_a_span(turns: Sequence[Interval], expected: bool) -> None:
    assert has_border(Interval(0, 100), turns) is expected


def rows(*windows: ProcessWindow) -> Activity[str]:
    """A GPU that was busy for four tenths of a second, all of it by p."""
    known = Activity[str](0)
    known.add_samples([RingSample(end * MS, 400_000) for end in (250, 500, 750, 1_000)])
    for window in windows:
        known.add_uses(window, {"p": 400_000})
    return known


def test_a_row_across_a_border_is_of_its_holders_turn() -> None:
    known = rows(ProcessWindow(0, 1_000 * MS, 4, ()))
    turns = {"p": [of(0, 500)]}
    for interval, used_ms in ((of(0, 500), 400), (of(500, 1_000), 0), (of(0, 1_000), 400)):
        used = known.used(interval, lambda who: turns.get(who, ()))
        assert used is not None
        assert used.by_process["p"] == used_ms * MS


def test_rows_after_one_that_ends_where_the_interval_begins() -> None:
    known = rows(ProcessWindow(0, 500 * MS, 2, ()), ProcessWindow(500 * MS, 1_000 * MS, 2, ()))
    used = known.used(of(500, 1_000))
    assert used is not None
    assert (used.by_process, used.samples) == ({"p": 200 * MS}, 2)


def test_rows_of_a_gpu_whose_ring_says_nothing() -> None:
    known = Activity[str](0)
    known.add_accounting(ProcessWindow(0, 500 * MS, 1, ()), {"p": PPM})
    assert known.used(of(0, 500)) is None


def test_a_sample_across_a_border_was_busy_while_somebody_held_the_engine() -> None:
    known = Activity[str](0)
    known.add_samples([RingSample(500 * MS, PPM), RingSample(1_000 * MS, PPM // 5)])
    held = [of(0, 600)]
    assert known.seen(of(0, 600), held).busy_ns == 600 * MS
    assert known.seen(of(600, 1_000), held).busy_ns == 0
    assert known.seen(of(600, 1_000)).busy_ns == 80 * MS


def test_what_only_touches_an_interval_says_nothing_of_it() -> None:
    spans = Spans(0)
    spans.add(a_span(100, 200, 50, sm_percent=50))
    assert spans.watched(Interval(0, 100)) == Watched()
    assert spans.watched(Interval(0, 100)).efficiency == NOT_KNOWN
    assert spans.watched(Interval(200, 300)) == Watched()


def test_a_span_that_is_given_again_is_one_sample() -> None:
    spans = Spans(0)
    spans.add(a_span(0, 100, 50, sm_percent=33))
    spans.add(a_span(0, 100, 50, sm_percent=33))
    whole = spans.watched(Interval(0, 101))
    assert whole.samples == 1
    assert repr(whole.efficiency.sm_ns) == "33", "whole nanoseconds"


def test_turns_that_touch_are_one_and_others_are_not() -> None:
    device, holder = Device(ONE), a_pod("a")
    held = {device: {holder: Part(1)}}
    found = turns_of(
        device,
        [
            Occupancy(Interval(0, 10), held),
            Occupancy(Interval(10, 20), held),
            Occupancy(Interval(20, 30), {}),
            Occupancy(Interval(30, 40), held),
            Occupancy(Interval(40, 50), None),
        ],
    )
    assert found.held == (Interval(0, 20), Interval(30, 40))
    assert found.by_holder == {holder: found.held}


OWN, HOST = ProcessIdentity(1, 1, "uid-a", "id-main"), ProcessIdentity(3, 1)


def left(percent: int, by_pid: dict[int, int] | None = None) -> Books:
    """A pod leaves in the middle of a second in which the GPU was so busy; before and after nobody used it."""
    books = new_books()
    learn(books, START, an_object("a"))
    hear(books, START, START + 30 * SECOND, {ONE: ["a"]})
    hear(books, START + 31 * SECOND, START + MINUTE + LATENESS, {ONE: []})
    for second in range(1, 61):
        end = START + second * SECOND
        busy = percent if second == 31 else 0
        window = uses(end - SECOND, end, by_pid) if by_pid and second == 31 else None
        books.read_gpu(a_look(end, ring=[(end, busy)], uses=window), {1: OWN, 2: None, 3: HOST})
    return books


def test_a_pod_that_left_did_what_was_done_while_it_could() -> None:
    found = bill(close_all(left(40), START + MINUTE + LATENESS))
    assert found[ONE, "a"] == (30.5, 0.4, 30.1, 0)
    assert (ONE, "unattributed") not in found


def test_its_process_did_nothing_after_it_and_others_did() -> None:
    """A host's process and one that nobody could identify work on: their rows are spread evenly."""
    found = bill(close_all(left(60, {1: 40, 2: 10, 3: 10}), START + MINUTE + LATENESS))
    assert found[ONE, "a"][1] == 0.45, "all of its half second but the host's part"
    assert found[ONE, "host"][1] == 0.1
    assert found[ONE, "unattributed"][1] == 0.05


def test_who_holds_it_just_after_is_no_shadow() -> None:
    """Nobody knows so exactly when it came."""
    books, end = new_books(), START + MINUTE
    learn(books, START, an_object("a"))
    hear(books, START, end, {ONE: []})
    hear(books, end + SECOND, end + LATENESS, {ONE: ["a"]})
    books.read_gpu(a_look(end - SECOND, ring=[(end - SECOND, 0)]), {})
    books.read_gpu(a_look(end, ring=[(end, 50)], uses=uses(end - SECOND, end, {1: 50})), {1: OWN})
    assert row_of(close_all(books, START + MINUTE + LATENESS), ONE, "a").flags == ()


def test_a_source_without_rows_is_asked_in_the_same_way() -> None:
    known = Activity[str](0)
    known.add_span(ActivitySource.DCGM, a_span(0, 1_000 * MS, 40))
    assert known.seen(of(0, 500), [of(0, 500)]).busy_ns == 400 * MS
