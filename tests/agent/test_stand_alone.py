"""The table of one machine without Kubernetes: from the first look on, and short uses too."""

import io
import re

import pytest

from contracts.books_by_hand import MINUTE, ONE, SECOND, START, TWO, close_all, hear, new_books, watch
from gpucost_agent.ledger.books import Books
from gpucost_agent.readings import Boot
from gpucost_agent.stand_alone import Table, time_text

LOOK = START + 90 * SECOND
"""The first look: in the middle of a minute."""


def looking(booted_ns: int, gpus: tuple[str, ...] = (ONE,)) -> Books:
    """Books of a machine that was booted then, and is watched from LOOK on to the end of the third minute."""
    books = new_books(gpus, LOOK, boot=Boot("boot-1", booted_ns))
    hear(books, LOOK, START + 3 * MINUTE, {})
    for gpu in gpus:
        watch(books, gpu, LOOK, START + 2 * MINUTE, 0)
        watch(books, gpu, START + 2 * MINUTE, START + 3 * MINUTE, 1)
    return books


def told(books: Books) -> tuple[list[str], list[str]]:
    """The lines of the windows, and those of their sum."""
    out = io.StringIO()
    table = Table(out)
    for closed in close_all(books, START + 4 * MINUTE):
        table.keep(closed)
    table.show_all()
    windows, _, whole = out.getvalue().partition("in all:\n")
    return windows.splitlines(), whole.splitlines()


@pytest.mark.parametrize("booted_ns", [START - 55 * MINUTE, START + 80 * SECOND, LOOK, START - 100 * MINUTE])
def test_what_nobody_watched_has_no_table(booted_ns: int) -> None:
    windows, whole = told(looking(booted_ns))
    assert len([line for line in windows if line.startswith("GPU ")]) == 2
    assert not any("node_starting" in line for line in windows + whole)
    assert re.fullmatch(r".* \d\d:01:30.\d\d:02 UTC", windows[0])
    assert re.fullmatch(r".* \d\d:01:30.\d\d:03 UTC", whole[0])


def test_each_gpus_share_is_of_what_was_watched() -> None:
    _, whole = told(looking(START - 55 * MINUTE, (ONE, TWO)))
    shares: dict[str, float] = {}
    for line in whole[2:-1]:
        gpu, _, _, share = re.split(r" {2,}", line)[:4]
        shares[gpu] = shares.get(gpu, 0) + float(share.strip("%<"))
    assert shares == {ONE: pytest.approx(100, abs=1), TWO: pytest.approx(100, abs=1)}


def test_short_use_is_told_in_tenths_of_a_second() -> None:
    windows, _ = told(looking(LOOK))
    assert any("  0.6 s " in line for line in windows), windows
    assert "  share  " in windows[1]


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (1, "<0.1 s"),
        (400_000_000, "0.4 s"),
        (10 * SECOND, "10.0 s"),
        (MINUTE - 1, "59.9 s"),
        (MINUTE, "1 min"),
        (200 * SECOND + 5, "3 min 20 s"),
    ],
)
def test_times_below_a_minute_have_tenths(ns: int, text: str) -> None:
    assert time_text(ns) == text
