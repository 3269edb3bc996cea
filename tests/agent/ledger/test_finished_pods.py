"""Pods that ended, and names that were used again: who is done holds nothing, whoever still lists it."""

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    a_container,
    a_pod,
    an_answer,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
)

END = START + MINUTE


def at(second: float) -> int:
    return START + int(second * SECOND)


def test_a_finished_pod_that_an_old_kubelet_lists_holds_nothing_any_more() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p"]})
    learn(books, at(30), an_object("p", a_container(finished_ns=at(20)), phase="Succeeded"))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "p"): (20.5, 0, 0, 20.5),
        (ONE, "unallocated"): (39.5, 0, 0, 39.5),
    }


def test_a_pod_ends_with_the_last_of_its_containers() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p"]})
    ended = (a_container(finished_ns=at(20)), a_container("other", finished_ns=at(33)))
    learn(books, at(40), an_object("p", *ended, phase="Failed"))
    assert bill(close_all(books, END + LATENESS))[ONE, "p"] == (33.5, 0, 0, 33.5)


def test_an_end_is_no_later_than_when_it_was_heard_of() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p"]})
    learn(books, at(20.2), an_object("p", a_container(finished_ns=at(20)), phase="Succeeded"))
    learn(books, at(50), an_object("p", a_container(finished_ns=at(20)), phase="Succeeded"))
    assert bill(close_all(books, END + LATENESS))[ONE, "p"] == (20.2, 0, 0, 20.2)


def test_a_pod_that_ended_without_a_time_ended_when_it_was_heard_of() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p"]})
    learn(books, at(24), an_object("p", phase="Failed"))
    assert bill(close_all(books, END + LATENESS))[ONE, "p"] == (24, 0, 0, 24)


def test_a_container_that_ended_and_may_start_again_holds_on() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p"]})
    learn(books, at(30), an_object("p", a_container(finished_ns=at(20))))
    assert bill(close_all(books, END + LATENESS)) == {(ONE, "p"): (60, 0, 0, 60)}


def test_who_gets_the_device_of_a_finished_pod_has_it_alone() -> None:
    books = new_books()
    hear(books, START, at(29), {ONE: ["p"]})
    hear(books, at(31), END, {ONE: ["p", "q"]})
    learn(books, at(40), an_object("p", a_container(finished_ns=at(20)), phase="Succeeded"), an_object("q"))
    closed = close_all(books, END + LATENESS)
    assert bill(closed) == {
        (ONE, "p"): (20.5, 0, 0, 20.5),
        (ONE, "unallocated"): (9.5, 0, 0, 9.5),
        (ONE, "q"): (30, 0, 0, 30),
    }
    assert row_of(closed, ONE, "q").flags == ()


def test_a_claim_that_two_pods_share_is_oversubscribed() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["p", "q"]})
    closed = close_all(books, END + LATENESS)
    assert bill(closed) == {(ONE, "p"): (30, 0, 0, 30), (ONE, "q"): (30, 0, 0, 30)}
    assert row_of(closed, ONE, "p").flags == row_of(closed, ONE, "q").flags == ("oversubscribed",)


def test_a_pod_with_the_name_of_a_dead_one_is_another_holder() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["web-0"]})
    learn(books, at(1), an_object("web-0", uid="u1"))
    learn(books, at(35), an_object("web-0", uid="u1", gone_ns=at(30)), an_object("web-0", uid="u2"))
    (window,) = close_all(books, END + LATENESS)
    assert {row.key.holder: row.time.charged_ns for row in window.slices} == {
        a_pod("web-0", "u1"): 30 * SECOND,
        a_pod("web-0", "u2"): 30 * SECOND,
    }


def test_a_pod_with_the_name_of_a_dead_one_pays_from_its_end_on_though_both_were_heard_of_late() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["web-0"]})
    learn(books, at(50), an_object("web-0", uid="u1", gone_ns=at(30)), an_object("web-0", uid="u2"))
    (window,) = close_all(books, END + LATENESS)
    assert {row.key.holder.pod_uid: row.time.charged_ns for row in window.slices} == {
        "u1": 30 * SECOND,
        "u2": 30 * SECOND,
    }


def test_ids_of_no_known_device_are_told_while_somebody_has_them() -> None:
    books = new_books()
    assert books.unmapped_ids(at(0)) == ()
    hear(books, START, END, {}, unmapped=("GPU-9", "GPU-8"))
    learn(books, at(30), an_object("stranger", a_container(finished_ns=at(20)), phase="Succeeded"))
    assert sorted(books.unmapped_ids(at(20))) == ["GPU-8", "GPU-9"]
    assert books.unmapped_ids(at(20.5)) == ()


def test_an_id_of_no_known_device_makes_one_free_gpu_unobserved() -> None:
    books = new_books((ONE, TWO))
    hear(books, START, END, {}, unmapped=("GPU-9",))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "unmapped"): (60, 0, 0, 60),
        (TWO, "unallocated"): (60, 0, 0, 60),
    }


def test_an_id_of_no_known_device_that_a_finished_pod_had_makes_nothing_unobserved() -> None:
    books = new_books()
    hear(books, START, END, {}, unmapped=("GPU-9",))
    learn(books, at(30), an_object("stranger", a_container(finished_ns=at(20)), phase="Succeeded"))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "unmapped"): (20.5, 0, 0, 20.5),
        (ONE, "unallocated"): (39.5, 0, 0, 39.5),
    }


def test_several_ids_of_no_known_device_make_as_many_free_gpus_unobserved_and_never_a_held_one() -> None:
    books = new_books((ONE, TWO))
    hear(books, START, END, {ONE: ["a"]}, unmapped=("GPU-8", "GPU-9"))
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "a"): (60, 0, 0, 60),
        (TWO, "unmapped"): (60, 0, 0, 60),
    }


def test_holding_begins_when_the_kubelet_wrote_it_down() -> None:
    books = new_books()
    books.read_holders(an_answer(at(10), {}))
    books.read_holders(an_answer(at(20), {ONE: ["a"]}, changed_at_ns=at(13)))
    hear(books, at(21), END, {ONE: ["a"]})
    assert bill(close_all(books, END + LATENESS)) == {
        (ONE, "unallocated"): (13, 0, 0, 13),
        (ONE, "a"): (47, 0, 0, 47),
    }
