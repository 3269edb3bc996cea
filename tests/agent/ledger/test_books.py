"""A node's story: windows without holes, restarts, reboots, GPUs that come, a kubelet that is away."""

from dataclasses import replace
from itertools import pairwise

import pytest
from gpucost.cost_slice import breaches
from gpucost.identity import Device

from contracts.books_by_hand import (
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    SECOND,
    START,
    THREE,
    TWO,
    a_gpu,
    a_look,
    a_lost_look,
    an_answer,
    charged,
    close_all,
    hear,
    name,
    new_books,
    watch,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.readings import Boot, ProcessIdentity


def minutes(windows: list[ClosedWindow]) -> list[tuple[float, float]]:
    """Windows as offsets from the start, in minutes."""
    return [((w.interval.start_ns - START) / MINUTE, (w.interval.end_ns - START) / MINUTE) for w in windows]


def seconds(windows: list[ClosedWindow], uuid: str = ONE) -> dict[str, float]:
    return {
        holder: charged_ns / SECOND for (gpu, holder), charged_ns in charged(windows).items() if gpu == uuid
    }


def restarted(
    left: Checkpoint, look_s: float, gpus: tuple[str, ...] = (ONE,), boot: Boot | None = None
) -> Books:
    return new_books(gpus, START + int(look_s * SECOND), Checkpoint.from_json(left.to_json()), boot)


def flags(windows: list[ClosedWindow], holder: str) -> set[str]:
    return {flag for w in windows for row in w.slices if name(row) == holder for flag in row.flags}


def test_windows_close_late_in_order_and_without_holes() -> None:
    books = new_books()
    hear(books, START, START + 5 * MINUTE, {ONE: ["a"]})
    assert books.close_next(START + MINUTE + LATENESS - 1) is None
    closed = close_all(books, START + 3 * MINUTE + LATENESS)
    assert minutes(closed) == [(0, 1), (1, 2), (2, 3)]
    assert seconds(closed) == {"a": 180}


def test_use_and_idleness_are_what_was_watched() -> None:
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: ["a"]})
    watch(books, ONE, START, START + 40 * SECOND, 25)
    (window,) = close_all(books, START + MINUTE + LATENESS)
    (row,) = window.slices
    assert (row.time.used_ns, row.time.idle_ns, row.time.unmeasured_ns) == (
        10 * SECOND,
        30 * SECOND,
        20 * SECOND,
    )
    assert (row.evidence.method, row.evidence.watched_ns, row.evidence.samples) == ("ring", 40 * SECOND, 40)


def test_a_process_without_a_holding_pays_for_its_use() -> None:
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: []})
    watch(books, ONE, START, START + MINUTE, 50, identities={9: ProcessIdentity(9, 1)})
    assert seconds(close_all(books, START + MINUTE + LATENESS)) == {"host": 30, "unallocated": 30}


def test_a_holder_of_less_than_a_sample_names_no_method_that_saw_nothing() -> None:
    books = new_books()
    hear(books, START, START + 300_000_000, {ONE: ["a"]})
    books.read_holders(an_answer(START + 500_000_000, {ONE: ["b"]}))
    hear(books, START + SECOND, START + MINUTE, {ONE: ["b"]})
    watch(books, ONE, START, START + MINUTE, 100)
    (window,) = close_all(books, START + MINUTE + LATENESS)
    (row,) = [row for row in window.slices if name(row) == "a"]
    assert row.evidence.watched_ns > 0
    assert (row.evidence.method, row.evidence.samples) == ("", 0)
    assert [words for each in window.slices for words in breaches(each)] == []


def test_a_kubelet_that_never_answers_leaves_the_node_unobserved() -> None:
    closed = close_all(new_books(), START + 2 * MINUTE + LATENESS)
    assert seconds(closed) == {"kubelet_away": 120}


def test_a_kubelet_that_is_away_for_longer_than_the_grace() -> None:
    books = new_books()
    hear(books, START, START + 30 * SECOND, {ONE: ["a"]})
    closed = close_all(books, START + 3 * MINUTE + LATENESS)
    assert seconds(closed) == {"a": 90, "kubelet_away": 90}


def test_a_kubelet_that_answers_late_changes_no_closed_window() -> None:
    books = new_books()
    first = close_all(books, START + MINUTE + LATENESS)
    hear(books, START + 70 * SECOND, START + 2 * MINUTE, {ONE: ["a"]})
    assert seconds(first) == {"kubelet_away": 60}
    assert seconds(close_all(books, START + 2 * MINUTE + LATENESS)) == {"kubelet_away": 10, "a": 50}


def test_ids_that_could_not_be_mapped_make_as_many_free_gpus_unobserved() -> None:
    books = new_books((ONE, TWO, THREE))
    for second in range(61):
        books.read_holders(an_answer(START + second * SECOND, {ONE: ["a"]}, unmapped=["GPU-9"]))
    closed = close_all(books, START + MINUTE + LATENESS)
    assert charged(closed) == {
        (ONE, "a"): MINUTE,
        (TWO, "unmapped"): MINUTE,
        (THREE, "unallocated"): MINUTE,
    }


def test_a_gpu_that_is_added_begins_its_life_then() -> None:
    books = new_books()
    hear(books, START, START + MINUTE, {})
    books.see_gpus((a_gpu(), a_gpu(TWO)), START + 20 * SECOND)
    (window,) = close_all(books, START + MINUTE + LATENESS)
    assert charged([window]) == {(ONE, "unallocated"): MINUTE, (TWO, "unallocated"): 40 * SECOND}
    assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []


def test_a_node_that_was_just_booted_is_starting_until_the_first_look() -> None:
    books = new_books(look_ns=START + 90 * SECOND, boot=Boot("boot-1", START + 30 * SECOND))
    hear(books, START + 90 * SECOND, START + 2 * MINUTE, {ONE: ["a"]})
    closed = close_all(books, START + 2 * MINUTE + LATENESS)
    assert minutes(closed) == [(0.5, 1), (1, 2)]
    assert seconds(closed) == {"node_starting": 60, "a": 30}


def test_a_node_that_was_booted_long_ago_lives_from_the_first_look() -> None:
    books = new_books(look_ns=START + 90 * SECOND, boot=Boot("boot-1", LONG_AGO))
    closed = close_all(books, START + 2 * MINUTE + LATENESS)
    assert minutes(closed) == [(1.5, 2)]
    assert seconds(closed) == {"kubelet_away": 30}


def test_an_agent_that_has_lost_its_spool_collides_with_no_key_of_the_one_before_it() -> None:
    _, closed = stopped(70)
    after = new_books(look_ns=START + 80 * SECOND)
    hear(after, START + 80 * SECOND, START + 2 * MINUTE, {ONE: ["a"]})
    later = close_all(after, START + 2 * MINUTE + LATENESS)
    assert seconds([*closed, *later]) == {"a": 110}
    keys = [row.key for window in (*closed, *later) for row in window.slices]
    assert len(keys) == len(set(keys))


def stopped(at_s: int, pod: str = "a") -> tuple[Books, list[ClosedWindow]]:
    """An agent that was asked to stop *at_s* after the start."""
    books = new_books()
    hear(books, START, START + at_s * SECOND, {ONE: [pod]})
    return books, books.close_short(START + at_s * SECOND)


def test_who_ends_closes_short_and_its_successor_begins_there() -> None:
    _, closed = stopped(90)
    after = restarted(closed[-1].checkpoint, 100)
    hear(after, START + 100 * SECOND, START + 3 * MINUTE, {ONE: ["a"]})
    later = close_all(after, START + 3 * MINUTE + LATENESS)
    assert minutes([*closed, *later]) == [(0, 1), (1, 1.5), (1.5, 2), (2, 3)]
    assert [row.key.window_start_ns for row in later[0].slices] == [START + 90 * SECOND]
    assert seconds([*closed, *later]) == {"a": 180}
    assert flags(later, "a") == {"carried"}


def test_a_gap_is_unmeasured_for_who_held_on() -> None:
    _, closed = stopped(60)
    after = restarted(closed[-1].checkpoint, 120)
    hear(after, START + 120 * SECOND, START + 3 * MINUTE, {ONE: ["a"]})
    watch(after, ONE, START + 2 * MINUTE, START + 3 * MINUTE, 100)
    gap, watched = close_all(after, START + 3 * MINUTE + LATENESS)
    (row,) = gap.slices
    assert (row.time.used_ns, row.time.idle_ns, row.time.unmeasured_ns) == (0, 0, MINUTE)
    assert row.evidence.method == ""
    assert watched.slices[0].time.used_ns == MINUTE


def test_a_gap_in_which_the_holder_changed_is_unobserved() -> None:
    _, closed = stopped(60)
    after = restarted(closed[-1].checkpoint, 120)
    hear(after, START + 120 * SECOND, START + 3 * MINUTE, {ONE: ["b"]})
    assert seconds(close_all(after, START + 3 * MINUTE + LATENESS)) == {"agent_gap": 60, "b": 60}


def test_who_held_replicas_before_and_after_keeps_as_many_as_it_had_in_both() -> None:
    books = new_books()
    for second in range(61):
        books.read_holders(an_answer(START + second * SECOND, {ONE: ["a", "a", "b"]}, replicas=4))
    left = books.close_short(START + MINUTE)[-1].checkpoint
    after = restarted(left, 120)
    for second in range(120, 181):
        books.read_holders(an_answer(START + second * SECOND, {ONE: ["a", "c"]}, replicas=4))
        after.read_holders(an_answer(START + second * SECOND, {ONE: ["a", "c"]}, replicas=4))
    gap, _ = close_all(after, START + 3 * MINUTE + LATENESS)
    assert seconds([gap]) == {"a": 15, "agent_gap": 45}


def test_a_kubelet_that_does_not_answer_after_a_gap_leaves_it_unobserved() -> None:
    _, closed = stopped(60)
    after = restarted(closed[-1].checkpoint, 120)
    assert seconds(close_all(after, START + 3 * MINUTE + LATENESS)) == {"agent_gap": 60, "kubelet_away": 60}


def test_a_gap_waits_for_the_first_answer() -> None:
    _, closed = stopped(60)
    after = restarted(closed[-1].checkpoint, 300)
    assert after.close_next(START + 300 * SECOND + LATENESS - 1) is None
    assert len(close_all(after, START + 300 * SECOND + LATENESS)) == 4


def test_an_agent_that_dies_at_once_forgets_nothing_of_the_one_before_it() -> None:
    _, closed = stopped(60)
    short_lived = restarted(closed[-1].checkpoint, 70)
    after = restarted(short_lived.checkpoint(), 120)
    hear(after, START + 120 * SECOND, START + 3 * MINUTE, {ONE: ["a"]})
    assert seconds(close_all(after, START + 3 * MINUTE + LATENESS)) == {"a": 120}


def test_a_gap_is_carried_by_who_held_when_it_began_and_not_by_who_came_before_the_kill() -> None:
    books = new_books()
    hear(books, START, START + 65 * SECOND, {ONE: ["a"]})
    hear(books, START + 66 * SECOND, START + 70 * SECOND, {ONE: ["b"]})
    killed = close_all(books, START + MINUTE + LATENESS)
    assert killed[-1].checkpoint.held[Device(ONE)].keys() == {row.key.holder for row in killed[-1].slices}
    after = restarted(killed[-1].checkpoint, 80)
    hear(after, START + 80 * SECOND, START + 2 * MINUTE, {ONE: ["b"]})
    assert seconds(close_all(after, START + 2 * MINUTE + LATENESS)) == {"agent_gap": 20, "b": 40}


def test_a_holder_that_was_not_known_any_more_carries_nothing() -> None:
    books = new_books()
    hear(books, START, START + 10 * SECOND, {ONE: ["a"]})
    closed = close_all(books, START + 3 * MINUTE + LATENESS)
    after = restarted(closed[-1].checkpoint, 240)
    hear(after, START + 240 * SECOND, START + 5 * MINUTE, {ONE: ["a"]})
    assert seconds(close_all(after, START + 5 * MINUTE + LATENESS)) == {"agent_gap": 60, "a": 60}


def test_another_boot_is_another_story() -> None:
    _, closed = stopped(150)
    after = restarted(closed[-1].checkpoint, 280, boot=Boot("boot-2", START + 250 * SECOND))
    hear(after, START + 280 * SECOND, START + 5 * MINUTE, {ONE: ["a"]})
    later = close_all(after, START + 5 * MINUTE + LATENESS)
    assert minutes(later) == [(4 + 1 / 6, 5)]
    assert seconds(later) == {"node_starting": 30, "a": 20}


def test_two_boots_in_one_window_have_a_part_each() -> None:
    _, closed = stopped(130)
    after = restarted(closed[-1].checkpoint, 160, boot=Boot("boot-2", START + 140 * SECOND))
    hear(after, START + 160 * SECOND, START + 3 * MINUTE, {ONE: ["a"]})
    later = close_all(after, START + 3 * MINUTE + LATENESS)
    assert seconds(later) == {"node_starting": 20, "a": 20}
    keys = [row.key for window in (*closed, *later) for row in window.slices]
    assert len(keys) == len(set(keys))


def test_a_gpu_that_came_while_nobody_looked_lives_from_the_first_look() -> None:
    _, closed = stopped(60)
    after = restarted(closed[-1].checkpoint, 90, (ONE, TWO))
    hear(after, START + 90 * SECOND, START + 2 * MINUTE, {ONE: ["a"]})
    (window,) = close_all(after, START + 2 * MINUTE + LATENESS)
    assert charged([window]) == {(ONE, "a"): MINUTE, (TWO, "unallocated"): 30 * SECOND}


def test_nothing_is_left_behind_however_long_it_runs() -> None:
    books = new_books()
    for minute in range(5):
        begin = START + minute * MINUTE
        hear(books, begin, begin + 59 * SECOND, {ONE: ["a"] if minute % 2 else ["b"]})
        watch(books, ONE, begin, begin + MINUTE, 50, identities={1: None})
        books.read_gpu(a_look(begin + MINUTE, memory={1: 5}), {1: None})
        close_all(books, begin + MINUTE + LATENESS)
    (book,) = books._books.values()
    (engine,) = book._engines._engines
    (spans,) = engine.activity._sources.values()
    assert len(spans._spans) <= 61
    assert len(book._contexts._looks) <= 61
    assert len(books.holdings._runs) <= 2


def test_windows_of_a_long_gap_are_the_last_week_alone() -> None:
    _, closed = stopped(60)
    week_s = 7 * 24 * 3600
    after = restarted(closed[-1].checkpoint, 60 + 2 * week_s)
    windows = close_all(after, START + (60 + 2 * week_s) * SECOND + LATENESS)
    assert windows[0].interval.start_ns == START + (60 + week_s) * SECOND
    assert all(earlier.interval.end_ns == later.interval.start_ns for earlier, later in pairwise(windows))


@pytest.mark.parametrize("at", [START, START - 1, START - MINUTE])
def test_there_is_nothing_to_close_short_before_the_first_look(at: int) -> None:
    assert new_books().close_short(at) == []


def test_a_gpu_that_fell_off_the_bus_is_unobserved_until_it_is_back() -> None:
    books = new_books()
    hear(books, START, START + 2 * MINUTE, {ONE: ["a"]})
    watch(books, ONE, START, START + 20 * SECOND, 100)
    for second in range(21, 51):
        books.read_gpu(a_lost_look(START + second * SECOND), {})
    watch(books, ONE, START + 50 * SECOND, START + MINUTE, 100)
    (window,) = close_all(books, START + MINUTE + LATENESS)
    assert seconds([window]) == {"a": 30, "gpu_lost": 30}
    assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []


def test_a_gpu_that_stays_away_is_unobserved_for_good() -> None:
    books = new_books()
    hear(books, START, START + 3 * MINUTE, {ONE: ["a"]})
    books.read_gpu(a_lost_look(START + 30 * SECOND), {})
    assert seconds(close_all(books, START + 3 * MINUTE + LATENESS)) == {"a": 30, "gpu_lost": 150}


def test_a_gpu_that_fell_off_the_bus_while_nobody_looked_leaves_no_hole() -> None:
    books = new_books((ONE, TWO))
    hear(books, START, START + MINUTE, {ONE: ["a"], TWO: ["b"]})
    left = books.close_short(START + MINUTE)[-1].checkpoint
    for _ in range(2):  # and the one after it knows too
        after = restarted(left, 90, (ONE,))
        hear(after, START + 90 * SECOND, START + 2 * MINUTE, {ONE: ["a"], TWO: ["b"]})
        (window,) = close_all(after, START + 2 * MINUTE + LATENESS)
        assert charged([window]) == {
            (ONE, "a"): MINUTE,
            (TWO, "b"): 30 * SECOND,
            (TWO, "gpu_lost"): 30 * SECOND,
        }
        assert [gpu.model for gpu in after.gpus()] == ["NVIDIA H100", "NVIDIA H100"]
        left = after.checkpoint()
        assert left.lives.keys() == {ONE, TWO}
        left = replace(left, closed_through_ns=START + MINUTE, held=books.checkpoint().held)


def test_a_gpu_that_comes_later_is_none_of_those_of_the_windows_beginning() -> None:
    books = new_books()
    books.see_gpus((a_gpu(ONE), a_gpu(TWO)), START + 30 * SECOND)
    assert [gpu.uuid for gpu in books.gpus(START)] == [ONE]
    assert [gpu.uuid for gpu in books.gpus(START + MINUTE)] == [ONE, TWO]


@pytest.mark.parametrize(("booted_ns", "same"), [(LONG_AGO, True), (START + 90 * SECOND, False)])
def test_without_a_boot_id_the_time_of_the_boot_tells(booted_ns: int, same: bool) -> None:
    _, closed = stopped(60)
    left = replace(closed[-1].checkpoint, boot_id="")
    after = restarted(left, 120, boot=Boot("", booted_ns))
    assert (after.before is not None) == same


def test_what_others_look_through_does_not_change_when_a_gpu_comes() -> None:
    books = new_books()
    before = books._books
    books.see_gpus((a_gpu(ONE), a_gpu(TWO)), START + SECOND)
    assert list(before) == [ONE]
    assert list(books._books) == [ONE, TWO]
