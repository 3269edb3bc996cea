"""Who held what, and when, from answers that come once a second or not at all."""

from dataclasses import replace
from itertools import pairwise

import pytest
from gpucost.identity import Device
from gpucost.window import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import ONE, SECOND, START, an_answer
from gpucost_agent.ledger.holdings import Holdings
from gpucost_agent.readings import DeviceId

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


def cut(history: Holdings, *answers: tuple[int, int | None]) -> int:
    """Answers as (second, how many replicas can be given; None where the kubelet did not say): how many there are."""
    for second, count in answers:
        answer = an_answer(START + second * SECOND, {DEVICE: []}, replicas=count or 0)
        history.heard(answer if count is not None else replace(answer, allocatable=None))
    assert history.latest is not None
    return history.latest.replicas.get(DEVICE, 0)


def test_a_device_plugin_that_registers_anew_may_cut_its_devices_anew() -> None:
    assert cut(Holdings(START, GRACE), (0, 4), (1, 2)) == 4, "two of them are not healthy"
    assert cut(Holdings(START, GRACE), (0, 4), (1, 0), (2, 2)) == 2, "it was away, and is back"
    assert cut(Holdings(START, GRACE), (0, 4), (1, None), (2, 2)) == 4, "the kubelet did not say"
    assert cut(Holdings(START, GRACE), (0, 4), (1, 0)) == 4, "who holds on holds what it held"


def test_replicas_that_an_agent_before_counted_stand_until_the_plugin_registers_anew() -> None:
    assert cut(Holdings(START, GRACE, {DEVICE: 8}), (0, 4)) == 8
    assert cut(Holdings(START, GRACE, {DEVICE: 8}), (0, 4), (1, 0), (2, 4)) == 4


def test_replicas_that_are_held_count_though_they_can_not_be_given_any_more() -> None:
    history = Holdings(START, GRACE)
    history.heard(an_answer(START, {ONE: ["a", "b", "c"]}, replicas=4, healthy=1))
    assert history.latest is not None
    assert history.latest.replicas == {DEVICE: 3}
    assert {name.pod: count for name, count in history.latest.by_device[DEVICE].items()} == dict.fromkeys(
        "abc", 1
    )


def changed(*answers: tuple[int, str | None, int | None]) -> list[tuple[float, float, str]]:
    """Answers as (second, pod, when the kubelet wrote an allocation down)."""
    history = Holdings(START, GRACE)
    for second, pod, written in answers:
        changed_at = None if written is None else START + written * SECOND
        answer = an_answer(START + second * SECOND, {ONE: [pod]} if pod else {}, changed_at_ns=changed_at)
        history.heard(answer)
    return told(history, 0, 100)[:2]


def test_an_allocation_begins_when_the_kubelet_wrote_it_down_if_that_lies_between_the_answers() -> None:
    assert changed((0, None, None), (10, "a", 7)) == [(0, 7, "-"), (7, 70, "a")]
    assert changed((0, None, None), (10, "a", 10)) == [(0, 10, "-"), (10, 70, "a")]
    assert changed((0, None, None), (10, "a", 0)) == [(0, 5, "-"), (5, 70, "a")]
    assert changed((0, None, None), (10, "a", 11)) == [(0, 5, "-"), (5, 70, "a")]
    assert changed((0, None, None), (10, "a", None)) == [(0, 5, "-"), (5, 70, "a")]


def test_a_release_is_not_written_down_when_it_is() -> None:
    assert changed((0, "a", 0), (10, None, 7)) == [(0, 5, "a"), (5, 70, "-")]
    assert changed((0, "a", 0), (10, "b", 7)) == [(0, 7, "a"), (7, 70, "b")]


def test_the_grace_ends_the_same_whoever_comes_then() -> None:
    assert told(holdings((0, "a"), (60, "b")), 0, 70) == [(0, 30, "a"), (30, 70, "b")]
    assert told(holdings((0, "a"), (61, "b")), 0, 70) == [(0, 60, "a"), (60, 61, "?"), (61, 70, "b")]


def test_what_is_forgotten_moves_nothing_later() -> None:
    def story() -> Holdings:
        return holdings((0, "a"), (10, "a"), (20, "b"), (40, None), (200, "c"))

    whole = told(story(), 0, 300)
    for second in (0, 14, 15, 16, 30, 31, 99, 100, 101, 199, 200, 260):
        history = story()
        history.forget_before(START + second * SECOND)
        assert told(history, second, 300) == told(story(), second, 300), second
    history.forget_before(START + 260 * SECOND)
    assert len(history._runs) == 1
    assert whole == [
        (0, 15, "a"), (15, 30, "b"), (30, 100, "-"), (100, 200, "?"), (200, 260, "c"), (260, 300, "?"),
    ]  # fmt: skip


def test_claims_that_are_hidden_are_told() -> None:
    history = Holdings(START, GRACE)
    for hidden in (False, True):
        history.heard(replace(an_answer(START, {}), claims_hidden=hidden))
        assert history.latest is not None
        assert history.latest.claims_hidden == hidden


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


def test_a_gpu_that_is_not_shared_has_no_replicas() -> None:
    history = Holdings(START, GRACE)
    answer = an_answer(START, {ONE: ["a"]}, unmapped=["x::0"])
    whole, unknown = DeviceId("gpu", ONE, DEVICE), DeviceId("gpu", "x::0", None, 0)
    history.heard(replace(answer, allocatable=(whole, unknown)))
    assert history.latest is not None
    assert history.latest.replicas == {}
