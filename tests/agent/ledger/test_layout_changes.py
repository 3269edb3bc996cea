"""Layouts that change under the books: in a window, over a restart, while the GPU is lost, or never seen at all."""

import pytest

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    a_look,
    a_lost_look,
    a_span,
    an_instance,
    an_instant,
    bill,
    close_all,
    cut_into,
    device_of,
    hear,
    look_on,
    new_books,
    row_of,
    watch,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.readings import WHOLE, DcgmReading, Partition

QUARTER = an_instance(1)
HALF = an_instance(2, "2g.12gb", 2, 2)
LAYOUT = cut_into(QUARTER, HALF)
END = START + MINUTE


def at(second: float) -> int:
    return START + int(second * SECOND)


def minute(books: Books) -> list[ClosedWindow]:
    return close_all(books, END + LATENESS)


def test_a_gpu_that_is_partitioned_in_the_middle_of_a_window() -> None:
    """Looks at 0:29 and 0:31 differ, so it changed at 0:30."""
    books = new_books()
    watch(books, ONE, START, at(29), 100)
    look_on(books, at(30), END, LAYOUT, gi1=100, gi2=0)
    hear(books, START, at(29), {ONE: ["w"]})
    hear(books, at(31), END, {device_of(QUARTER): ["a"]})
    closed = minute(books)
    assert bill(closed) == {
        (ONE, "w"): (30, 29, 0, 1),
        ("1/0", "a"): (7.5, 7.5, 0, 0),
        ("2/0", "unallocated"): (15, 0, 15, 0),
        ("rest", "unallocated"): (7.5, 0, 7.5, 0),
    }
    assert row_of(closed, ONE, "w").length_ns == 30 * SECOND
    assert row_of(closed, "1/0", "a").length_ns == 30 * SECOND
    assert row_of(closed, "1/0", "a").evidence.watched_ns == 30 * SECOND


def test_a_gpu_that_is_whole_again_is_watched_by_its_ring_again() -> None:
    books = new_books()
    look_on(books, START, at(29), LAYOUT, gi1=100, gi2=0)
    watch(books, ONE, at(30), END, 50)
    hear(books, START, at(29), {device_of(QUARTER): ["a"]})
    hear(books, at(31), END, {ONE: ["w"]})
    assert bill(minute(books)) == {
        ("1/0", "a"): (7.5, 7.25, 0, 0.25),
        ("2/0", "unallocated"): (15, 0, 14.5, 0.5),
        ("rest", "unallocated"): (7.5, 0, 7.5, 0),
        (ONE, "w"): (30, 15, 15, 0),
    }


def test_an_instance_that_grew_is_another_device() -> None:
    books = new_books()
    grown = an_instance(1, "2g.12gb", 0, 2)
    look_on(books, START, at(19), cut_into(QUARTER), gi1=100)
    look_on(books, at(20), END, cut_into(grown), gi1=25)
    hear(books, START, at(19), {device_of(QUARTER): ["a"]})
    hear(books, at(21), END, {device_of(grown): ["b"]})
    closed = minute(books)
    assert bill(closed) == {
        ("1/0", "a"): (5, 4.75, 0, 0.25),
        ("1/0", "b"): (20, 5, 15, 0),
        ("rest", "unallocated"): (35, 0, 35, 0),
    }
    first, second = (row_of(closed, "1/0", pod) for pod in ("a", "b"))
    assert (first.key.device, first.length_ns, first.weight) == (device_of(QUARTER), 20 * SECOND, (1, 4))
    assert (second.key.device, second.length_ns, second.weight) == (device_of(grown), 40 * SECOND, (1, 2))


def anew_at_0_20(*spans: tuple[int, int, int]) -> list[ClosedWindow]:
    """
    The same instance, made anew at 0:20: a's until then, b's from then on.

    An exporter says how busy instance 1 was, as (since, until, percent).
    """
    books = new_books()
    again = an_instance(1, made="-again")
    hear(books, START, at(19), {device_of(QUARTER): ["a"]})
    hear(books, at(21), END, {device_of(again): ["b"]})
    for second in range(1, 61):
        if second != 20:
            books.read_gpu(a_look(at(second), partition=cut_into(QUARTER if second < 20 else again)), {})
        for since, until, percent in spans:
            if until == second:
                told = {ONE: (a_span(at(since), at(until), percent, 1),)}
                books.read_dcgm(DcgmReading(an_instant(at(second)), told))
    return minute(books)


def test_an_instance_that_was_made_anew_is_the_same_device_with_activity_of_its_own() -> None:
    closed = anew_at_0_20((0, 10, 100), (10, 19, 100), (20, 40, 0), (40, 60, 0))
    assert bill(closed) == {
        ("1/0", "a"): (5, 4.75, 0, 0.25),
        ("1/0", "b"): (10, 0, 10, 0),
        ("rest", "unallocated"): (45, 0, 45, 0),
    }
    assert {row_of(closed, "1/0", pod).key.device for pod in "ab"} == {device_of(QUARTER)}
    assert row_of(closed, "1/0", "a").length_ns == MINUTE, "the device lived on, whatever its UUID"


def test_what_an_exporter_says_across_the_making_may_be_of_the_one_before() -> None:
    closed = anew_at_0_20((0, 10, 100), (10, 30, 100), (30, 60, 0))
    assert bill(closed) == {
        ("1/0", "a"): (5, 2.5, 0, 2.5),
        ("1/0", "b"): (10, 0, 7.5, 2.5),
        ("rest", "unallocated"): (45, 0, 45, 0),
    }


def test_what_an_exporter_says_late_of_the_instance_before_is_not_taken_for_the_new_one() -> None:
    closed = anew_at_0_20((5, 15, 100), (15, 21, 100), (21, 60, 50))
    assert bill(closed)["1/0", "b"] == (10, 4.875, 4.875, 0.25)


def test_a_layout_that_can_not_be_read_any_more_stands_as_it_was() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"]})
    look_on(books, START, at(20), LAYOUT)
    look_on(books, at(20), END, None)
    assert bill(minute(books)) == {
        ("1/0", "a"): (15, 0, 0, 15),
        ("2/0", "unallocated"): (30, 0, 0, 30),
        ("rest", "unallocated"): (15, 0, 15, 0),
    }


def test_what_is_left_of_a_layout_is_unobserved_once_nobody_sees_it_any_more() -> None:
    books = new_books()
    hear(books, START, at(120), {device_of(QUARTER): ["a"]})
    look_on(books, START, at(20), LAYOUT)
    look_on(books, at(20), at(120), None)
    first, second = close_all(books, at(120) + LATENESS)
    assert bill([first])["rest", "unallocated"] == (15, 0, 15, 0)
    assert bill([second]) == {
        ("1/0", "a"): (15, 0, 0, 15),
        ("2/0", "unallocated"): (30, 0, 0, 30),
        ("rest", "unallocated"): (5, 0, 5, 0),
        ("rest", "layout_unknown"): (10, 0, 0, 10),
    }


def test_a_layout_that_is_read_late_counts_back_to_the_first_look() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"]})
    look_on(books, START, at(40), None)
    look_on(books, at(40), END, LAYOUT)
    assert bill(minute(books)).keys() == {("1/0", "a"), ("2/0", "unallocated"), ("rest", "unallocated")}


def test_a_layout_that_can_never_be_read_is_unobserved_on_the_whole_gpu() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"], ONE: ["w"]})
    look_on(books, START, END, None)
    assert bill(minute(books)) == {(ONE, "layout_unknown"): (60, 0, 0, 60)}


def test_a_gpu_that_was_lost_keeps_its_layout() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"]})
    look_on(books, START, at(20), LAYOUT, gi1=100, gi2=0)
    for second in range(20, 40):
        books.read_gpu(a_lost_look(at(second)), {})
    look_on(books, at(39), END, LAYOUT, gi1=100, gi2=0)
    assert bill(minute(books)) == {
        ("1/0", "a"): (10, 10, 0, 0),
        ("1/0", "gpu_lost"): (5, 0, 0, 5),
        ("2/0", "unallocated"): (20, 0, 20, 0),
        ("2/0", "gpu_lost"): (10, 0, 0, 10),
        ("rest", "unallocated"): (10, 0, 10, 0),
        ("rest", "gpu_lost"): (5, 0, 0, 5),
    }


def left_with(partition: Partition) -> Checkpoint:
    """What an agent leaves that saw *partition* for a minute, with a on instance 1 and b on instance 2."""
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"], device_of(HALF): ["b"]})
    look_on(books, START, END, partition, gi1=0, gi2=0)
    return Checkpoint.from_json(books.close_short(END)[-1].checkpoint.to_json())


def test_a_gap_over_the_same_layout_is_carried_by_who_held_on() -> None:
    after = new_books(look_ns=at(120), before=left_with(LAYOUT))
    hear(after, at(120), at(180), {device_of(QUARTER): ["a"], device_of(HALF): ["c"]})
    look_on(after, at(120), at(180), LAYOUT, gi1=100, gi2=0)
    gap, later = close_all(after, at(180) + LATENESS)
    assert bill([gap]) == {
        ("1/0", "a"): (15, 0, 0, 15),
        ("2/0", "agent_gap"): (30, 0, 0, 30),
        ("rest", "agent_gap"): (15, 0, 0, 15),
    }
    assert row_of([gap], "1/0", "a").flags == ("carried",)
    assert bill([later])["1/0", "a"] == (15, 15, 0, 0)
    assert row_of([later], "1/0", "a").flags == ()


def test_a_gap_over_another_layout_is_unobserved_on_the_devices_last_known() -> None:
    after = new_books(look_ns=at(120), before=left_with(LAYOUT))
    other = an_instance(1, "4g.24gb", 0, 4)
    hear(after, at(120), at(180), {device_of(other): ["a"]})
    look_on(after, at(120), at(180), cut_into(other), gi1=100)
    gap, later = close_all(after, at(180) + LATENESS)
    assert bill([gap]) == {
        ("1/0", "agent_gap"): (15, 0, 0, 15),
        ("2/0", "agent_gap"): (30, 0, 0, 30),
        ("rest", "agent_gap"): (15, 0, 0, 15),
    }
    assert bill([later]) == {("1/0", "a"): (60, 60, 0, 0)}


@pytest.mark.parametrize("looks", [True, False])
def test_a_layout_that_the_next_agent_can_not_read_is_unobserved_on_the_devices_last_known(
    looks: bool,
) -> None:
    before = left_with(LAYOUT)
    for _ in range(2):  # and the one after it knows too
        after = new_books(look_ns=at(60), before=before)
        hear(after, at(60), at(120), {device_of(QUARTER): ["a"], device_of(HALF): ["b"]})
        if looks:
            look_on(after, at(60), at(120), None)
        assert bill(close_all(after, at(120) + LATENESS)) == {
            ("1/0", "layout_unknown"): (15, 0, 0, 15),
            ("2/0", "layout_unknown"): (30, 0, 0, 30),
            ("rest", "layout_unknown"): (15, 0, 0, 15),
        }
        assert after.checkpoint().partitions == {ONE: LAYOUT}
        assert after.partitions() == {ONE: LAYOUT}
        before = new_books(look_ns=at(60), before=before).checkpoint()


def test_a_gpu_that_was_lost_while_nobody_looked_is_lost_on_the_devices_last_known() -> None:
    after = new_books((TWO,), look_ns=at(60), before=left_with(LAYOUT))
    hear(after, at(60), at(120), {})
    (window,) = close_all(after, at(120) + LATENESS)
    assert bill([window]) == {
        ("1/0", "gpu_lost"): (15, 0, 0, 15),
        ("2/0", "gpu_lost"): (30, 0, 0, 30),
        ("rest", "gpu_lost"): (15, 0, 0, 15),
        (TWO, "unallocated"): (60, 0, 0, 60),
    }


def test_a_gpu_that_is_whole_after_the_gap_was_partitioned_in_it() -> None:
    after = new_books(look_ns=at(90), before=left_with(LAYOUT))
    hear(after, at(90), at(120), {ONE: ["w"]})
    look_on(after, at(90), at(120), WHOLE)
    (window,) = close_all(after, at(120) + LATENESS)
    assert bill([window]) == {
        ("1/0", "agent_gap"): (7.5, 0, 0, 7.5),
        ("2/0", "agent_gap"): (15, 0, 0, 15),
        ("rest", "agent_gap"): (7.5, 0, 0, 7.5),
        (ONE, "w"): (30, 0, 0, 30),
    }
    assert window.checkpoint.partitions == {}
