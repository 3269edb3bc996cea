"""Whatever a node's books take in comes in by one door, as an entry of a recording does."""

import pytest
from gpucost.clock import Instant

from contracts.books_by_hand import (
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    a_gpu,
    a_look,
    a_span,
    an_answer,
    an_instant,
    an_object,
    bill,
    close_all,
    hear,
    new_books,
    uses,
    watch,
)
from gpucost_agent.ledger.holdings import ContainerName
from gpucost_agent.readings import (
    ClusterReading,
    ContainerNamed,
    DcgmReading,
    GpuLook,
    GpusSeen,
    PodNamed,
    ProcessIdentity,
)

END = START + MINUTE


def test_a_look_says_what_was_used_and_by_whom() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a", "b"]})
    books.directory.learn_pod("ns", "a", "uid-a", START)
    look = a_look(START + SECOND, ONE, [(START + SECOND, 50)], uses(START, START + SECOND, {1: 50}))
    books.take(GpuLook(look, {1: ProcessIdentity(1, 1, "uid-a")}))
    (window,) = close_all(books, END + LATENESS)
    assert {row.key.holder.pod: row.time.used_ns for row in window.slices} == {"a": SECOND // 2, "b": 0}


def test_an_instant_tells_of_a_step_of_the_clock() -> None:
    books = new_books()
    books.take(Instant(START, START - LONG_AGO))
    books.take(Instant(START + 31 * SECOND, START - LONG_AGO + SECOND))
    (window,) = close_all(books, END + LATENESS)
    assert window.lengths_ns == {ONE: 30 * SECOND}


def test_an_answer_says_who_holds_what() -> None:
    books = new_books()
    books.take(an_answer(END, {ONE: ["a"]}))
    assert bill(close_all(books, END + LATENESS)) == {(ONE, "a"): (60, 0, 0, 60)}


def test_an_exporter_says_how_busy_a_gpu_was() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]})
    books.take(DcgmReading(an_instant(END), {ONE: (a_span(START, END, 50),)}))
    assert bill(close_all(books, END + LATENESS)) == {(ONE, "a"): (60, 30, 30, 0)}


def test_the_api_server_the_nodes_files_and_a_container_say_who_is_who() -> None:
    books, directory = new_books(), new_books().directory
    books.take(ClusterReading(an_instant(START), "cluster-uid", None, (an_object("a"),)))
    assert books.directory.name_of("uid-a") == ("ns", "a")
    books.take(PodNamed("ns", "b", "uid-b", START + 1))
    assert books.directory.name_of("uid-b") == ("ns", "b")
    (life,) = books.directory.lives("ns", "b")
    assert (life.uid, life.first_seen_ns) == ("uid-b", START + 1)
    assert not books.directory.knows_container("id-b")
    books.take(ContainerNamed("id-b", "ns", "b", "main", "uid-b"))
    assert books.directory.knows_container("id-b")
    directory.learn_container("id-b", ContainerName("ns", "b", "main"), "uid-b")
    process = ProcessIdentity(1, 1, "", "id-b")
    assert books.directory.owner(process, ()) == directory.owner(process, ())


def test_gpus_are_seen_as_of_an_instant() -> None:
    books = new_books()
    books.take(GpusSeen((a_gpu(ONE), a_gpu(TWO)), START + SECOND))
    assert [gpu.uuid for gpu in books.gpus(START)] == [ONE]
    assert [gpu.uuid for gpu in books.gpus(START + SECOND)] == [ONE, TWO]


@pytest.mark.parametrize("percent", [0, 40])
def test_a_glimpse_is_what_the_slices_would_be(percent: int) -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]})
    watch(books, ONE, START, END, percent)
    shown = books.glimpse(books_minute := close_all(new_books(), END + LATENESS)[0].interval)
    (window,) = close_all(books, END + LATENESS)
    assert (window.interval, window.slices) == (books_minute, shown)
