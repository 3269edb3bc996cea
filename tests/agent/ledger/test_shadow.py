"""Who uses a device that nobody gave it: it pays for what it used, and it is flagged unless it is of a holder's pod."""

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_container,
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
from gpucost_agent.readings import Pod, ProcessIdentity

END = START + MINUTE
OWN = ProcessIdentity(1, 1, "uid-a", "id-main")
SIDE = ProcessIdentity(2, 1, "uid-a", "id-side")
THIEF = ProcessIdentity(3, 1, "uid-thief", "id-theft")
OUTSIDE = ProcessIdentity(4, 1)
WHO = {each.pid: each for each in (OWN, SIDE, THIEF, OUTSIDE)}
PODS = (an_object("a", a_container(), a_container("side")), an_object("thief", a_container("theft")))


def used(
    busy: int, rows: dict[int, int], held: tuple[str, ...] = ("a",), pods: tuple[Pod, ...] = PODS
) -> Books:
    books = new_books()
    learn(books, START, *pods)
    hear(books, START, END, {ONE: held})
    for end in range(START + SECOND, END + 1, SECOND):
        books.read_gpu(a_look(end, ring=[(end, busy)], uses=uses(end - SECOND, end, rows)), WHO)
    return books


def minute(books: Books) -> list[ClosedWindow]:
    return close_all(books, END + LATENESS)


def test_a_shadow_pays_for_its_use_and_the_holder_for_the_rest() -> None:
    closed = minute(used(50, {1: 20, 3: 30}))
    assert bill(closed) == {(ONE, "a"): (60, 12, 30, 0), (ONE, "thief/theft"): (0, 18, 0, 0)}
    assert row_of(closed, ONE, "thief").flags == ("shadow",)
    assert row_of(closed, ONE, "a").flags == ()
    assert row_of(closed, ONE, "a").evidence.method == "ring_process"


def test_a_container_beside_the_holder_in_its_pod_is_no_shadow() -> None:
    closed = minute(used(50, {1: 20, 2: 30}))
    assert bill(closed) == {(ONE, "a"): (60, 12, 30, 0), (ONE, "a/side"): (0, 18, 0, 0)}
    assert {row.flags for window in closed for row in window.slices} == {()}


def test_the_host_is_no_shadow() -> None:
    closed = minute(used(50, {4: 50}))
    assert bill(closed) == {(ONE, "a"): (60, 0, 30, 0), (ONE, "host"): (0, 30, 0, 0)}
    assert row_of(closed, ONE, "host").flags == ()


def test_who_uses_a_free_device_is_a_shadow_too() -> None:
    closed = minute(used(50, {3: 50}, held=()))
    assert bill(closed) == {(ONE, "thief/theft"): (0, 30, 0, 0), (ONE, "unallocated"): (60, 0, 30, 0)}
    assert row_of(closed, ONE, "thief").flags == ("shadow",)


def test_who_was_seen_and_used_nothing_is_no_shadow_and_has_no_slice() -> None:
    closed = minute(used(50, {1: 50, 3: 0}))
    assert bill(closed) == {(ONE, "a"): (60, 30, 30, 0)}
    assert row_of(closed, ONE, "a").evidence.method == "ring", (
        "nobody else did anything: it is the device's own"
    )


def test_a_pod_of_which_nobody_told_is_a_shadow_by_what_its_process_says() -> None:
    closed = minute(used(50, {3: 50}, pods=PODS[:1]))
    (row,) = [row for window in closed for row in window.slices if row.flags]
    assert (row.key.holder.pod_uid, row.key.holder.container, row.flags) == (
        "uid-thief",
        "id-theft",
        ("shadow",),
    )


def test_who_works_on_for_a_moment_after_its_release_is_no_shadow_in_the_next_window_either() -> None:
    books = new_books()
    learn(books, START, *PODS)
    hear(books, START, END - SECOND, {ONE: ("a",)})
    # The release lies in the middle of two answers, half a second before the window's end; the pod works on.
    hear(books, END, END + MINUTE, {})
    for second in range(1, 120):
        end = START + second * SECOND + SECOND // 5
        busy = {1: 80} if second <= 60 else {3: 80} if second == 65 else {}
        rows = uses(end - SECOND, end, busy)
        books.read_gpu(a_look(end, ring=[(end, sum(busy.values()))], uses=rows), WHO)
    closed = close_all(books, END + MINUTE + LATENESS)
    late = row_of(closed[1:], ONE, "a")
    assert (late.time.reserved_ns, late.flags) == (0, ())
    assert late.time.used_ns > 0
    assert row_of(closed, ONE, "thief").flags == ("shadow",)
