"""The proof of accuracy turns red: after every way to break answers made by hand, and for broken agents that run."""

import ast
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accuracy import figures
from accuracy.__main__ import main, play
from accuracy.score import Score, score
from accuracy.stage import Order
from contracts.accuracy_by_hand import SCENARIO, recording
from demo.wish import ROOT
from proofs.proof import CI, Bar

Slices = list[dict[str, Any]]

LIVE = """
name: sabotage
window_seconds: 1
clusters:
  - name: one
    nodes:
      - name: node
        booted: -2h
        gpus: [{model: NVIDIA A100-SXM4-80GB, replicas: 2}]
        pods:
          - name: in-turns
            namespace: n
            containers: [{name: c, gpus: [0], processes: [
              {gpu: 0, busy: {pattern: duty, on_ms: 5000, period_ms: 10000}}]}]
          - name: steady
            namespace: n
            containers: [{name: c, gpus: [0], processes: [{gpu: 0, busy: {pattern: constant, share: 0.05}}]}]
"""

SWAPPED = """

_right_usage = usage


def usage(seen, used, holders):
    found = _right_usage(seen, used, holders)
    names = sorted(found.used, key=lambda holder: holder.order)
    swapped = dict(zip(names, (found.used[name] for name in reversed(names)), strict=True))
    return Usage(found.watched_ns, swapped, found.method, found.samples)
"""

BY_THE_READ = """

_right_reservations = Stretching._reservations


def _each_second(self, part, device):
    second = 10**9
    for period, reservation in _right_reservations(self, part, device):
        for begin in range(period.start_ns, period.end_ns, second):
            yield Interval(begin, min(begin + second, period.end_ns)), reservation


Stretching._reservations = _each_second
"""


def broken(found: list[Bar]) -> set[str]:
    return {bar.figure for bar in found if not bar.holds}


def bars(*scores: Score) -> list[Bar]:
    return list(figures.bars(figures.merged(scores), CI, is_drawn=False))


def checked(slices: Slices) -> set[str]:
    return broken(bars(score(replace(recording(), slices=tuple(slices)), SCENARIO)))


def of_pod(slices: Slices, pod: str) -> dict[str, Any]:
    return next(fields for fields in slices if fields["pod"] == pod)


def move(slices: Slices, source: str, target: str, ms: int, part: str = "idle_ns") -> None:
    for pod, sign in ((source, -1), (target, 1)):
        fields = of_pod(slices, pod)
        fields[part] = str(int(fields[part]) + sign * ms * 10**6)


def a_nanosecond(slices: Slices) -> None:
    slices[0]["idle_ns"] = str(int(slices[0]["idle_ns"]) + 1)


def a_nanosecond_reserved(slices: Slices) -> None:
    slices[0]["reserved_ns"] = str(int(slices[0]["reserved_ns"]) - 1)


def drop(slices: Slices) -> None:
    slices.pop()


def double(slices: Slices) -> None:
    slices.append(dict(slices[0]))


def swap_shares(slices: Slices) -> None:
    for fields in slices:
        fields["pod"] = {"big": "small", "small": "big"}.get(fields["pod"], fields["pod"])
        fields["pod_uid"] = f"uid-{fields['pod']}"


def pay_by_use_alone(slices: Slices) -> None:
    """The measure of use is right, and the formula is not."""
    for fields in slices:
        if fields["pod"] in ("big", "small"):
            fields["idle_ns"] = str({"big": 2_571_428_571, "small": 428_571_429}[fields["pod"]])


def name_somebody_else(slices: Slices) -> None:
    of_pod(slices, "alone")["pod_uid"] = "another-life"


def name_the_ring(slices: Slices) -> None:
    of_pod(slices, "left")["method"] = "ring_process"


def claim_samples(slices: Slices) -> None:
    of_pod(slices, "left")["samples"] = "6"


def call_the_unknown_idle(slices: Slices) -> None:
    fields = of_pod(slices, "part")
    fields["idle_ns"], fields["unmeasured_ns"] = fields["unmeasured_ns"], "0"


def be_blind(slices: Slices) -> None:
    for fields in slices:
        unknown = sum(int(fields[part]) for part in ("used_ns", "idle_ns", "unmeasured_ns"))
        fields |= {"used_ns": "0", "idle_ns": "0", "unmeasured_ns": str(unknown)}


def test_what_is_right_is_green() -> None:
    assert checked(list(recording().slices)) == set()


@pytest.mark.parametrize(
    ("break_it", "seen_by"),
    [
        (a_nanosecond, "books_off_ns"),
        (a_nanosecond_reserved, "books_off_ns"),
        (drop, "books_off_ns"),
        (double, "books_off_ns"),
        (swap_shares, "time_slicing used_p99"),
        (pay_by_use_alone, "time_slicing charged_p99, beyond changes"),
        (name_somebody_else, "strangers_s"),
        (name_somebody_else, "exclusive_gpm charged_max, lived through"),
        (name_the_ring, "no_process_source wrongly named"),
        (claim_samples, "no_process_source wrongly named"),
        (call_the_unknown_idle, "mig_ampere_alone wrongly named"),
        (be_blind, "unwatched"),
    ],
)
def test_a_way_to_be_wrong(break_it: Callable[[Slices], None], seen_by: str) -> None:
    slices = [dict(fields) for fields in recording().slices]
    break_it(slices)
    assert seen_by in checked(slices)


def test_nothing_compared_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("SEED", "1")
    monkeypatch.setattr("accuracy.__main__.play", lambda *_: iter(()))
    assert main(tmp_path) == 1
    assert json.loads((tmp_path / "accuracy.json").read_text())["compared"] == 0


def test_broken_agents_that_run(tmp_path: Path) -> None:
    """The same scenario with three agents: as it is, shares swapped, and settled by the read."""
    scenario = tmp_path / "sabotage.yaml"
    scenario.write_text(LIVE)
    whole = Order(scenario, 3, 10, 20, lead_s=8)
    swapped = replace(whole, seed=4, agent_folder=agent_with(tmp_path / "swapped", "usage", SWAPPED))
    by_read = replace(whole, seed=5, agent_folder=agent_with(tmp_path / "read", "stretching", BY_THE_READ))
    found = {}
    for order in (whole, swapped, by_read):
        (tmp_path / str(order.seed)).mkdir()
    for score_ in play([whole, swapped, by_read], 3, tmp_path):
        found[score_.seed] = broken(bars(score_))
    assert found[3] == set()
    assert found[4] >= {"time_slicing used_p99"}
    assert found[5] == {"time_slicing charged_p99, beyond changes"}


def agent_with(folder: Path, module: str, more: str) -> Path:
    """A copy of the agent with *more* at the end of a module of its ledger."""
    shutil.copytree(ROOT / "agent" / "gpucost_agent", folder / "gpucost_agent")
    with (folder / "gpucost_agent" / "ledger" / f"{module}.py").open("a", encoding="utf-8") as file:
        file.write(more)
    return folder


def test_the_scorer_knows_nothing_of_what_it_scores() -> None:
    allowed = set(sys.stdlib_module_names) | {"yaml", "pynvml", "demo", "proofs", "accuracy"}
    for file in (ROOT / "hack" / "accuracy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file
