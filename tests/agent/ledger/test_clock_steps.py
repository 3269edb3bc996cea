"""After a step of the wall clock no time is invented, none is lost, and no window is made twice."""

from collections.abc import Iterable

import pytest
from gpucost.clock import Instant
from gpucost.cost_slice import breaches
from gpucost.window import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import (
    HOUR,
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    PRICE,
    SECOND,
    START,
    a_look,
    an_answer,
    name,
    new_books,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.clock_steps import ClockSteps
from gpucost_agent.ledger.laws import window_breaches


def lived(books: Books, seconds: int, steps: dict[int, int], pod: str = "a") -> list[ClosedWindow]:
    """A node that is watched for *seconds*; *steps* are seconds by which the clock is set, by when it is."""
    closed, shift = [], 0
    for second in range(seconds + 1):
        shift += steps.get(second, 0) * SECOND
        wall = START + second * SECOND + shift
        books.tick(Instant(wall, wall - shift - LONG_AGO))
        books.read_holders(an_answer(wall, {ONE: [pod]}))
        if second and second not in steps:
            books.read_gpu(a_look(wall, ONE, [(wall, 100)]), {})
        while (window := books.close_next(wall)) is not None:
            closed.append(window)
    return [*closed, *books.close_short(START + seconds * SECOND + shift)]


def check(closed: Iterable[ClosedWindow]) -> None:
    for window in closed:
        assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []
        assert [words for row in window.slices for words in breaches(row)] == []


def total(closed: Iterable[ClosedWindow]) -> int:
    return sum(row.time.charged_ns for window in closed for row in window.slices)


@pytest.mark.parametrize("step", [-45, -10, -1, 1, 10, 45, 600, 7200])
def test_a_step_neither_makes_nor_loses_time(step: int) -> None:
    closed = lived(new_books(), 300, {130: step})
    check(closed)
    assert total(closed) == 300 * SECOND
    starts = [window.interval.start_ns for window in closed]
    assert starts == sorted(set(starts))


def test_who_holds_the_gpu_pays_for_what_really_was() -> None:
    (window, *_) = lived(new_books(), 60, {20: 30})
    assert {name(row): row.time.charged_ns for row in window.slices} == {"a": 30 * SECOND}
    price = PRICE.nanodollars_per_hour or 0
    assert sum(row.cost.nanodollars for row in window.slices) == price * 30 * SECOND // HOUR


def test_a_window_grows_until_the_wall_passes_it() -> None:
    closed = lived(new_books(), 90, {50: -30})
    assert closed[0].interval.length_ns == MINUTE
    assert [sum(row.time.charged_ns for row in window.slices) for window in closed] == [90 * SECOND]
    assert closed[0].slices[0].time.unmeasured_ns >= 30 * SECOND


YEAR = 365 * 24 * 3_600


@pytest.mark.parametrize(
    "steps",
    [
        {130: YEAR},
        {130: YEAR, 150: -40, 170: -40},
        {130: -40, 131: YEAR, 132: -40, 133: -40},
        {20: YEAR, 130: YEAR},
    ],
)
def test_a_clock_that_is_set_forward_by_a_year_leaves_no_windows_behind(steps: dict[int, int]) -> None:
    closed = lived(new_books(), 300, steps)
    check(closed)
    assert total(closed) == 300 * SECOND
    assert len(closed) <= 8
    starts = [window.interval.start_ns for window in closed]
    assert starts == sorted(set(starts))


def test_use_after_a_step_is_still_what_was_watched() -> None:
    closed = lived(new_books(), 120, {20: 10})
    used = sum(row.time.used_ns for window in closed for row in window.slices)
    unmeasured = sum(row.time.unmeasured_ns for window in closed for row in window.slices)
    assert used + unmeasured == 120 * SECOND
    assert unmeasured <= 2 * SECOND


def test_a_clock_that_drifts_makes_no_step() -> None:
    clock = ClockSteps(START)
    for second in range(600):
        clock.tick(Instant(START + second * (SECOND + 500_000), second * SECOND))
    whole = Interval(START, START + HOUR)
    assert list(clock.real(whole)) == [whole]
    assert clock.again_ns(whole) == 0


MS = 1_000_000


def ticked(*ticks: tuple[int, int], from_ns: int = 0) -> ClockSteps:
    """Ticks as (wall, monotonic) in milliseconds."""
    clock = ClockSteps(from_ns)
    for wall, monotonic in ticks:
        clock.tick(Instant(wall * MS, monotonic * MS))
    return clock


def real_ms(clock: ClockSteps, start: int, end: int) -> list[tuple[int, int]]:
    parts = clock.real(Interval(start * MS, end * MS))
    return [(part.start_ns // MS, part.end_ns // MS) for part in parts]


def again_ms(clock: ClockSteps, start: int, end: int) -> int:
    return clock.again_ns(Interval(start * MS, end * MS)) // MS


@pytest.mark.parametrize(("step", "is_one"), [(50, False), (51, True), (-50, False), (-51, True)])
def test_a_step_is_more_than_fifty_milliseconds(step: int, is_one: bool) -> None:
    clock = ticked((1_000, 0), (1_000 + step, 0))
    assert (real_ms(clock, 0, 9_000) != [(0, 9_000)]) == (is_one and step > 0)
    assert again_ms(clock, 0, 9_000) == (-step if is_one and step < 0 else 0)


@pytest.mark.parametrize(("drift", "is_one"), [(150, False), (151, True)])
def test_what_ntp_slews_is_no_step(drift: int, is_one: bool) -> None:
    """A thousandth of a hundred seconds, and fifty milliseconds."""
    clock = ticked((0, 0), (100_000 + drift, 100_000))
    assert (real_ms(clock, 0, 200_000) != [(0, 200_000)]) == is_one


def test_time_that_never_was_lies_before_the_tick_that_tells_of_it() -> None:
    clock = ticked((1_000, 0), (2_000, 1_000), (33_000, 2_000), (34_000, 3_000), (45_000, 4_000))
    assert real_ms(clock, 0, 50_000) == [(0, 3_000), (33_000, 35_000), (45_000, 50_000)]
    assert real_ms(clock, 3_000, 33_000) == []
    assert real_ms(clock, 10_000, 34_000) == [(33_000, 34_000)]
    assert real_ms(clock, 0, 10_000) == [(0, 3_000)]
    assert again_ms(clock, 0, 50_000) == 0


def test_time_that_was_twice_belongs_to_where_the_clock_was_set_back() -> None:
    """At 10 s it was set back by 4: the interval that holds that instant was so much longer."""
    clock = ticked((9_000, 0), (6_000, 1_000))
    assert again_ms(clock, 0, 60_000) == 4_000
    assert again_ms(clock, 0, 10_000) == 4_000
    assert again_ms(clock, 10_000, 60_000) == 0
    assert again_ms(clock, 0, 9_999) == 0
    assert real_ms(clock, 0, 60_000) == [(0, 60_000)]


def test_a_clock_that_is_set_right_again_shows_no_time_that_never_was() -> None:
    back = ((9_000, 0), (6_000, 1_000))
    exactly = ticked(*back, (11_000, 2_000))
    assert (real_ms(exactly, 0, 60_000), again_ms(exactly, 0, 60_000)) == ([(0, 60_000)], 0)
    partly = ticked(*back, (8_000, 2_000))
    assert (real_ms(partly, 0, 60_000), again_ms(partly, 0, 60_000)) == ([(0, 60_000)], 3_000)
    further = ticked(*back, (17_000, 2_000))
    assert (real_ms(further, 0, 60_000), again_ms(further, 0, 60_000)) == ([(0, 11_000), (17_000, 60_000)], 0)
    twice = ticked(*back, (4_000, 2_000), (8_500, 3_000))
    assert again_ms(twice, 0, 60_000) == 3_500, "set back by 4 and by 3, and on again by 3.5"


def test_set_back_into_what_is_closed_the_open_window_grows_all_the_same() -> None:
    clock = ticked((9_000, 0), (2_000, 1_000), from_ns=30_000 * MS)
    assert clock.again_ns(Interval(30_000 * MS, 30_000 * MS + 1)) == 8_000 * MS
    assert clock.again_ns(Interval(0, 30_000 * MS)) == 0


def test_steps_of_closed_windows_are_forgotten_and_others_are_not() -> None:
    clock = ticked((9_000, 0), (6_000, 1_000), (7_000, 2_000), (37_000, 3_000))
    clock.forget_before(10_000 * MS - 1)
    assert again_ms(clock, 0, 60_000) == 0, "it was set right again"
    assert real_ms(clock, 0, 60_000) == [(0, 12_000), (37_000, 60_000)]
    clock.forget_before(36_999 * MS)
    assert real_ms(clock, 0, 60_000) == [(0, 12_000), (37_000, 60_000)]
    clock.forget_before(37_000 * MS)
    assert real_ms(clock, 0, 60_000) == [(0, 60_000)]
    back = ticked((9_000, 0), (6_000, 1_000))
    back.forget_before(9_999 * MS)
    assert again_ms(back, 0, 60_000) == 4_000
    back.forget_before(10_000 * MS)
    assert again_ms(back, 0, 60_000) == 0


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 200), st.sampled_from((-40, -7, -1, 1, 7, 90, 1000)), max_size=5))
def test_however_often_the_clock_is_set_the_time_that_was_is_charged(steps: dict[int, int]) -> None:
    books = new_books()
    closed = lived(books, 400 + LATENESS // SECOND, steps)
    check(closed)
    assert total(closed) == (400 + LATENESS // SECOND) * SECOND


def test_the_monotonic_clock_is_told_for_any_instant() -> None:
    assert ticked().monotonic_at(0) is None
    assert ticked((1_000, 500)).monotonic_at(3_000 * MS) == 2_500 * MS
    assert ticked((1_000, 500)).monotonic_at(800 * MS) == 300 * MS
    forward = ticked((1_000, 0), (33_000, 2_000))
    assert forward.monotonic_at(2_000 * MS) == 1_000 * MS
    back = ticked((9_000, 0), (6_000, 1_000))
    assert back.monotonic_at(9_999 * MS) == 999 * MS, "before it was set back"
    assert back.monotonic_at(10_000 * MS) == 5_000 * MS, "after that the clock has to get there again"
    both = ticked((1_000, 0), (33_000, 2_000), (13_000, 12_000))
    assert both.monotonic_at(13_000 * MS) == 2_000 * MS, "set back into time that never was"


def test_the_next_instant_that_was_is_after_all_that_never_was() -> None:
    clock = ticked((1_000, 0), (33_000, 2_000), (45_000, 4_000))
    for instant, expected in ((2_999, 2_999), (3_000, 33_000), (32_999, 33_000), (33_000, 33_000)):
        assert clock.next_real_ns(instant * MS) == expected * MS
    assert real_ms(clock, 34_000, 50_000) == [(34_000, 35_000), (45_000, 50_000)]
