"""Init containers: the kubelet's list leaves them out, and gives their devices to others of their pod after them."""

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    Bill,
    a_container,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
)
from gpucost_agent.readings import Pod

END = START + MINUTE


def at(second: float) -> int:
    return START + int(second * SECOND)


def billed(held: dict[str, list[str]], *unlisted: str, pods: tuple[Pod, ...] = ()) -> Bill:
    """A minute in which the kubelet says so; *unlisted* are known from its file alone."""
    books = new_books(tuple(held))
    hear(books, START, END, held, unlisted=unlisted)
    learn(books, at(30), *pods)
    return bill(close_all(books, END + LATENESS))


def test_an_init_container_pays_until_it_ends_and_then_the_one_that_got_its_device() -> None:
    """Ended at 0:20, as the API server cuts it: half a second later is the middle."""
    pod = an_object("p", a_container("init", init=True, finished_ns=at(20)), a_container())
    assert billed({ONE: ["p/init", "p"]}, "p/init", pods=(pod,)) == {
        (ONE, "p/init"): (20.5, 0, 0, 20.5),
        (ONE, "p"): (39.5, 0, 0, 39.5),
    }


def test_an_end_that_is_told_to_the_fraction_is_taken_as_it_is() -> None:
    pod = an_object("p", a_container("init", init=True, finished_ns=at(20.25)), a_container())
    assert billed({ONE: ["p/init", "p"]}, "p/init", pods=(pod,))[ONE, "p/init"] == (20.25, 0, 0, 20.25)


def test_an_init_container_that_still_runs_pays_for_all() -> None:
    pod = an_object("p", a_container("init", init=True), a_container())
    assert billed({ONE: ["p/init", "p"]}, "p/init", pods=(pod,)) == {(ONE, "p/init"): (60, 0, 0, 60)}


def test_a_device_that_nobody_gets_after_its_init_container_stays_its_own() -> None:
    pod = an_object("p", a_container("init", init=True, finished_ns=at(20)), a_container())
    assert billed({ONE: ["p/init"], TWO: ["p"]}, "p/init", pods=(pod,)) == {
        (ONE, "p/init"): (60, 0, 0, 60),
        (TWO, "p"): (60, 0, 0, 60),
    }


def test_init_containers_have_a_device_one_after_the_other() -> None:
    pod = an_object(
        "p",
        a_container("second-by-name", init=True, finished_ns=at(10)),
        a_container("first-by-name", init=True, finished_ns=at(25)),
        a_container(),
    )
    unlisted = ("p/second-by-name", "p/first-by-name")
    assert billed({ONE: [*unlisted, "p"]}, *unlisted, pods=(pod,)) == {
        (ONE, "p/second-by-name"): (10.5, 0, 0, 10.5),
        (ONE, "p/first-by-name"): (15, 0, 0, 15),
        (ONE, "p"): (34.5, 0, 0, 34.5),
    }


def test_the_last_of_several_init_containers_keeps_a_device_that_nobody_gets_after_it() -> None:
    pod = an_object(
        "p",
        a_container("a", init=True, finished_ns=at(10)),
        a_container("b", init=True, finished_ns=at(25)),
        a_container(),
    )
    assert billed({ONE: ["p/a", "p/b"]}, "p/a", "p/b", pods=(pod,)) == {
        (ONE, "p/a"): (10.5, 0, 0, 10.5),
        (ONE, "p/b"): (49.5, 0, 0, 49.5),
    }


def test_an_init_container_of_another_pod_on_the_device_moves_nothing() -> None:
    """A claim that two pods share: each has half."""
    pods = (
        an_object("p", a_container("init", init=True, finished_ns=at(20)), a_container()),
        an_object("q", a_container("init", init=True), a_container("other")),
    )
    found = billed({ONE: ["p/init", "p", "q/other"]}, "p/init", pods=pods)
    assert found[ONE, "q/other"] == (30, 0, 0, 30)
    assert found[ONE, "p/init"] == (10.25, 0, 0, 10.25)


def test_a_container_that_only_the_kubelets_file_names_and_nobody_knows_holds_nothing() -> None:
    assert billed({ONE: ["p/init", "p"]}, "p/init") == {(ONE, "p"): (60, 0, 0, 60)}


def test_an_init_container_ends_with_its_pod() -> None:
    pod = an_object(
        "p", a_container("init", init=True), a_container(finished_ns=None), phase="Failed", gone_ns=at(40)
    )
    books = new_books()
    hear(books, START, END, {ONE: ["p/init", "p"]}, unlisted=("p/init",))
    learn(books, at(50), pod)
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "p/init"): (40, 0, 0, 40),
        (ONE, "unallocated"): (20, 0, 0, 20),
    }


def test_without_the_api_server_the_container_that_is_listed_has_the_device() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p/init", "p"]}, unlisted=("p/init",))
    books.directory.learn_pod("ns", "p", "uid-1", START)
    assert bill(close_all(books, END + LATENESS)) == {(ONE, "p"): (60, 0, 0, 60)}


def test_without_the_api_server_an_init_container_alone_has_its_device() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p/init"]}, unlisted=("p/init",))
    books.directory.learn_pod("ns", "p", "uid-1", START)
    assert bill(close_all(books, END + LATENESS)) == {(ONE, "p/init"): (60, 0, 0, 60)}
