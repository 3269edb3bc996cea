"""The proof of the laws turns red when the ledger is broken on purpose, and when it compared nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from gpucost.apportion import apportion
from gpucost.cost_slice import CostSlice, Price

from gpucost_agent.ledger import closing, layout, settle
from gpucost_agent.ledger.closing import GpuWindow, close
from proofs import laws, proof
from proofs.under_test import Ledger


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("SEED", "7")
    monkeypatch.delenv("SECONDS", raising=False)
    monkeypatch.setitem(laws.EXAMPLES, proof.CI, 60)


def floors(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Loses what is left over."""
    whole = sum(weights)
    return [int(total * Fraction(weight) / whole) if whole else 0 for weight in weights]


def backwards(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Gives what is left over to the wrong one."""
    return apportion(total, weights[::-1])[::-1]


def by_use_alone(stretch: settle.Stretch) -> tuple[settle.Share, ...]:
    """Bills the whole stretch by use, as other tools do."""
    shares = settle.settle(stretch)
    used = sum(share.used_ns for share in shares)
    if not used:
        return shares
    parts = apportion(stretch.length_ns, [share.used_ns for share in shares])
    return tuple(
        replace(share, idle_ns=part - share.used_ns, unmeasured_ns=0)
        for share, part in zip(shares, parts, strict=True)
    )


def twice(window: GpuWindow, price: Price) -> tuple[CostSlice, ...]:
    rows = close(window, price)
    return (*rows, rows[0])


def penny_off(window: GpuWindow, price: Price) -> tuple[CostSlice, ...]:
    first, *rest = close(window, price)
    cost = replace(first.cost, idle_nanodollars=first.cost.idle_nanodollars + 1)
    return (replace(first, cost=cost), *rest)


def one_holder_less(window: GpuWindow, price: Price) -> tuple[CostSlice, ...]:
    return close(window, price)[:-1]


@pytest.mark.parametrize(
    "broken",
    [
        Ledger(close=twice),
        Ledger(close=penny_off),
        Ledger(close=one_holder_less),
        Ledger(settle=by_use_alone),
    ],
    ids=["a slice stands twice", "a nano-dollar too much", "a holder is forgotten", "billed by use alone"],
)
def test_a_broken_ledger_is_seen(broken: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert laws.main(broken, tmp_path) == 1
    assert written(tmp_path)["figures"]["breaches"] > 0
    assert "MISSED" in capsys.readouterr().out


@pytest.mark.parametrize("divide", [floors, backwards])
def test_a_broken_apportionment_is_seen(
    divide: Callable[[int, Sequence[int | Fraction]], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (closing, layout, settle):
        monkeypatch.setattr(module, "apportion", divide)
    assert laws.main(Ledger(), tmp_path) == 1


def test_settled_as_it_is_the_proof_is_green(tmp_path: Path) -> None:
    assert laws.main(Ledger(), tmp_path) == 0
    found = written(tmp_path)
    assert found["passed"] is True
    assert found["figures"]["breaches"] == 0
    assert found["seed"] == 7
    assert len(found["inputs_sha256"]) == 64


def test_a_proof_that_compared_nothing_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(laws.EXAMPLES, proof.CI, 0)
    assert laws.main(Ledger(), tmp_path) == 1
    assert written(tmp_path)["compared"] == 0


def written(folder: Path) -> Any:
    return json.loads((folder / "laws.json").read_text(encoding="utf-8"))
