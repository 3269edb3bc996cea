"""What an agent hands on to the next one: the clock, the replicas that it counted, and who held what."""

from dataclasses import replace

import pytest
from gpucost.clock import Instant
from gpucost.identity import Device

from contracts.books_by_hand import (
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_pod,
    an_answer,
    bill,
    close_all,
    hear,
    new_books,
)
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.clock_steps import ClockSteps
from gpucost_agent.readings import Boot

LEFT = Checkpoint("boot-1", START, {ONE: LONG_AGO}, monotonic_ns=1_000 * SECOND)
DEVICE = Device(ONE)


def ticked(left: Checkpoint, look_s: int, monotonic_s: int) -> Books:
    """An agent that looks *look_s* after the checkpoint by the wall clock, and then sees the monotonic one."""
    books = new_books(look_ns=START + look_s * SECOND, before=left)
    books.tick(Instant(START + look_s * SECOND, monotonic_s * SECOND))
    return books


@pytest.mark.parametrize(
    ("left", "really_s"), [(LEFT, 20), (replace(LEFT, monotonic_ns=None), 60)], ids=("told", "not told")
)
def test_a_step_between_two_agents_is_told_by_the_clock_that_the_first_one_left(
    left: Checkpoint, really_s: int
) -> None:
    books = ticked(left, 70, 1_020)
    window = close_all(books, START + 70 * SECOND + LATENESS)[0]
    assert window.lengths_ns == {ONE: really_s * SECOND}


def test_a_step_back_between_two_agents_makes_the_window_longer_in_which_it_was() -> None:
    books = ticked(LEFT, 70, 1_100)
    closed = close_all(books, START + 2 * MINUTE + LATENESS)
    assert [window.lengths_ns[ONE] // SECOND for window in closed] == [60, 90]


def test_a_step_in_a_gap_that_is_too_long_to_close_is_nobodys() -> None:
    """Of such a gap only the end is closed, and of that instant nobody told what the clocks showed."""
    days = 8 * 24 * 3_600
    books = ticked(LEFT, days, 1_000 + days - 7_200)
    window = books.close_next(START + days * SECOND + LATENESS)
    assert window is not None
    assert window.lengths_ns == {ONE: MINUTE}


def test_the_clock_is_handed_on_also_before_the_gap_is_closed() -> None:
    books = ticked(LEFT, 130, 1_130)
    assert books.checkpoint().monotonic_ns == 1_000 * SECOND
    (first, *_) = close_all(books, START + 130 * SECOND + LATENESS)
    assert first.checkpoint.monotonic_ns == 1_060 * SECOND
    hear(books, START + 130 * SECOND, START + 3 * MINUTE, {ONE: []})
    assert [each.checkpoint.monotonic_ns for each in close_all(books, START + 3 * MINUTE + LATENESS)] == [
        1_180 * SECOND
    ]


def test_a_clock_that_begins_with_what_was_shown_before_sees_a_step_at_its_first_tick() -> None:
    clock = ClockSteps(0, Instant(0, 0))
    clock.tick(Instant(40 * SECOND, 10 * SECOND))
    assert clock.next_real_ns(10 * SECOND) == 40 * SECOND


def test_replicas_that_are_unhealthy_since_are_counted_still() -> None:
    books = new_books(before=replace(LEFT, replicas={DEVICE: 4}))
    books.read_holders(an_answer(START, {ONE: ["a"]}, replicas=4, healthy=2))
    assert books.holdings.latest is not None
    assert books.holdings.latest.replicas == {DEVICE: 4}


def test_an_agent_before_that_wrote_no_shares() -> None:
    books = new_books(look_ns=START + MINUTE, before=replace(LEFT, held={DEVICE: {a_pod("a"): 1}}))
    hear(books, START + MINUTE, START + 2 * MINUTE, {ONE: ["a"]})
    (gap,) = close_all(books, START + MINUTE + LATENESS)
    assert bill([gap]) == {(ONE, "a"): (60, 0, 0, 60)}


def test_ids_that_nobody_can_map_after_a_gap_carry_nothing() -> None:
    books = new_books(look_ns=START + MINUTE, before=replace(LEFT, held={DEVICE: {a_pod("a"): 1}}))
    hear(books, START + MINUTE, START + 2 * MINUTE, {ONE: []}, unmapped=["nobody-knows"])
    (gap,) = close_all(books, START + MINUTE + LATENESS)
    assert bill([gap]) == {(ONE, "agent_gap"): (60, 0, 0, 60)}


@pytest.mark.parametrize("look_s", [20, 40])
def test_two_boots_that_share_a_window_have_a_part_of_it_each(look_s: int) -> None:
    left = replace(LEFT, closed_through_ns=START + 20 * SECOND)
    boot = Boot("boot-2", START + 10 * SECOND)
    books = new_books(look_ns=START + look_s * SECOND, before=left, boot=boot)
    assert books.before is None
    assert books.closed_through_ns == START + 20 * SECOND


def test_a_boot_in_a_later_window_begins_with_the_node() -> None:
    left = replace(LEFT, closed_through_ns=START + 20 * SECOND)
    books = new_books(look_ns=START + 90 * SECOND, before=left, boot=Boot("boot-2", START + 70 * SECOND))
    assert books.closed_through_ns == START + 70 * SECOND


@pytest.mark.parametrize(
    ("before_id", "boot_id", "booted_at_ns", "is_same"),
    [
        ("boot-1", "", LONG_AGO, True),
        ("", "boot-1", LONG_AGO, True),
        ("", "", START - 1, True),
        ("", "", START, False),
        ("boot-1", "", START, False),
        ("boot-1", "boot-2", LONG_AGO, False),
    ],
)
def test_where_a_boot_has_no_id_it_is_told_by_its_time(
    before_id: str, boot_id: str, booted_at_ns: int, is_same: bool
) -> None:
    left = replace(LEFT, boot_id=before_id)
    books = new_books(look_ns=START + SECOND, before=left, boot=Boot(boot_id, booted_at_ns))
    assert (books.before is not None) == is_same
