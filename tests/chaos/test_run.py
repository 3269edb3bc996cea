"""The proof's short form, and what it writes."""

import json
from dataclasses import replace
from pathlib import Path

from chaos.__main__ import prove
from chaos.plan import IN_CI
from chaos.wish import read


def test_a_minute_of_faults_costs_nothing(tmp_path: Path) -> None:
    assert prove(replace(read({"CI": "1", "SEED": "2"}), proof=tmp_path)) == 0
    proof = json.loads((tmp_path / "chaos.json").read_text())
    figures = proof["figures"]
    assert (figures["lost"], figures["doubled"], figures["unexplained"]) == (0, 0, 0)
    assert figures["expected_nanodollars"] == figures["held_nanodollars"] > 0
    assert proof["compared"] > 100
    assert set(IN_CI) <= set(figures["faults"])
    assert figures["windows"] > 50
    assert figures["holders"] > 10
