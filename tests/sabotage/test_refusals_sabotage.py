"""The proof of the refusals turns red for an aggregator that works or keeps something for each of them, or lets in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.child import programs_environ
from proofs import refusals
from proofs.proof import CI, FULL, Proof
from proofs.refusals import KINDS, MOST_GROWN_BYTES, Found, bars

AT_EACH_REFUSAL = """
import sys

if "run" in sys.argv:
    from gpucost_aggregator.access import refusal

    kept, begin = [], refusal.Refused.__init__

    def made(self, *told):
        begin(self, *told)
        {then}

    refusal.Refused.__init__ = made
"""
THEN = {
    "nothing_cpu_ms": "sum(range(500_000))",
    "grown_bytes": "kept.append(b'x' * (1 << 20))",
}
GOOD = Found(dict.fromkeys(KINDS, 0.5), refused=6, grown_bytes=1)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CI": "1", "SEED": "7", "CALLS": "20"}.items():
        monkeypatch.setenv(name, value)


def proved(folder: Path, code: str) -> tuple[int, Any]:
    """The proof of an aggregator in which *code* runs first."""
    (folder / "sitecustomize.py").write_text(code)
    environ = programs_environ()
    code = refusals.main(environ | {"PYTHONPATH": f"{folder}:{environ['PYTHONPATH']}"}, folder)
    return code, json.loads((folder / "refusals.json").read_text())


@pytest.mark.parametrize("figure", THEN)
def test_an_aggregator_that_pays_for_each_refusal_is_seen(tmp_path: Path, figure: str) -> None:
    code, found = proved(tmp_path, AT_EACH_REFUSAL.format(then=THEN[figure]))
    assert code == 1
    assert figure in [bar["figure"] for bar in found["bars"] if not bar["holds"]]
    assert found["compared"] == 20 * len(KINDS)


def test_as_it_is_every_caller_comes_to_its_end(tmp_path: Path) -> None:
    _, found = proved(tmp_path, "")
    assert (found["compared"], found["figures"]["ended_otherwise"]) == (20 * len(KINDS), 0)
    assert [bar["figure"] for bar in found["bars"] if bar["value"] is None] == []


@pytest.mark.parametrize(
    "worse",
    [
        replace(GOOD, cpu_ms=GOOD.cpu_ms | {"reader_nothing": 1.0}),
        replace(GOOD, cpu_ms={name: 0.5 for name in KINDS if name != "wrong_token"}),
        replace(GOOD, grown_bytes=MOST_GROWN_BYTES),
        replace(GOOD, otherwise=1),
    ],
    ids=["dear", "not measured", "kept", "let in"],
)
def test_a_figure_that_misses_its_bar_is_red(worse: Found) -> None:
    assert all(bar.holds for bar in bars(GOOD, FULL))
    assert not all(bar.holds for bar in bars(worse, FULL))


def test_a_proof_that_compared_nothing_is_red() -> None:
    assert not Proof("refusals", 1, "", 1.0, 0, bars(GOOD, CI), {}).passed
