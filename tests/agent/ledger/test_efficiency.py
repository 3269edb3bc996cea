"""Activity of an engine's parts is whose work it was, where that is one; and memory is the most that was held."""

from collections.abc import Mapping

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
from gpucost_agent.readings import ActivitySpan, ProcessIdentity, RunningProcess

END = START + MINUTE
WHO = {pid: ProcessIdentity(pid, 1, f"uid-{pod}") for pid, pod in ((1, "a"), (2, "b"), (3, "a"))}


def worked(
    rows: dict[int, int], held: tuple[str, ...], busy: int = 50, replicas: int = 0
) -> list[ClosedWindow]:
    """A minute whose SMs worked for 40, tensor cores for 30 and memory for 20 percent of the time."""
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    hear(books, START, END, {ONE: held}, replicas=replicas)
    for end in range(START + SECOND, END + 1, SECOND):
        span = ActivitySpan(end - SECOND, end, None, busy * 10_000, 400_000, 300_000, 200_000)
        window = uses(end - SECOND, end, rows)
        books.read_gpu(a_look(end, ring=[(end, busy)], uses=window, gpm=[span]), WHO)
    return close_all(books, END + LATENESS)


def seconds(closed: list[ClosedWindow], holder: str) -> tuple[float | None, ...]:
    measures = row_of(closed, ONE, holder).measures
    known = (measures.sm_active_ns, measures.tensor_active_ns, measures.dram_active_ns)
    return tuple(None if ns is None else ns / SECOND for ns in known)


NOT_KNOWN = (None, None, None)


def test_it_is_who_works_alone() -> None:
    assert seconds(worked({1: 50}, ("a",)), "a") == (24, 18, 12)


def test_it_is_the_lone_holders_where_nobody_worked() -> None:
    assert seconds(worked({}, ("a",), busy=0), "a") == (24, 18, 12)
    assert seconds(worked({}, (), busy=0), "unallocated") == NOT_KNOWN


def test_it_is_who_works_and_not_who_holds() -> None:
    closed = worked({2: 50}, ("a",))
    assert (seconds(closed, "a"), seconds(closed, "b")) == (NOT_KNOWN, (24, 18, 12))


def test_it_is_nobodys_where_several_worked() -> None:
    closed = worked({1: 25, 2: 25}, ("a", "b"), replicas=2)
    assert (seconds(closed, "a"), seconds(closed, "b")) == (NOT_KNOWN, NOT_KNOWN)


def test_it_is_of_the_time_in_which_its_holder_had_the_gpu() -> None:
    books = new_books()
    hear(books, START, START + 29 * SECOND, {ONE: ["a"]})
    hear(books, START + 31 * SECOND, END, {ONE: ["b"]})
    for end in range(START + SECOND, END + 1, SECOND):
        span = ActivitySpan(end - SECOND, end, None, 500_000, 400_000)
        books.read_gpu(a_look(end, gpm=[span]), {})
    closed = close_all(books, END + LATENESS)
    assert [seconds(closed, pod) for pod in "ab"] == [(12, None, None), (12, None, None)]


def with_memory(*looks: tuple[int, Mapping[int, int | None]]) -> tuple[Books, list[ClosedWindow]]:
    """Looks as (second, bytes by PID); 1 and 3 are a's, 2 is b's, others are nobody's."""
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    hear(books, START, END, {ONE: ["a", "b"]}, replicas=2)
    for second, held in looks:
        processes = [RunningProcess(pid, size) for pid, size in held.items()]
        look = a_look(START + second * SECOND, processes=processes, ring=[(START + second * SECOND, 60)])
        books.read_gpu(look, WHO)
    return books, close_all(books, END + LATENESS)


@pytest.mark.parametrize(
    ("looks", "most"),
    [
        (((1, {1: 5}), (2, {1: 7}), (3, {1: 6})), 7),
        (((1, {1: 5, 3: 4}), (2, {1: 7})), 9),
        (((1, {1: 5, 2: 40, 9: 50}),), 5),
        (((1, {1: None, 3: 4}),), 4),
        (((1, {1: 0}),), 0),
        (((1, {1: None}),), None),
        (((60, {1: 5}),), None),
        (((0, {1: 5}),), 5),
        ((), None),
    ],
)
def test_the_most_memory_that_a_holder_held_at_one_time(
    looks: tuple[tuple[int, dict[int, int | None]], ...], most: int | None
) -> None:
    _, closed = with_memory(*looks)
    assert row_of(closed, ONE, "a").measures.memory_held_bytes_max == most


def test_the_most_memory_is_of_all_stretches_of_a_window() -> None:
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    hear(books, START, START + 19 * SECOND, {ONE: ["a"]})
    hear(books, START + 21 * SECOND, END, {ONE: ["a", "b"]}, replicas=2)
    for second, size in ((10, 7), (30, 5), (50, 6)):
        books.read_gpu(a_look(START + second * SECOND, memory={1: size}), WHO)
    assert row_of(close_all(books, END + LATENESS), ONE, "a").measures.memory_held_bytes_max == 7


def test_memory_divides_use_where_nothing_better_is_known() -> None:
    _, closed = with_memory(*((second, {1: 2, 3: 1, 2: 1}) for second in range(1, 60)))
    found = bill(closed)
    assert (found[ONE, "a"][1], found[ONE, "b"][1]) == (26.55, 8.85), "three quarters of 0.6 of 59 s"
    evidence = row_of(closed, ONE, "a").evidence
    assert (evidence.method, evidence.samples, evidence.watched_ns) == ("memory", 0, 59 * SECOND)
