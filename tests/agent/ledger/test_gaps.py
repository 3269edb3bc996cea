"""Time before an agent's first look: who carries it, and what the next agent has to know for that."""

from dataclasses import replace

import pytest
from gpucost.cost_slice import Price
from gpucost.identity import Device

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    a_gpu,
    a_look,
    a_lost_look,
    a_pod,
    an_answer,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
    watch,
)
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.readings import Boot


def at(second: float) -> int:
    return START + int(second * SECOND)


def left(*pods: str, replicas: int = 0, known: bool = False) -> Checkpoint:
    """What an agent leaves after a minute in which *pods* held the GPU; *known* to the API server or not."""
    books = new_books()
    hear(books, START, at(60), {ONE: pods}, replicas=replicas)
    if known:
        learn(books, START, *map(an_object, dict.fromkeys(pods)))
    return books.close_short(at(60))[-1].checkpoint


def back(before: Checkpoint, *pods: str, replicas: int = 0) -> Books:
    """Books of the next one, which looks from 2:00 on and hears for a minute that *pods* hold the GPU."""
    books = new_books(look_ns=at(120), before=Checkpoint.from_json(before.to_json()))
    hear(books, at(120), at(180), {ONE: pods}, replicas=replicas)
    return books


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_holder_is_the_same_where_its_uid_was_not_known_once(before: bool, after: bool) -> None:
    books = back(left("a", known=before), "a")
    if after:
        learn(books, at(120), an_object("a"))
    gap, _ = close_all(books, at(180) + LATENESS)
    assert bill([gap]) == {(ONE, "a"): (60, 0, 0, 60)}
    assert row_of([gap], ONE, "a").key.holder == a_pod("a", "uid-a" if after else ""), "as it is known now"


def test_another_pod_of_the_name_is_another_holder() -> None:
    books = back(left("a", known=True), "a")
    learn(books, at(120), an_object("a", uid="another"))
    assert bill(close_all(books, at(180) + LATENESS)[:1]) == {(ONE, "agent_gap"): (60, 0, 0, 60)}


def test_another_container_of_the_pod_is_another_holder() -> None:
    gap, _ = close_all(back(left("a/one"), "a/two"), at(180) + LATENESS)
    assert bill([gap]) == {(ONE, "agent_gap"): (60, 0, 0, 60)}


def test_who_shares_a_claim_before_and_after_is_oversubscribed_in_between() -> None:
    gap, _ = close_all(back(left("a", "b"), "a", "b"), at(180) + LATENESS)
    assert bill([gap]) == {(ONE, "a"): (30, 0, 0, 30), (ONE, "b"): (30, 0, 0, 30)}
    assert row_of([gap], ONE, "a").flags == ("carried", "oversubscribed")


def test_a_replica_is_the_part_that_it_was_before_the_gap() -> None:
    gap, later = close_all(back(left("a", replicas=2), "a", replicas=4), at(180) + LATENESS)
    assert bill([gap])[ONE, "a"] == (30, 0, 0, 30)
    assert bill([later])[ONE, "a"] == (15, 0, 0, 15)


def test_until_the_gap_is_closed_the_one_before_knows() -> None:
    before = replace(left("a", "b", replicas=4), models={ONE: "NVIDIA A30"}, shares={Device(ONE): {}})
    books = new_books(look_ns=at(120), before=before)
    hear(books, at(120), at(180), {ONE: ["c"]})
    same = books.checkpoint()
    assert (same.held, same.replicas, same.shares) == (before.held, before.replicas, before.shares)
    assert (same.closed_through_ns, same.boot_id, same.lives) == (at(60), "boot-1", {ONE: START})
    assert same.models == {ONE: "NVIDIA H100"}
    (gap, _) = close_all(books, at(180) + LATENESS)
    assert gap.checkpoint.held == before.held, "what is closed is the gap alone"
    assert books.checkpoint().held == {Device(ONE): {a_pod("c"): 1}}


def test_what_a_boot_leaves_says_nothing_of_the_next_but_where_it_ended() -> None:
    before = left("a")
    books = new_books(look_ns=at(75), before=before, boot=Boot("boot-2", at(70)))
    hear(books, at(75), at(120), {ONE: ["a"]})
    (window,) = close_all(books, at(120) + LATENESS)
    assert bill([window]) == {(ONE, "node_starting"): (5, 0, 0, 5), (ONE, "a"): (45, 0, 0, 45)}
    assert window.interval.start_ns == at(70)
    assert row_of([window], ONE, "node_starting").evidence.watched_ns == 0


@pytest.mark.parametrize(
    ("booted_s", "begins_s"), [(100, 100), (120 - 3_599, 120 - 3_599), (120 - 3_600, 120), (130, 120)]
)
def test_a_life_begins_with_a_boot_of_less_than_an_hour_ago(booted_s: int, begins_s: int) -> None:
    books = new_books(look_ns=at(120), boot=Boot("boot-1", at(booted_s)))
    assert books.checkpoint().lives == {ONE: at(begins_s)}


def test_a_gpu_whose_model_the_one_before_did_not_write_down_has_none() -> None:
    before = replace(left("a"), models={})
    books = new_books((TWO,), look_ns=at(120), before=before)
    gone = next(gpu for gpu in books.gpus() if gpu.uuid == ONE)
    assert (gone.model, gone.minor, gone.memory_bytes, gone.index) == ("", None, None, -1)


def test_each_gpu_is_priced_by_itself_as_of_the_windows_start() -> None:
    asked: list[tuple[str, int]] = []
    books = new_books((ONE, TWO))

    def quote(uuid: str, at_ns: int) -> Price:
        asked.append((uuid, at_ns))
        return Price(60 if uuid == ONE else 120, "override")

    books.quote = quote
    closed = close_all(books, at(120) + LATENESS)
    assert asked == [(ONE, at(0)), (TWO, at(0)), (ONE, at(60)), (TWO, at(60))]
    assert [sum(row.cost.nanodollars for row in window.slices) for window in closed] == [3, 3]
    assert {row.key.node for window in closed for row in window.slices} == {books.node}
    assert [row.key.window_start_ns for row in closed[1].slices] == [at(60), at(60)]
    assert closed[1].lives[TWO].start_ns == at(60)


def test_a_gpu_that_is_lost_twice_in_a_window() -> None:
    books = new_books()
    hear(books, START, at(60), {ONE: ["a"]})
    for begin, lost, end in ((0, 10, 20), (20, 30, 45)):
        watch(books, ONE, at(begin), at(lost - 1), 100)
        books.read_gpu(a_lost_look(at(lost)), {})
        books.read_gpu(a_lost_look(at(lost + 1)), {})
        books.read_gpu(a_look(at(end)), {})
    found = bill(close_all(books, at(60) + LATENESS))
    assert found == {(ONE, "a"): (35, 18, 0, 17), (ONE, "gpu_lost"): (25, 0, 0, 25)}


def test_a_gpu_that_was_lost_across_windows_is_lost_in_each() -> None:
    books = new_books()
    hear(books, START, at(180), {ONE: ["a"]})
    books.read_gpu(a_look(at(49)), {})
    books.read_gpu(a_lost_look(at(50)), {})
    first = close_all(books, at(70))
    books.read_gpu(a_look(at(80)), {})
    closed = [*first, *close_all(books, at(180) + LATENESS)]
    assert [bill([window]).get((ONE, "gpu_lost"), (0,))[0] for window in closed] == [10, 20, 0]


def test_who_held_a_gpu_that_was_gone_is_asked_of_those_that_are_there() -> None:
    books = new_books()
    books.see_gpus((a_gpu(), a_gpu(TWO)), at(20))
    books.see_gpus((a_gpu(TWO),), at(40))
    hear(books, START, at(60), {ONE: ["a"], TWO: ["b"]})
    assert bill(close_all(books, at(60) + LATENESS)) == {
        (ONE, "a"): (60, 0, 0, 60),
        (TWO, "b"): (40, 0, 0, 40),
    }


def test_a_gpu_that_comes_late_lives_from_what_is_not_closed_yet() -> None:
    books = new_books()
    close_all(books, at(60) + LATENESS)
    books.see_gpus((a_gpu(), a_gpu(TWO)), at(50))
    assert books.checkpoint().lives == {ONE: START, TWO: at(60)}


def test_time_that_was_twice_is_free_or_held_as_the_time_around_it() -> None:
    """The clock was set back by ten seconds: nobody watched what it showed again."""
    held, unknown = new_books(), new_books()
    for books in (held, unknown):
        for second in range(71):
            wall = at(second if second < 30 else second - 10)
            books.tick(replace(a_look(wall).read_at, monotonic_ns=second * SECOND))
            if books is held:
                books.read_holders(an_answer(wall, {ONE: ["a", "b"]}))
    (window,) = close_all(held, at(60) + LATENESS)
    assert bill([window]) == {(ONE, "a"): (35, 0, 0, 35), (ONE, "b"): (35, 0, 0, 35)}
    assert row_of([window], ONE, "a").flags == ("oversubscribed",)
    assert bill(close_all(unknown, at(60) + LATENESS)) == {(ONE, "kubelet_away"): (70, 0, 0, 70)}
    assert MINUTE == 60 * SECOND
