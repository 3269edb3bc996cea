"""The demo's check on answers that were recorded once: green as they are, red after every way to break them."""

import ast
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo import proof
from demo.audit import price_list, recording, scenario
from demo.audit.books import Auditor, Verdict
from demo.audit.recording import Recording
from demo.wish import ROOT, read

RECORDED = Path(__file__).parent / "recordings" / "demo.json"
SCENARIO = ROOT / "hack" / "scenarios" / "demo.yaml"
BOOK = SCENARIO.with_name("demo-prices.yaml")
CATALOGUE = ROOT / "proto" / "gpucost" / "catalogue.csv"

Slices = list[dict[str, Any]]


@pytest.fixture
def recorded() -> Recording:
    return recording.read(RECORDED)


def check(recorded: Recording, book: str | None = BOOK.read_text()) -> Verdict:
    play = scenario.read(SCENARIO.read_text(), recorded.facts)
    return Auditor(play, price_list.read(book, CATALOGUE), recorded.stories).look(recorded.answers)


def add(fields: dict[str, Any], name: str, amount: int) -> None:
    fields[name] = str(int(fields[name]) + amount)


def test_what_was_recorded_is_right(recorded: Recording) -> None:
    verdict = check(recorded)
    assert verdict.findings == ()
    assert verdict.passed
    assert verdict.compared == len(recorded.answers.slices) > 20


@pytest.mark.parametrize(
    "column",
    [
        *("cost_nanodollars", "cost_used_nanodollars", "cost_idle_nanodollars", "cost_reserved_nanodollars"),
        *("reserved_ns", "used_ns", "idle_ns", "unmeasured_ns", "length_ns", "price_nanodollars_per_hour"),
    ],
)
def test_one_unit_in_one_row_turns_it_red(recorded: Recording, column: str) -> None:
    row = max(recorded.answers.slices, key=lambda fields: int(fields[column] or 0))
    add(row, column, 1)
    assert not check(recorded).passed


def test_a_nanodollar_in_any_row_turns_it_red(recorded: Recording) -> None:
    for row in recorded.answers.slices:
        add(row, "cost_nanodollars", 1)
        add(row, "cost_unmeasured_nanodollars", 1)
        assert not check(recorded).passed
        add(row, "cost_nanodollars", -1)
        add(row, "cost_unmeasured_nanodollars", -1)
    assert check(recorded).passed


def is_shared(fields: dict[str, Any]) -> bool:
    return fields["namespace"] in ("chat", "search")


def rename(slices: Slices) -> None:
    next(filter(is_shared, slices))["pod"] = "somebody-else"


def drop(slices: Slices) -> None:
    del slices[-1]


def drop_a_window(slices: Slices) -> None:
    last = slices[-1]["window_start_ns"]
    slices[:] = [row for row in slices if row["window_start_ns"] != last]


def double(slices: Slices) -> None:
    slices.append(copy.copy(slices[0]))


def swap_holders(slices: Slices) -> None:
    """Who bursts and who does not change their names: every sum stays."""
    names = ("namespace", "pod", "pod_uid", "container")
    shared = list(filter(is_shared, slices))
    chat, search = (
        {name: row[name] for name in names}
        for row in (next(row for row in shared if row["namespace"] == space) for space in ("chat", "search"))
    )
    for row in shared:
        row.update(search if row["namespace"] == "chat" else chat)


def move(row: dict[str, Any], source: str, target: str) -> None:
    for name in (f"{source}_ns", f"cost_{source}_nanodollars"):
        add(row, name.replace(source, target), int(row[name]))
        row[name] = "0"


def be_blind(slices: Slices) -> None:
    """Exclusive pods balance even for an agent that sees nothing of what they do; this must not."""
    for row in slices:
        for part in ("used", "idle"):
            move(row, part, "unmeasured")
        row["watched_ns"], row["samples"] = "0", "0"


def call_use_idle(slices: Slices) -> None:
    for row in slices:
        if row["namespace"] == "training":
            move(row, "used", "idle")


@pytest.mark.parametrize(
    "break_it", [rename, drop, drop_a_window, double, swap_holders, be_blind, call_use_idle]
)
def test_other_ways_to_be_wrong(recorded: Recording, break_it: Callable[[Slices], None]) -> None:
    break_it(recorded.answers.slices)
    assert not check(recorded).passed


@pytest.mark.parametrize("report", ["namespaces", "models", "idle"])
def test_a_report_that_is_not_the_sum_of_its_slices(recorded: Recording, report: str) -> None:
    add(recorded.answers.reports[report]["total"], "cost_nanodollars", 1)
    assert any(f"report {report}" in words for words in check(recorded).findings)


def test_a_price_that_the_book_does_not_have(recorded: Recording) -> None:
    assert not check(recorded, book=None).passed
    assert not check(recorded, book=BOOK.read_text().replace("6.88", "6.89")).passed


def test_time_that_is_called_a_gap_needs_a_gap(recorded: Recording) -> None:
    recorded.answers.slices[-1]["flags"] = ["carried"]
    assert not check(recorded).passed


@pytest.mark.parametrize("verdict", [None, Verdict(0, 0, 0, 0, 0, ())])
def test_nothing_compared_is_red(verdict: Verdict | None) -> None:
    run = proof.Run(read({"CI": "1", "SEED": "1"}), 2, 60.0, 20.0)
    figures = proof.proof(run, verdict)
    assert figures["passed"] is False
    assert not {bar["figure"]: bar["holds"] for bar in figures["bars"]}["compared"]


def test_the_check_knows_nothing_of_what_it_checks() -> None:
    allowed = set(sys.stdlib_module_names) | {"yaml", "demo"}
    for file in (ROOT / "hack" / "demo").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file
