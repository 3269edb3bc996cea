"""The proof that tests notice turns red for tests that check nothing, and when nothing was changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from proofs import mutation

CHECKS = """
from gpucost.window import Interval

from gpucost_agent.ledger.pricing import hour_offsets

HOUR = 3_600 * 10**9


def test_offsets() -> None:
    assert hour_offsets(Interval(HOUR + 5, HOUR + 9), 4) == (5, 9)
    assert hour_offsets(Interval(HOUR + 5, HOUR + 9), 3) == (0, 3)
"""
LOOKS_AWAY = CHECKS.replace("assert ", "")
SLEEPS = "def test_nothing() -> None: ..."
PRICING, NOTHING = "ledger/pricing.py", "ledger/no_such_file.py"


@pytest.fixture(autouse=True)
def _one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "7")
    monkeypatch.setenv("JOBS", "1")
    monkeypatch.delenv("CI", raising=False)


def proved(folder: Path, tests: str, files: str = PRICING, short_form: int = 3) -> tuple[int, Any]:
    """The exit code, and what was written."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_pricing.py").write_text(tests, "utf-8")
    results = folder / "proofs"
    code = mutation.main(mutation.Target(files, str(folder / "tests"), short_form), results)
    return code, json.loads((results / "mutation.json").read_text("utf-8"))


def test_tests_that_check_are_green(tmp_path: Path) -> None:
    code, found = proved(tmp_path, CHECKS)
    assert (code, found["passed"]) == (0, True)
    assert found["figures"]["killed"] == found["figures"]["mutants"] == found["compared"] >= 5
    assert len(found["inputs_sha256"]) == 64


@pytest.mark.parametrize("tests", [LOOKS_AWAY, SLEEPS], ids=["looks away", "sleeps"])
def test_tests_that_check_nothing_are_red(tests: str, tmp_path: Path) -> None:
    code, found = proved(tmp_path, tests)
    assert (code, found["passed"]) == (1, False)
    assert found["figures"]["survivors"] > 0
    listed = (tmp_path / "proofs" / "mutation-survivors.txt").read_text("utf-8").splitlines()
    assert len(listed) == found["figures"]["survivors"]


def test_the_short_form_tries_as_many_as_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    code, found = proved(tmp_path, CHECKS)
    assert (code, found["compared"], found["bars"][0]["form"]) == (0, 3, "ci")


def test_nothing_changed_is_red(tmp_path: Path) -> None:
    code, found = proved(tmp_path, CHECKS, NOTHING)
    assert (code, found["compared"], found["figures"]["mutants"]) == (1, 0, 0)
