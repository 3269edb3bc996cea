"""The proof of the footprint turns red for an agent that leaks, spins, loses time, or is not there any more."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.audit.answers import Row
from demo.audit.scenario import Who
from footprint import __main__ as footprint
from footprint.__main__ import MIB, Course, Found, Wish, bars
from footprint.books import Books, summed
from footprint.process_meter import Look, slope
from proofs.proof import CI, FULL

NS = 10**9
LEAKS_AND_SPINS = """
import sys, threading, time

kept = []

def leak():
    while True:
        kept.append(bytearray(64 << 10))
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            pass
        time.sleep(0.1)

if "gpucost_agent" in " ".join(sys.orig_argv):
    threading.Thread(target=leak, daemon=True).start()
"""
DIES = """
import os, sys, threading

if "gpucost_agent" in " ".join(sys.orig_argv):
    threading.Timer(8, os._exit, [1]).start()
"""


def broken(tmp_path: Path, code: str) -> Wish:
    (tmp_path / "sitecustomize.py").write_text(code)
    return Wish(FULL, 7, 20, 8, window_s=5, agent_path=(tmp_path,), with_peer=False)


def written(folder: Path) -> Any:
    return json.loads((folder / "footprint.json").read_text(encoding="utf-8"))


def test_an_agent_that_leaks_and_spins_is_seen(tmp_path: Path) -> None:
    assert footprint.main(broken(tmp_path, LEAKS_AND_SPINS), tmp_path) == 1
    proof = written(tmp_path)
    holds = {bar["figure"]: bar["holds"] for bar in proof["bars"]}
    assert not proof["passed"]
    assert not holds["cpu_cores"]
    assert not holds["rss_slope_bytes_per_hour"]
    assert proof["figures"]["rss_slope_bytes_per_hour"] > 500 * MIB
    assert proof["figures"]["cpu_cores"] > 0.1
    assert holds["open_ns"]
    assert proof["compared"] > 0


def test_an_agent_that_ends_is_seen(tmp_path: Path) -> None:
    assert footprint.main(broken(tmp_path, DIES), tmp_path) == 1
    proof = written(tmp_path)
    assert proof["compared"] == 0
    assert not any(bar["holds"] for bar in proof["bars"])


def look(at_s: float, rss: int, cpu_s: float) -> Look:
    return Look(at_s, rss, cpu_s, 20, {"gpu-0": cpu_s / 2})


def found(mib: float = 60, cores: float = 0.006, mib_an_hour: float = 0.1) -> Found:
    looks = [
        look(at, round(mib * MIB + at / 3_600 * mib_an_hour * MIB), at * cores) for at in range(0, 900, 5)
    ]
    return Found(agent=Course(looks), books=Books(rows=100, windows=14, gpus=8))


def missed(run: Found, form: str = FULL) -> list[str]:
    return [bar.figure for bar in bars(run, form) if not bar.holds]


def test_an_agent_within_its_bounds_is_green() -> None:
    assert missed(found()) == []


@pytest.mark.parametrize(
    ("run", "figure"),
    [
        (found(mib=80.5), "rss_bytes"),
        (found(cores=0.0101), "cpu_cores"),
        (found(mib_an_hour=1.2), "rss_slope_bytes_per_hour"),
        (replace(found(), books=Books(rows=100, open_ns=1)), "open_ns"),
        (replace(found(), books=Books(rows=100, blind_ns=1)), "blind_ns"),
    ],
)
def test_each_bound_is_kept(run: Found, figure: str) -> None:
    assert missed(run) == [figure]


def test_the_slope_is_asked_of_the_full_form_alone() -> None:
    assert missed(found(mib_an_hour=9), CI) == []


def test_what_was_not_measured_holds_no_bar() -> None:
    assert missed(Found()) == [bar.figure for bar in bars(Found(), FULL)]


def test_a_step_is_no_slope_and_a_slope_is_one() -> None:
    steps = [(float(at), 50.0 + (at > 100)) for at in range(0, 900, 5)]
    assert slope(steps) == 0
    assert slope([(float(at), 3.0 * at) for at in range(10)]) == 3
    assert slope([(0.0, 1.0)]) is None


def row(gpu: str, start_ns: int, used_ns: int, unmeasured_ns: int = 0, kind: str = "container") -> Row:
    return Row(
        ("c", "n"), gpu, Who(kind), "", start_ns, 5 * NS, 0, used_ns, 5 * NS - used_ns - unmeasured_ns,
        unmeasured_ns, 0, (0, 0, 0), 0, None, "", "", 0, 0, frozenset(),
    )  # fmt: skip


def test_books_that_are_whole() -> None:
    rows = [row(gpu, start, NS) for gpu in "ab" for start in (0, 5 * NS)]
    assert summed(rows, 5 * NS) == Books(rows=4, windows=2, gpus=2, used_ns=4 * NS)


def test_books_with_holes() -> None:
    rows = [row(gpu, start, NS) for gpu in "ab" for start in (0, 5 * NS)]
    assert summed(rows[1:], 5 * NS).open_ns == 5 * NS
    assert summed([*rows, rows[0]], 5 * NS).open_ns == 5 * NS
    assert summed([*rows[1:], row("a", 0, NS, NS)], 5 * NS).blind_ns == NS
    assert summed([*rows[1:], row("a", 0, NS, kind="unobserved")], 5 * NS).blind_ns == 5 * NS
