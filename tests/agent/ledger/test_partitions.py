"""How a GPU was cut, and when, from answers that come now and then."""

from itertools import pairwise

from gpucost.window import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import SECOND, an_instance, cut_into
from gpucost_agent.ledger.partitions import Partitions, Period
from gpucost_agent.readings import WHOLE, Partition

ONE, TWO = cut_into(an_instance(1)), cut_into(an_instance(1), an_instance(2))
NAMES = {WHOLE: "whole", ONE: "one", TWO: "two", None: "?"}


def history(*answers: tuple[int, Partition], from_ns: int = 0) -> Partitions:
    partitions = Partitions(from_ns)
    for at, partition in answers:
        partitions.seen(at, partition)
    return partitions


def told(partitions: Partitions, start: int, end: int) -> list[tuple[int, int, str]]:
    return [
        (period.interval.start_ns, period.interval.end_ns, NAMES[period.partition])
        for period in partitions.periods(Interval(start, end))
    ]


def test_nobody_saw_anything() -> None:
    assert told(history(), 0, 10) == [(0, 10, "?")]
    assert history().latest is None


def test_the_first_answer_counts_back_to_the_first_look_and_on() -> None:
    partitions = history((50, ONE), from_ns=20)
    assert told(partitions, 0, 100) == [(0, 100, "one")]


def test_a_change_lies_in_the_middle_between_the_answers_around_it() -> None:
    partitions = history((0, WHOLE), (10, WHOLE), (20, ONE), (30, ONE), (41, TWO))
    assert told(partitions, 0, 60) == [(0, 15, "whole"), (15, 35, "one"), (35, 60, "two")]
    assert told(partitions, 15, 35) == [(15, 35, "one")]
    assert told(partitions, 14, 16) == [(14, 15, "whole"), (15, 16, "one")]
    assert partitions.latest == TWO


def test_seeing_tells_from_when_on_it_holds_if_it_is_new() -> None:
    partitions = Partitions(3)
    assert [partitions.seen(10, WHOLE), partitions.seen(20, WHOLE), partitions.seen(30, ONE)] == [3, None, 25]


def test_answers_at_one_instant_follow_each_other() -> None:
    partitions = history((10, WHOLE), (10, ONE), (10, TWO))
    assert told(partitions, 0, 20) == [(0, 10, "whole"), (10, 11, "one"), (11, 20, "two")]


def test_an_answer_from_before_moves_no_beginning_back() -> None:
    partitions = history((100, WHOLE), (110, ONE), (50, TWO))
    assert told(partitions, 0, 200) == [(0, 105, "whole"), (105, 106, "one"), (106, 200, "two")]
    partitions.seen(40, TWO)
    partitions.seen(120, ONE)
    assert told(partitions, 110, 200) == [(110, 200, "one")], (
        "since the last look at what it was before: 0:50"
    )


def test_far_from_any_look_it_is_not_seen() -> None:
    second = 10**9
    partitions = history((0, ONE), (10 * second, ONE), (300 * second, TWO))
    periods = list(partitions.periods(Interval(0, 400 * second)))
    assert [
        (period.interval.end_ns / second, NAMES[period.partition], period.is_seen) for period in periods
    ] == [
        (70, "one", True),
        (155, "one", False),
        (240, "two", False),
        (360, "two", True),
        (400, "two", False),
    ]


def test_what_is_forgotten_is_only_what_no_later_interval_needs() -> None:
    partitions = history((0, WHOLE), (20, ONE), (40, TWO))
    partitions.forget_before(9)
    assert told(partitions, 9, 50) == [(9, 10, "whole"), (10, 30, "one"), (30, 50, "two")]
    partitions.forget_before(10)
    assert told(partitions, 10, 50) == [(10, 30, "one"), (30, 50, "two")]
    partitions.forget_before(1_000)
    assert told(partitions, 1_000, 1_001) == [(1_000, 1_001, "two")]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.sampled_from((WHOLE, ONE, TWO))), max_size=12),
    st.integers(0, 120),
    st.integers(1, 120),
)
def test_periods_cover_an_interval_exactly(
    answers: list[tuple[int, Partition]], start: int, length: int
) -> None:
    periods = told(history(*answers), start, start + length)
    assert (periods[0][0], periods[-1][1]) == (start, start + length)
    assert all(earlier[1] == later[0] for earlier, later in pairwise(periods))
    assert all(begin < end for begin, end, _ in periods)


def test_what_no_look_is_near_to_is_not_seen() -> None:
    nobody = list(history().periods(Interval(0, 10)))
    assert nobody == [Period(Interval(0, 10), None, is_seen=False)]
    minute = 60 * SECOND
    partitions = history((200 * SECOND, ONE))
    before, near, after = (Interval(*each) for each in ((0, 140), (140, 260), (260, 400)))
    assert list(partitions.periods(Interval(0, 400 * SECOND))) == [
        Period(Interval(each.start_ns * SECOND, each.end_ns * SECOND), ONE, is_seen=each is near)
        for each in (before, near, after)
    ]
    assert list(partitions.periods(Interval(0, minute))) == [Period(Interval(0, minute), ONE, is_seen=False)]
