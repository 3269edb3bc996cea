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


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 200), st.sampled_from((-40, -7, -1, 1, 7, 90, 1000)), max_size=5))
def test_however_often_the_clock_is_set_the_time_that_was_is_charged(steps: dict[int, int]) -> None:
    books = new_books()
    closed = lived(books, 400 + LATENESS // SECOND, steps)
    check(closed)
    assert total(closed) == (400 + LATENESS // SECOND) * SECOND
