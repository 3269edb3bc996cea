"""The agent's own check of a closed window sees every way to break the laws over several slices."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from gpucost.cost_slice import CostSlice, Price

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    PRICE,
    START,
    TWO,
    close_all,
    hear,
    new_books,
)
from gpucost_agent.ledger.books import ClosedWindow
from gpucost_agent.ledger.laws import window_breaches

MINUTES_COST = (PRICE.nanodollars_per_hour or 0) // 60


def a_window(price: Price = PRICE) -> ClosedWindow:
    """A minute of two GPUs; the first in two replicas, one of them a's."""
    books = new_books((ONE, TWO), price=price)
    hear(books, START, START + MINUTE, {ONE: ["a"]}, replicas=2)
    (window,) = close_all(books, START + MINUTE + LATENESS)
    return window


def breaches(window: ClosedWindow, change: Callable[[CostSlice], CostSlice] = lambda row: row) -> list[str]:
    """What is seen once the first slice was changed."""
    first, *rest = window.slices
    rows = [change(first), *rest]
    return [f"{law}: {words}" for law, words in window_breaches(rows, window.lives, window.lengths_ns)]


def more_charged(row: CostSlice) -> CostSlice:
    return replace(row, time=replace(row.time, idle_ns=row.time.idle_ns + 1))


def more_reserved(row: CostSlice) -> CostSlice:
    return replace(row, time=replace(row.time, reserved_ns=row.time.reserved_ns + 1))


def more_paid(row: CostSlice) -> CostSlice:
    return replace(row, cost=replace(row.cost, used_nanodollars=row.cost.used_nanodollars + 1))


def more_blocked(row: CostSlice) -> CostSlice:
    return replace(row, cost=replace(row.cost, reserved_nanodollars=row.cost.reserved_nanodollars + 1))


def other_price(row: CostSlice) -> CostSlice:
    return replace(row, price=Price(1, "override"))


def test_a_window_as_it_is_breaks_nothing() -> None:
    assert breaches(a_window()) == []
    assert breaches(a_window(Price())) == []


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (more_charged, f"gpu: {ONE} lived {MINUTE} ns of the window and {MINUTE + 1} ns are charged"),
        (more_reserved, f"reservation: {ONE} lived {MINUTE} ns and {MINUTE + 1} ns are reserved or free"),
        (
            more_paid,
            f"money: {ONE} costs {MINUTES_COST} nano-dollars and {MINUTES_COST + 1} are charged",
        ),
        (
            more_blocked,
            f"money: {ONE} costs {MINUTES_COST} nano-dollars and {MINUTES_COST + 1} are the cost of what was reserved",
        ),
        (other_price, f"money: {ONE} has 2 prices in one window"),
    ],
)
def test_one_unit_is_seen_and_said(change: Callable[[CostSlice], CostSlice], seen: str) -> None:
    assert breaches(a_window(), change) == [seen]


def test_what_costs_something_without_a_price_is_seen() -> None:
    assert breaches(a_window(Price()), more_paid) == [f"money: {ONE} costs 0 nano-dollars and 1 are charged"]


def test_a_gpu_without_slices_is_seen() -> None:
    window = a_window()
    rows = [row for row in window.slices if row.key.device.gpu_uuid == ONE]
    assert sorted(law for law, _ in window_breaches(rows, window.lives, window.lengths_ns)) == [
        "gpu",
        "reservation",
    ]


def test_slices_of_a_gpu_that_did_not_live_are_seen() -> None:
    window = a_window()
    lives = {ONE: window.lives[ONE]}
    lengths = {ONE: window.lengths_ns[ONE]}
    found = list(window_breaches(window.slices, lives, lengths))
    assert [(law, words[: len(TWO)]) for law, words in found] == [("gpu", TWO), ("reservation", TWO)]
    assert "lived 0 ns of the window" in found[0][1]
