"""A GPU in MIG mode through the books: who pays for which instance, and what of it was used."""

import pytest

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_look,
    a_pod,
    a_span,
    an_answer,
    an_instance,
    an_instant,
    an_object,
    bill,
    close_all,
    cut_into,
    device_of,
    hear,
    learn,
    look_on,
    new_books,
    row_of,
    uses,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.readings import (
    DcgmReading,
    GpuInstance,
    Partition,
    ProcessIdentity,
    RunningProcess,
)

QUARTER = an_instance(1)
HALF = an_instance(2, "2g.12gb", 2, 2)
LAYOUT = cut_into(QUARTER, HALF)
END = START + MINUTE
GIB = 1 << 30
A, B = ProcessIdentity(1, 1, "uid-a", "id-a"), ProcessIdentity(2, 1, "uid-b", "id-b")


def minute(books: Books) -> list[ClosedWindow]:
    return close_all(books, END + LATENESS)


def held(instance: GpuInstance, *pods: str) -> Books:
    """Books of a minute in which *pods* hold the compute instances of *instance*, one each."""
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    hear(books, START, END, {device_of(instance, ci): [pod] for ci, pod in enumerate(pods) if pod})
    return books


def look_with_memory(books: Books, partition: Partition, percent: int, memory: dict[int, int]) -> None:
    """GPM of instance 2 each second, and GiB by compute instance; compute instance 0 is a's, 1 is b's."""
    processes = [RunningProcess(ci + 1, gib * GIB, 2, ci) for ci, gib in memory.items()]
    for end in range(START + SECOND, END + 1, SECOND):
        span = a_span(end - SECOND, end, percent, 2)
        look = a_look(end, partition=partition, gpm=[span], processes=processes)
        books.read_gpu(look, {1: A, 2: B})


def test_who_holds_an_instance_pays_its_part_and_the_rest_is_free_and_idle() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"]})
    look_on(books, START, END, LAYOUT, gi1=50, gi2=0)
    closed = minute(books)
    assert bill(closed) == {
        ("1/0", "a"): (15, 7.5, 7.5, 0),
        ("2/0", "unallocated"): (30, 0, 30, 0),
        ("rest", "unallocated"): (15, 0, 15, 0),
    }
    row = row_of(closed, "1/0", "a")
    assert (row.evidence.method, row.evidence.samples, row.evidence.watched_ns) == ("gpm", 60, MINUTE)
    assert (row.weight, row.length_ns) == ((1, 4), MINUTE)
    assert row_of(closed, "rest", "unallocated").weight == (1, 4)


def test_an_instance_that_nobody_watched_is_unmeasured_and_not_idle() -> None:
    books = new_books()
    hear(books, START, END, {device_of(QUARTER): ["a"]})
    look_on(books, START, END, LAYOUT)
    closed = minute(books)
    assert bill(closed) == {
        ("1/0", "a"): (15, 0, 0, 15),
        ("2/0", "unallocated"): (30, 0, 0, 30),
        ("rest", "unallocated"): (15, 0, 15, 0),
    }
    assert row_of(closed, "1/0", "a").evidence.method == ""


def test_where_nothing_is_made_all_is_remainder() -> None:
    books = new_books()
    hear(books, START, END, {})
    look_on(books, START, END, cut_into())
    closed = minute(books)
    assert bill(closed) == {("rest", "unallocated"): (60, 0, 60, 0)}
    assert row_of(closed, "rest", "unallocated").weight == (1, 1)


@pytest.mark.parametrize(("percent", "used"), [(0, 0), (25, 7.5), (50, 15), (60, 15)])
def test_an_instance_with_one_small_compute_instance(percent: int, used: float) -> None:
    """Activity is the instance's: half of it is all that a compute instance of half of it can do."""
    partly = an_instance(2, "2g.12gb", 2, 2, parts=(1,))
    books = held(partly, "a")
    look_on(books, START, END, cut_into(partly), gi2=percent)
    closed = minute(books)
    assert bill(closed) == {
        ("2/0", "a"): (15, used, 15 - used, 0),
        ("2/-", "unallocated"): (15, 0, 15, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }
    row = row_of(closed, "2/0", "a")
    assert (row.evidence.method, row.evidence.samples, row.weight) == ("gpm", 60, (1, 4))
    assert row_of(closed, "2/-", "unallocated").weight == (1, 4)
    assert row_of(closed, "2/-", "unallocated").key.device == device_of(partly, None)


SHARED = an_instance(2, "2g.12gb", 2, 2, parts=(1, 1))


def test_compute_instances_share_what_their_instance_did_by_memory() -> None:
    books = held(SHARED, "a", "b")
    look_with_memory(books, cut_into(SHARED), 50, {0: 3, 1: 1})
    closed = minute(books)
    assert bill(closed) == {
        ("2/0", "a"): (15, 11.25, 3.75, 0),
        ("2/1", "b"): (15, 3.75, 11.25, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }
    row = row_of(closed, "2/0", "a")
    assert (row.evidence.method, row.evidence.samples, row.evidence.watched_ns) == ("memory", 0, MINUTE)
    assert row.measures.memory_held_bytes_max == 3 * GIB


def test_what_one_compute_instance_can_not_have_done_the_other_did() -> None:
    books = held(SHARED, "a", "b")
    look_with_memory(books, cut_into(SHARED), 75, {0: 3, 1: 1})
    assert bill(minute(books)) == {
        ("2/0", "a"): (15, 15, 0, 0),
        ("2/1", "b"): (15, 7.5, 7.5, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }


def test_what_the_held_compute_instance_can_not_have_done_was_done_in_the_free_one() -> None:
    books = held(SHARED, "a")
    look_on(books, START, END, cut_into(SHARED), gi2=75)
    assert bill(minute(books)) == {
        ("2/0", "a"): (15, 15, 0, 0),
        ("2/1", "unallocated"): (15, 0, 7.5, 0),
        ("2/1", "unattributed"): (0, 7.5, 0, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }


def test_what_is_left_over_in_dividing_is_nobodys_work() -> None:
    three = an_instance(2, "3g.18gb", 0, 3, parts=(1, 1, 1))
    books = held(three, "a", "b")
    look_with_memory(books, cut_into(three), 50, {0: 3, 1: 4})
    assert {key for key, _ in bill(minute(books)).items() if key[0] == "2/2"} == {("2/2", "unallocated")}


def test_without_memory_those_that_are_held_worked_equally() -> None:
    both, one = held(SHARED, "a", "b"), held(SHARED, "", "b")
    for books in (both, one):
        look_on(books, START, END, cut_into(SHARED), gi2=40)
    closed = minute(both)
    assert bill(closed) == {
        ("2/0", "a"): (15, 6, 9, 0),
        ("2/1", "b"): (15, 6, 9, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }
    evidence = row_of(closed, "2/0", "a").evidence
    assert (evidence.method, evidence.samples, evidence.watched_ns) == ("equal", 0, MINUTE)
    assert bill(minute(one)) == {
        ("2/0", "unallocated"): (15, 0, 15, 0),
        ("2/1", "b"): (15, 12, 3, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }


def test_compute_instances_of_other_sizes_that_nobody_holds_worked_by_their_size() -> None:
    uneven = an_instance(4, "4g.24gb", 0, 4, parts=(1, 3))
    books = held(uneven)
    look_on(books, START, END, cut_into(uneven), gi4=40)
    assert bill(minute(books)) == {
        ("4/0", "unallocated"): (15, 0, 9, 0),
        ("4/0", "unattributed"): (0, 6, 0, 0),
        ("4/1", "unallocated"): (45, 0, 27, 0),
        ("4/1", "unattributed"): (0, 18, 0, 0),
    }


@pytest.mark.parametrize(
    ("memory", "method", "used"),
    [({0: 3}, "memory", (15, 0)), ({}, "equal", (7.5, 7.5))],
)
def test_an_instance_that_two_pods_share_names_no_use_by_process(
    memory: dict[int, int], method: str, used: tuple[float, float]
) -> None:
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    rows = uses(START, END, {1: 90, 2: 10}, 60)
    for at in range(START, END + 1, SECOND):
        books.read_holders(an_answer(at, {device_of(HALF): ["a", "b"]}, replicas=2))
    look_with_memory(books, cut_into(HALF), 50, memory)
    books.read_gpu(a_look(END, uses=rows, ring=[(END, 100)], partition=cut_into(HALF)), {1: A, 2: B})
    closed = minute(books)
    assert bill(closed) == {
        ("2/0", "a"): (15, used[0], 15 - used[0], 0),
        ("2/0", "b"): (15, used[1], 15 - used[1], 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }
    evidence = row_of(closed, "2/0", "a").evidence
    assert (evidence.method, evidence.samples) == (method, 0)


def test_processes_in_another_compute_instance_hold_no_memory_in_this_one() -> None:
    books = held(SHARED, "a", "b")
    processes = [RunningProcess(1, GIB, 2, 0), RunningProcess(2, 5 * GIB, 1, 0)]
    for end in range(START + SECOND, END + 1, SECOND):
        books.read_gpu(a_look(end, partition=cut_into(QUARTER, SHARED), processes=processes), {1: A, 2: B})
    closed = minute(books)
    assert row_of(closed, "2/0", "a").measures.memory_held_bytes_max == GIB
    assert row_of(closed, "2/1", "b").measures.memory_held_bytes_max is None


def test_an_exporter_is_the_source_where_the_driver_has_none() -> None:
    books = new_books()
    hear(books, START, END, {device_of(HALF): ["a"]})
    look_on(books, START, END, LAYOUT)
    for end in range(START + 10 * SECOND, END + 1, 10 * SECOND):
        spans = (a_span(end - 10 * SECOND, end, 60, 2, 40), a_span(end - 10 * SECOND, end, 100, 1))
        books.read_dcgm(DcgmReading(an_instant(end), {ONE: spans, "GPU-9": spans}))
    closed = minute(books)
    assert bill(closed)["2/0", "a"] == (30, 18, 12, 0)
    assert bill(closed)["1/0", "unattributed"] == (0, 15, 0, 0)
    row = row_of(closed, "2/0", "a")
    assert (row.evidence.method, row.evidence.samples) == ("dcgm", 6)
    assert row.measures.sm_active_ns == 12 * SECOND, "two fifths of a minute on half of a GPU"


def test_activity_in_its_parts_is_nobodys_where_several_compute_instances_did_it() -> None:
    books = held(SHARED, "a", "b")
    for end in range(START + SECOND, END + 1, SECOND):
        books.read_gpu(
            a_look(end, partition=cut_into(SHARED), gpm=[a_span(end - SECOND, end, 50, 2, 50)]), {}
        )
    assert row_of(minute(books), "2/0", "a").measures.sm_active_ns is None


def test_a_kubelet_that_is_away_says_nothing_of_instances_and_the_remainder_is_free_all_the_same() -> None:
    books = new_books()
    hear(books, START, START + 30 * SECOND, {device_of(QUARTER): ["a"]})
    look_on(books, START, START + 2 * MINUTE, LAYOUT, gi1=0, gi2=0)
    assert bill(close_all(books, START + 2 * MINUTE + LATENESS)) == {
        ("1/0", "a"): (22.5, 0, 22.5, 0),
        ("1/0", "kubelet_away"): (7.5, 0, 7.5, 0),
        ("2/0", "unallocated"): (45, 0, 45, 0),
        ("2/0", "kubelet_away"): (15, 0, 15, 0),
        ("rest", "unallocated"): (30, 0, 30, 0),
    }


def test_who_holds_an_instance_alone_did_all_that_it_did_whoever_else_has_memory_there() -> None:
    books = held(HALF, "a")
    processes = [RunningProcess(1, GIB, 2, 0), RunningProcess(2, 2 * GIB, 2, 0)]
    for end in range(START + SECOND, END + 1, SECOND):
        look = a_look(
            end, partition=cut_into(HALF), gpm=[a_span(end - SECOND, end, 50, 2)], processes=processes
        )
        books.read_gpu(look, {1: A, 2: B})
    closed = minute(books)
    assert bill(closed)["2/0", "a"] == (30, 15, 15, 0)
    assert row_of(closed, "2/0", "a").key.holder == a_pod("a", "uid-a")
