"""Who held what, and when, from answers that come once a second or not at all."""

from itertools import pairwise

import pytest
from gpucost.identity import Device
from gpucost.window import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import ONE, SECOND, START, an_answer
from gpucost_agent.ledger.holdings import Holdings

GRACE = 60 * SECOND
DEVICE = Device(ONE)


def holdings(*answers: tuple[int, str | None], from_s: int = 0) -> Holdings:
    """Answers as (second, the pod that holds the GPU)."""
    history = Holdings(START + from_s * SECOND, GRACE)
    for second, pod in answers:
        history.heard(an_answer(START + second * SECOND, {ONE: [pod]} if pod else {}))
    return history


def told(history: Holdings, from_s: int, to_s: int) -> list[tuple[float, float, str]]:
    """Periods in seconds; ? is nobody can say, - is free."""
    lines = []
    for period in history.periods(Interval(START + from_s * SECOND, START + to_s * SECOND)):
        names = (
            "".join(sorted(name.pod for name in period.held.by_device.get(DEVICE, {})))
            if period.held
            else "?"
        )
        interval = period.interval
        lines.append(((interval.start_ns - START) / SECOND, (interval.end_ns - START) / SECOND, names or "-"))
    return lines


def test_the_first_answer_counts_back_within_the_grace() -> None:
    assert told(holdings((60, "a")), 0, 60) == [(0, 60, "a")]


def test_a_first_answer_after_the_grace_counts_from_when_it_came() -> None:
    assert told(holdings((61, "a")), 0, 62) == [(0, 61, "?"), (61, 62, "a")]


def test_a_change_lies_in_the_middle() -> None:
    assert told(holdings((0, "a"), (10, "a"), (12, "b")), 0, 20) == [(0, 11, "a"), (11, 20, "b")]


def test_a_release_lies_in_the_middle_too() -> None:
    assert told(holdings((0, "a"), (1, None)), 0, 2) == [(0, 0.5, "a"), (0.5, 2, "-")]


def test_the_last_holders_hold_for_the_grace_and_nobody_can_say_after_it() -> None:
    assert told(holdings((0, "a")), 0, 100) == [(0, 60, "a"), (60, 100, "?")]


def test_a_kubelet_that_is_back_within_the_grace_was_never_away() -> None:
    assert told(holdings((0, "a"), (60, "a")), 0, 90) == [(0, 90, "a")]


def test_a_kubelet_that_is_back_later_leaves_a_hole_even_with_the_same_holder() -> None:
    assert told(holdings((0, "a"), (200, "a")), 0, 210) == [(0, 60, "a"), (60, 200, "?"), (200, 210, "a")]


def test_a_kubelet_that_never_answers_says_nothing() -> None:
    history = holdings()
    assert told(history, 0, 60) == [(0, 60, "?")]
    assert history.latest is None


def test_an_answer_without_any_holder_is_an_answer() -> None:
    assert told(holdings((0, None)), 0, 30) == [(0, 30, "-")]


@pytest.mark.parametrize("grace", [0, 1])
def test_without_a_grace_an_answer_holds_for_its_instant_alone(grace: int) -> None:
    history = Holdings(START, grace)
    history.heard(an_answer(START, {ONE: ["a"]}))
    periods = list(history.periods(Interval(START, START + 10)))
    assert periods[-1].held is None
    assert sum(period.interval.length_ns for period in periods) == 10


def test_the_number_of_replicas_is_the_most_that_was_ever_seen() -> None:
    history = Holdings(START, GRACE)
    for second, replicas in enumerate((4, 2, 3)):
        history.heard(an_answer(START + second * SECOND, {ONE: ["a"]}, replicas=replicas))
    assert history.latest is not None
    assert history.latest.replicas == {DEVICE: 4}


def test_ids_of_no_known_device_are_named() -> None:
    history = Holdings(START, GRACE)
    history.heard(an_answer(START, {}, unmapped=["z", "a"]))
    assert history.latest is not None
    assert [raw for _, raw in history.latest.unmapped] == ["a", "z"]


STORIES = st.lists(
    st.tuples(st.sampled_from((1, 1, 2, 59, 60, 61, 130)), st.sampled_from(("a", "b", None))), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(STORIES, st.integers(0, 400), st.integers(1, 400), st.sampled_from((0, 7, 100)))
def test_periods_cover_an_interval_exactly(
    story: list[tuple[int, str | None]], start: int, length: int, forgotten: int
) -> None:
    history, at = holdings(), 0
    for wait, pod in story:
        at += wait
        history.heard(an_answer(START + at * SECOND, {ONE: [pod]} if pod else {}))
    interval = Interval(
        START + (start + forgotten) * SECOND + 1, START + (start + forgotten + length) * SECOND
    )
    before = list(history.periods(interval))
    history.forget_before(START + forgotten * SECOND)
    periods = list(history.periods(interval))
    assert periods == before, "what is forgotten moved a later interval"
    assert periods[0].interval.start_ns == interval.start_ns
    assert periods[-1].interval.end_ns == interval.end_ns
    for earlier, later in pairwise(periods):
        assert earlier.interval.end_ns == later.interval.start_ns
    assert all(period.interval.length_ns > 0 for period in periods)
