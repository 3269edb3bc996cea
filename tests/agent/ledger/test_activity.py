"""Integrals of the driver's ring."""

from itertools import pairwise

from gpucost.window import Interval
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucost_agent.ledger.activity import LONGEST_PERIOD_NS, RING_PROCESS, Activity, Seen, Used
from gpucost_agent.readings import PPM, ProcessUse, ProcessWindow, RingSample

MS = 1_000_000
SIXTH = 166 * MS
Known = Activity[str]


def ring(ends_ms: list[int], busy_ppm: int = PPM) -> list[RingSample]:
    return [RingSample(end * MS, busy_ppm) for end in ends_ms]


def of(from_ms: int, to_ms: int) -> Interval:
    return Interval(from_ms * MS, to_ms * MS)


def test_a_sample_stands_for_the_time_since_the_one_before() -> None:
    known = Known(0)
    known.add_samples([*ring([200, 400], 250_000), *ring([600], PPM)])
    assert known.seen(of(0, 600)) == Seen("ring", 600 * MS, 300 * MS, 3)


def test_a_sample_across_a_border_counts_on_both_sides_and_once_as_a_sample() -> None:
    known = Known(0)
    known.add_samples(ring([200, 400, 600]))
    assert known.seen(of(0, 300)) == Seen("ring", 300 * MS, 300 * MS, 1)
    assert known.seen(of(300, 600)) == Seen("ring", 300 * MS, 300 * MS, 2)


def test_time_without_samples_was_not_watched() -> None:
    known = Known(0)
    known.add_samples(ring([200, 400, 600]))
    known.add_samples(ring([2_000, 2_200, 2_400]))
    assert known.seen(of(0, 2_400)).watched_ns == 600 * MS + 3 * 200 * MS
    assert known.seen(of(700, 1_700)) == Seen()


def test_a_late_sample_is_no_missed_one() -> None:
    known = Known(0)
    known.add_samples(ring([200, 400, 600, 950, 1_150, 1_350]))
    assert known.seen(of(0, 1_350)).watched_ns == 1_350 * MS


def test_the_first_sample_stands_for_no_more_than_the_longest_period() -> None:
    known = Known(0)
    known.add_samples(ring([9_000]))
    assert known.seen(of(0, 9_000)).watched_ns == LONGEST_PERIOD_NS


def test_the_period_is_learned_from_the_first_read_for_its_first_sample_too() -> None:
    known = Known(0)
    known.add_samples(ring([9_000, 9_200, 9_400, 9_600]))
    assert known.seen(of(0, 9_600)).watched_ns == 800 * MS


def test_nothing_before_the_first_look_is_taken() -> None:
    known = Known(1_000 * MS)
    known.add_samples(ring([800, 1_000, 1_100, 1_300]))
    assert known.seen(of(0, 1_300)) == Seen("ring", 300 * MS, 300 * MS, 2)


def test_a_sample_that_is_given_again_counts_once() -> None:
    known = Known(0)
    for _ in range(3):
        known.add_samples(ring([200, 400]))
    known.add_samples(ring([400, 600]))
    assert known.seen(of(0, 600)) == Seen("ring", 600 * MS, 600 * MS, 3)


def test_a_reading_above_all_of_the_time_is_all_of_it() -> None:
    known = Known(0)
    known.add_samples(ring([200], PPM + 5))
    assert known.seen(of(0, 200)).busy_ns == 200 * MS


def test_use_counts_for_the_watched_part_of_its_window() -> None:
    known = Known(0)
    known.add_samples(ring([200, 400]))
    known.add_samples(ring([2_000, 2_200]))
    known.add_uses(ProcessWindow(0, 2_200 * MS, 4, (ProcessUse(1, 0),)), {"p": 500_000})
    watched = known.seen(of(0, 2_200)).watched_ns
    assert known.used(of(0, 2_200)) == Used(RING_PROCESS, {"p": watched // 2}, 4, {"p": watched // 200})


def test_use_counts_where_its_window_was_watched_and_not_evenly_over_it() -> None:
    """The ring was missed from 20 to 50: 20 and 50 of the window's 70 watched milliseconds lie around that."""
    known = Known(0)
    known.add_samples(ring([10, 20]))
    known.add_samples(ring([60, 70, 80, 90, 100]))
    known.add_uses(ProcessWindow(0, 100 * MS, 7, ()), {"p": PPM})
    for borders, used_ms in ((of(0, 50), 20), (of(50, 100), 50), (of(20, 50), 0), (of(0, 100), 70)):
        used = known.used(borders)
        assert (used.by_process["p"] if used is not None else 0) == used_ms * MS


def test_use_that_is_given_again_counts_once() -> None:
    known = Known(0)
    known.add_samples(ring([200, 400]))
    window = ProcessWindow(0, 400 * MS, 2, ())
    known.add_uses(window, {"p": PPM})
    known.add_uses(window, {"p": PPM})
    assert known.used(of(0, 400)) == Used(RING_PROCESS, {"p": 400 * MS}, 2, {"p": 2 * MS})


def test_what_is_forgotten_moves_no_later_interval() -> None:
    known, fresh = Known(0), Known(0)
    for one in (known, fresh):
        one.add_samples(ring([200, 400, 600]))
        one.add_uses(ProcessWindow(0, 600 * MS, 3, ()), {"p": PPM})
    known.forget_before(500 * MS)
    for one in (known, fresh):
        one.add_samples(ring([800, 1_000]))
        one.add_uses(ProcessWindow(600 * MS, 1_000 * MS, 2, ()), {"p": 300_000})
    assert known.seen(of(500, 1_000)) == fresh.seen(of(500, 1_000))
    assert known.used(of(500, 1_000)) == fresh.used(of(500, 1_000))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Known, list[int]]:
    """Reads with jitter, missed ones and repeated samples; and borders between which to ask."""
    known, end = Known(0), 0
    for _ in range(draw(st.integers(0, 8))):
        end += draw(st.sampled_from((0, 0, 1, 3_000 * MS)))
        since, samples = end, []
        for _ in range(draw(st.integers(0, 6))):
            end += draw(st.integers(1, 2 * SIXTH))
            samples.append(RingSample(end, draw(st.integers(0, PPM + 10_000))))
        known.add_samples([*samples[:1], *samples])
        if samples:
            parts = draw(st.lists(st.integers(0, PPM), max_size=3))
            known.add_uses(
                ProcessWindow(since, end, len(samples), ()), {f"p{n}": part for n, part in enumerate(parts)}
            )
    borders = sorted(draw(st.sets(st.integers(0, end + MS), min_size=2, max_size=8)))
    return known, borders


@settings(max_examples=200, deadline=None)
@given(histories())
def test_parts_of_an_interval_sum_to_the_whole(history: tuple[Known, list[int]]) -> None:
    known, borders = history
    parts = [known.seen(Interval(start, end)) for start, end in pairwise(borders)]
    whole = known.seen(Interval(borders[0], borders[-1]))
    assert sum(part.watched_ns for part in parts) == whole.watched_ns
    assert sum(part.samples for part in parts) == whole.samples
    busy = sum(part.busy_ns for part in parts)
    assert busy <= whole.busy_ns < busy + len(parts)


@settings(max_examples=200, deadline=None)
@given(histories())
def test_nobody_is_seen_to_use_more_than_was_watched(history: tuple[Known, list[int]]) -> None:
    known, borders = history
    for start, end in pairwise(borders):
        watched = known.seen(Interval(start, end))
        used = known.used(Interval(start, end))
        assert 0 <= watched.busy_ns <= watched.watched_ns <= end - start
        if used is not None:
            assert all(0 <= used_ns <= watched.watched_ns for used_ns in used.by_process.values())
            assert used.samples <= watched.samples
