"""MPS lets a client use its part of the threads: it pays for no more than that, however active it was."""

from dataclasses import replace

import pytest

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_look,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
    uses,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.readings import ProcessIdentity, RunningProcess

END = START + MINUTE
WHO = {pid: ProcessIdentity(pid, 1, f"uid-{pod}") for pid, pod in ((1, "a"), (2, "b"), (3, "thief"))}


def shared(
    busy: int,
    rows: dict[int, int],
    held: tuple[str, ...],
    *,
    mps: bool = True,
    replicas: int = 4,
    told: tuple[tuple[int, int], ...] = (),
) -> Books:
    """
    A minute on a GPU in four replicas: how busy it was, and by PID; 1 is a's, 2 is b's, 3 holds nothing.

    *told* are percents of the threads to which processes were started, by PID.
    """
    who = WHO | {pid: replace(WHO[pid], mps_percent=percent) for pid, percent in told}
    books = new_books()
    learn(books, START, *map(an_object, ("a", "b", "thief")))
    hear(books, START, END, {ONE: held}, replicas=replicas)
    processes = [RunningProcess(pid, 5, mps=mps) for pid in rows]
    for end in range(START + SECOND, END + 1, SECOND):
        window = uses(end - SECOND, end, rows)
        books.read_gpu(a_look(end, ring=[(end, busy)], uses=window, processes=processes), who)
    return books


def minute(books: Books) -> list[ClosedWindow]:
    return close_all(books, END + LATENESS)


def test_a_client_that_is_always_active_pays_for_its_part_alone() -> None:
    assert bill(minute(shared(100, {1: 100}, ("a",)))) == {
        (ONE, "a"): (15, 15, 0, 0),
        (ONE, "unallocated"): (45, 0, 45, 0),
    }


def test_without_mps_the_same_client_bursts_and_pays_for_it() -> None:
    assert bill(minute(shared(100, {1: 100}, ("a",), mps=False))) == {(ONE, "a"): (15, 60, 0, 0)} | {
        (ONE, "unallocated"): (45, 0, 0, 0)
    }


def test_a_client_that_is_active_for_half_of_the_time_used_half_of_its_part() -> None:
    closed = minute(shared(50, {1: 50}, ("a",)))
    assert bill(closed) == {(ONE, "a"): (15, 7.5, 7.5, 0), (ONE, "unallocated"): (45, 0, 45, 0)}
    evidence = row_of(closed, ONE, "a").evidence
    assert (evidence.method, evidence.samples) == ("ring_process", 60)


def test_no_shortfall_is_unattributed_where_use_is_limited() -> None:
    """The device was active for 0.8 of the time and its client for 0.4 (and what rounding hides, 0.005)."""
    assert bill(minute(shared(80, {1: 40}, ("a",)))) == {
        (ONE, "a"): (15, 6.075, 8.925, 0),
        (ONE, "unallocated"): (45, 0, 45, 0),
    }


def test_a_limit_is_what_was_given_of_the_replicas() -> None:
    assert bill(minute(shared(100, {1: 60, 2: 40}, ("a", "a", "a", "b")))) == {
        (ONE, "a"): (45, 27, 18, 0),
        (ONE, "b"): (15, 6, 9, 0),
    }


def test_who_holds_nothing_is_limited_by_nothing() -> None:
    closed = minute(shared(100, {1: 60, 3: 40}, ("a",)))
    assert bill(closed) == {
        (ONE, "a"): (15, 9, 3.176470588, 0),
        (ONE, "unallocated"): (45, 0, 23.823529412, 0),
        (ONE, "thief"): (0, 24, 0, 0),
    }
    assert row_of(closed, ONE, "thief").flags == ("shadow",)


@pytest.mark.parametrize(("percent", "used"), [(10, 6), (25, 15), (50, 15), (100, 15)])
def test_a_client_that_was_started_to_a_part_is_limited_to_it_and_to_what_it_holds(
    percent: int, used: float
) -> None:
    closed = minute(shared(100, {1: 100}, ("a",), told=((1, percent),)))
    assert bill(closed) == {(ONE, "a"): (15, used, 15 - used, 0), (ONE, "unallocated"): (45, 0, 45, 0)}


def test_each_client_has_the_limit_that_it_was_told_and_else_that_of_its_replicas() -> None:
    closed = minute(shared(100, {1: 60, 2: 40}, ("a", "a", "b", "b"), told=((1, 20),)))
    assert bill(closed) == {(ONE, "a"): (30, 7.2, 22.8, 0), (ONE, "b"): (30, 12, 18, 0)}


def test_of_several_limits_of_one_holder_the_largest_counts() -> None:
    books = shared(100, {1: 100}, ("a",), told=((1, 10),))
    processes = [RunningProcess(1, 5, mps=True), RunningProcess(4, 5, mps=True)]
    more = WHO | {4: ProcessIdentity(4, 1, "uid-a", mps_percent=20)}
    books.read_gpu(a_look(END - 1, processes=processes), more)
    assert bill(minute(books))[ONE, "a"] == (15, 12, 3, 0)


def test_what_is_said_of_processes_that_are_no_clients_limits_nobody() -> None:
    closed = minute(shared(100, {1: 100}, ("a",), mps=False, told=((1, 10),)))
    assert bill(closed)[ONE, "a"] == (15, 60, 0, 0)


def test_who_holds_a_whole_gpu_pays_for_it_however_little_it_may_use() -> None:
    closed = minute(shared(100, {1: 100}, ("a",), replicas=0, told=((1, 10),)))
    assert bill(closed) == {(ONE, "a"): (60, 6, 54, 0)}
