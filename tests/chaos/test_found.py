"""Seeds that failed once."""

import json
from dataclasses import replace
from pathlib import Path

from chaos.__main__ import prove
from chaos.wish import read


def test_a_cloned_spool_counts_no_time_twice(tmp_path: Path) -> None:
    """The clone's agent closes time as a gap whose true slices the aggregator has: other keys, the same time."""
    wish = read({"CI": "1", "SEED": "7", "SECONDS": "80", "FAULTS": "spool_cloned"})
    status = prove(replace(wish, proof=tmp_path))
    figures = json.loads((tmp_path / "chaos.json").read_text())["figures"]
    assert figures["faults"]["spool_cloned"] == 1
    assert (figures["lost"], figures["doubled"], figures["unexplained"]) == (0, 0, 0)
    assert status == 0
