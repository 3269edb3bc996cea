"""What the demo proved, as a file: figures, and the bars that they hold."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.audit.books import Verdict
from demo.wish import ROOT, Wish

FIRST_REPORT_S = 120
"""On a fresh clone, from the command to the first report."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a run beside its verdict; *trouble* is why it ended before it should."""

    wish: Wish
    clusters: int
    seconds: float
    seconds_to_first_report: float | None
    happened: tuple[str, ...] = ()
    trouble: str = ""


def proof(run: Run, verdict: Verdict | None) -> dict[str, Any]:
    """The proof; without a verdict nothing was compared, and nothing holds."""
    form = "ci" if run.wish.is_ci else "full"
    difference = None if verdict is None else verdict.difference
    breaches = None if verdict is None else len(verdict.findings)
    compared = 0 if verdict is None else verdict.compared
    first = run.seconds_to_first_report
    bars = [
        _bar("difference_nanodollars", "= 0", difference, difference == 0, form),
        _bar("breaches", "= 0", breaches, breaches == 0, form),
        _bar("troubles", "= 0", int(bool(run.trouble)), not run.trouble, form),
        _bar("compared", "> 0", compared, compared > 0, form),
        _bar(
            "seconds_to_first_report",
            f"< {FIRST_REPORT_S}",
            first,
            first is not None and first < FIRST_REPORT_S,
            form,
        ),
    ]
    return {
        "name": "demo",
        "commit": commit(),
        "seed": run.wish.seed,
        "inputs_sha256": inputs_sha256(run.wish),
        "seconds": round(run.seconds, 1),
        "compared": compared,
        "passed": all(bar["holds"] for bar in bars),
        "bars": bars,
        "figures": {
            "expected_nanodollars": None if verdict is None else verdict.expected,
            "reported_nanodollars": None if verdict is None else verdict.reported,
            "difference_nanodollars": difference,
            "clusters": run.clusters,
            "slices": compared,
            "seconds_to_first_report": first,
            "windows": 0 if verdict is None else verdict.windows,
            "breaches": breaches,
            "troubles": int(bool(run.trouble)),
        },
        "scenario": run.wish.scenario.name,
        "price_book": run.wish.price_book.name if run.wish.price_book else None,
        "faults": sorted(run.wish.faults),
        "happened": list(run.happened),
        "trouble": run.trouble,
        "findings": list(verdict.findings[:20]) if verdict else [],
    }


def write(figures: dict[str, Any], file: Path) -> None:
    """As build/proofs/NAME.json."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def inputs_sha256(wish: Wish) -> str:
    """Of scenario and price book."""
    digest = hashlib.sha256()
    for file in (wish.scenario, wish.price_book):
        content = file.read_bytes() if file is not None else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def commit() -> str:
    """What git says; unknown without it."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()


def _bar(figure: str, bound: str, value: float | None, holds: bool, form: str) -> dict[str, Any]:
    return {"figure": figure, "bound": bound, "value": value, "form": form, "holds": holds}
