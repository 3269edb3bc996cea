"""Schedulers of fractions: what they wrote into annotations is what a container holds, wherever the kubelet put it."""

from dataclasses import replace

import pytest
from gpucost.clock import Instant
from gpucost.identity import Device

from contracts.books_by_hand import (
    LATENESS,
    METHOD,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    Bill,
    a_container,
    an_answer,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
)
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.readings import GpuFraction, Pod

END = START + MINUTE
GIB = 1 << 30
QUARTER = GpuFraction("main", ONE, memory_bytes=20 * GIB)


def at(second: float) -> int:
    return START + int(second * SECOND)


def told(held: dict[str, list[str]], *pods: Pod, replicas: int = 10, unmapped: tuple[str, ...] = ()) -> Books:
    """Books of a minute in which the kubelet says so, of GPUs in ten parts, and the API server knows these pods."""
    books = new_books((ONE, TWO))
    hear(books, START, END, held, replicas=replicas, unmapped=unmapped)
    learn(books, START, *pods)
    return books


def billed(books: Books) -> Bill:
    """What is paid for the first GPU."""
    found = bill(close_all(books, END + LATENESS))
    return {key: paid for key, paid in found.items() if key[0] == ONE}


@pytest.mark.parametrize(
    ("fraction", "seconds"),
    [
        (QUARTER, 15),
        (replace(QUARTER, cores_ppm=500_000), 30),
        (replace(QUARTER, cores_ppm=100_000), 15),
        (GpuFraction("main", ONE, cores_ppm=500_000), 30),
        (GpuFraction("main", ONE, share_ppm=350_000, memory_bytes=80 * GIB), 21),
        (GpuFraction("main", ONE), 6),
        (GpuFraction("main", ONE, memory_bytes=200 * GIB), 60),
        (GpuFraction("", ONE, share_ppm=350_000), 21),
        (GpuFraction("main", gpu_index=1, share_ppm=350_000), 21),
    ],
    ids=str,
)
def test_a_fraction_is_the_larger_of_cores_and_memory_and_a_replica_where_it_says_neither(
    fraction: GpuFraction, seconds: int
) -> None:
    books = told({ONE: ["a"]}, an_object("a", fractions=[fraction]))
    free = {(ONE, "unallocated"): (60 - seconds, 0, 0, 60 - seconds)} if seconds < 60 else {}
    assert billed(books) == {(ONE, "a"): (seconds, 0, 0, seconds)} | free


def test_the_gpu_is_the_annotations_and_not_the_kubelets() -> None:
    books = told({ONE: [], TWO: ["a"]}, an_object("a", fractions=[QUARTER]))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "a"): (15, 0, 0, 15),
        (ONE, "unallocated"): (45, 0, 0, 45),
        (TWO, "unallocated"): (60, 0, 0, 60),
    }


def test_an_id_of_no_known_device_is_explained_by_a_fraction() -> None:
    stranger = an_object("stranger", fractions=[QUARTER])
    books = told({ONE: []}, stranger, unmapped=("no-gpu-memory-7",))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "stranger"): (15, 0, 0, 15),
        (ONE, "unallocated"): (45, 0, 0, 45),
        (TWO, "unallocated"): (60, 0, 0, 60),
    }


def test_a_fraction_of_a_gpu_that_the_driver_does_not_show_leaves_the_kubelets_word() -> None:
    books = told({ONE: ["a"]}, an_object("a", fractions=[replace(QUARTER, gpu_uuid="GPU-9")]))
    assert billed(books)[ONE, "a"] == (6, 0, 0, 6)
    stranger = an_object("stranger", fractions=[replace(QUARTER, gpu_uuid="GPU-9")])
    assert billed(told({ONE: []}, stranger, unmapped=("x",))) == {(ONE, "unmapped"): (60, 0, 0, 60)}


def test_where_fractions_do_not_count_the_kubelets_word_does() -> None:
    books = told({ONE: ["a"]}, an_object("a", fractions=[QUARTER], reserves="g"))
    books.method = replace(METHOD, fractions=False)
    assert billed(books)[ONE, "a"] == (6, 0, 0, 6)


def test_fractions_that_pass_the_gpu_are_scaled_to_it_and_say_so() -> None:
    pods = (
        an_object("a", fractions=[GpuFraction("main", ONE, share_ppm=750_000)]),
        an_object("b", fractions=[GpuFraction("main", ONE, share_ppm=500_000)]),
    )
    closed = close_all(told({ONE: ["a", "b"]}, *pods), END + LATENESS)
    found = bill(closed)
    assert (found[ONE, "a"], found[ONE, "b"]) == ((36, 0, 0, 36), (24, 0, 0, 24))
    assert row_of(closed, ONE, "a").flags == ("overlapping",)


def test_each_container_has_its_own_fraction_and_one_without_has_none() -> None:
    fractions = [GpuFraction("main", ONE, share_ppm=250_000), GpuFraction("side", ONE, share_ppm=500_000)]
    pod = an_object("p", a_container(), a_container("side"), fractions=fractions)
    assert billed(told({ONE: ["p", "p/side"]}, pod)) == {
        (ONE, "p"): (15, 0, 0, 15),
        (ONE, "p/side"): (30, 0, 0, 30),
        (ONE, "unallocated"): (15, 0, 0, 15),
    }


def test_a_fraction_of_no_named_container_is_the_first_ones_alone() -> None:
    nameless = GpuFraction("", ONE, share_ppm=250_000)
    pod = an_object("p", a_container("worker"), a_container("helm"), fractions=[nameless])
    assert billed(told({ONE: ["p/helm", "p/worker"]}, pod)) == {
        (ONE, "p/worker"): (15, 0, 0, 15),
        (ONE, "unallocated"): (45, 0, 0, 45),
    }


def test_several_fractions_of_one_container_are_one_holding() -> None:
    books = told({ONE: ["a"]}, an_object("a", fractions=[QUARTER, QUARTER]))
    assert billed(books)[ONE, "a"] == (30, 0, 0, 30)


def test_a_fraction_ends_with_its_pod() -> None:
    pod = an_object("a", a_container(finished_ns=at(20)), fractions=[QUARTER], phase="Succeeded")
    books = told({ONE: ["a"]})
    learn(books, at(30), pod)
    assert billed(books)[ONE, "a"] == (5.125, 0, 0, 5.125), "a quarter of 20.5 s"


def test_beside_a_fraction_an_ordinary_holder_has_its_replicas() -> None:
    books = told({ONE: ["a", "b", "b"]}, an_object("a", fractions=[QUARTER]))
    assert billed(books) == {
        (ONE, "a"): (15, 0, 0, 15),
        (ONE, "b"): (12, 0, 0, 12),
        (ONE, "unallocated"): (33, 0, 0, 33),
    }


def a_member(name: str, percent: int, **more: object) -> Pod:
    return replace(an_object(name, fractions=[a_part(percent)]), **more)  # type: ignore[arg-type]


def a_part(percent: int, container: str = "") -> GpuFraction:
    return GpuFraction(container, group="g", share_ppm=percent * 10_000)


def test_who_shares_a_reserved_gpu_pays_and_its_placeholder_does_not() -> None:
    books = told(
        {ONE: ["holder"]},
        an_object("holder", reserves="g"),
        a_member("a", 50),
        a_member("b", 25),
        an_object("of-no-group", fractions=[GpuFraction(group="h", share_ppm=250_000)]),
        replicas=0,
    )
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "a"): (30, 0, 0, 30),
        (ONE, "b"): (15, 0, 0, 15),
        (ONE, "unallocated"): (15, 0, 0, 15),
        (TWO, "unallocated"): (60, 0, 0, 60),
    }


def test_a_placeholder_may_say_itself_which_gpu_it_holds() -> None:
    holder = replace(an_object("holder", reserves="g"), reserves_uuid=TWO)
    books = told({ONE: []}, holder, a_member("a", 50), replicas=0)
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "unallocated"): (60, 0, 0, 60),
        (TWO, "a"): (30, 0, 0, 30),
        (TWO, "unallocated"): (30, 0, 0, 30),
    }


def test_a_member_pays_from_its_start_to_its_end() -> None:
    books = told({ONE: ["holder"]}, an_object("holder", reserves="g"), replicas=0)
    done = an_object("a", a_container(started_ns=at(10), finished_ns=at(40)), phase="Succeeded")
    learn(books, at(50), replace(done, fractions=(a_part(50),)))
    assert billed(books)[ONE, "a"] == (15.25, 0, 0, 15.25), "half of what lies between 0:10 and 0:40.5"


def test_a_member_is_the_container_that_is_named_and_else_its_first_ordinary_one() -> None:
    inside = (a_container("setup", init=True), a_container("first"), a_container("second"))
    books = told(
        {ONE: ["holder"]},
        an_object("holder", reserves="g"),
        an_object("a", *inside, fractions=[a_part(50)]),
        an_object("b", *inside, fractions=[a_part(25, "second")]),
        replicas=0,
    )
    assert billed(books).keys() == {(ONE, "a/first"), (ONE, "b/second"), (ONE, "unallocated")}


def test_a_group_ends_with_its_placeholder() -> None:
    books = told({ONE: ["holder"]}, an_object("holder", reserves="g"), a_member("a", 50), replicas=0)
    learn(books, at(45), an_object("holder", reserves="g", gone_ns=at(40)))
    assert billed(books) == {(ONE, "a"): (20, 0, 0, 20), (ONE, "unallocated"): (40, 0, 0, 40)}


def test_in_whatever_order_they_are_told_a_group_has_its_living_members() -> None:
    pods = (
        a_member("gone", 50, deleted_at_ns=at(0)),
        a_member("a", 50),
        an_object("gone-holder", reserves="h", gone_ns=at(0)),
        an_object("holder", reserves="g"),
        a_member("b", 25),
    )
    for told_pods in (pods, pods[::-1]):
        found = billed(told({ONE: ["holder"]}, *told_pods, replicas=0))
        assert found == {
            (ONE, "a"): (30, 0, 0, 30),
            (ONE, "b"): (15, 0, 0, 15),
            (ONE, "unallocated"): (15, 0, 0, 15),
        }


def test_fractions_that_overlapped_before_a_gap_overlap_in_it() -> None:
    pods = [an_object(name, fractions=[GpuFraction("main", ONE, share_ppm=600_000)]) for name in "ab"]
    before = told({ONE: ["a", "b"]}, *pods).close_short(END)[-1].checkpoint
    after = new_books((ONE, TWO), at(120), before)
    hear(after, at(120), at(180), {ONE: ["a", "b"]}, replicas=10)
    learn(after, at(120), *pods)
    gap, _ = close_all(after, at(180) + LATENESS)
    assert bill([gap])[ONE, "a"] == (30, 0, 0, 30)
    assert row_of([gap], ONE, "a").flags == ("carried", "overlapping")


def test_a_fraction_is_carried_over_a_gap_as_a_fraction() -> None:
    pods = (an_object("a", fractions=[QUARTER]), an_object("b", fractions=[QUARTER]))
    before = told({ONE: ["a", "b"]}, *pods).close_short(END)[-1].checkpoint
    after = new_books((ONE, TWO), at(120), Checkpoint.from_json(before.to_json()))
    hear(after, at(120), at(180), {ONE: ["a", "c"]}, replicas=10)
    learn(after, at(120), an_object("a", fractions=[QUARTER]))
    gap, _ = close_all(after, at(180) + LATENESS)
    found = bill([gap])
    assert {key: paid for key, paid in found.items() if key[0] == ONE} == {
        (ONE, "a"): (15, 0, 0, 15),
        (ONE, "agent_gap"): (45, 0, 0, 45),
    }
    assert row_of([gap], ONE, "a").flags == ("carried",)


@pytest.mark.parametrize(("label", "seconds"), [("", 60), ("1", 60), ("4", 15), ("four", 60), ("0", 60)])
def test_a_label_tells_how_many_replicas_there_are_where_one_alone_is_healthy(
    label: str, seconds: int
) -> None:
    books = new_books()
    learn(books, START, labels={"nvidia.com/gpu.replicas": label})
    for second in range(61):
        books.read_holders(an_answer(at(second), {ONE: ["a"]}, replicas=1))
    assert billed(books)[ONE, "a"] == (seconds, 0, 0, seconds)


def test_a_label_of_fewer_replicas_than_were_seen_says_nothing() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]}, replicas=4)
    learn(books, START, labels={"nvidia.com/gpu.replicas": "2"})
    assert billed(books)[ONE, "a"] == (15, 0, 0, 15)


def test_the_label_is_of_whole_gpus() -> None:
    books = new_books()
    instance = Device(ONE, 1, 0, "1g.6gb", 0)
    hear(books, START, END, {instance: ["a"], ONE: []}, replicas=2)
    learn(books, START, labels={"nvidia.com/gpu.replicas": "4"})
    assert books.checkpoint().replicas == {instance: 2, Device(ONE): 4}


def test_a_label_says_nothing_of_a_gpu_that_is_not_shared() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]})
    learn(books, START, labels={"nvidia.com/gpu.replicas": "4"})
    assert billed(books) == {(ONE, "a"): (60, 0, 0, 60)}


def test_fractions_that_overlap_do_so_also_while_the_clock_shows_time_twice() -> None:
    most = GpuFraction("main", ONE, share_ppm=750_000)
    books = told({ONE: ["a", "b"]}, *(an_object(name, fractions=[most]) for name in ("a", "b")))
    books.tick(Instant(at(20), at(0)))
    books.tick(Instant(at(11), at(1)))
    closed = close_all(books, END + LATENESS)
    assert closed[0].lengths_ns[ONE] == 70 * SECOND
    assert row_of(closed, ONE, "a").flags == ("overlapping",)
