"""The demo end to end, as `make demo` runs it: every program a process, and the check of every slice."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_demo(folder: Path, **asked: str) -> dict[str, Any]:
    """The proof of a run that passed."""
    proof = folder / "proof.json"
    environ = os.environ | {
        "PYTHONPATH": ":".join(str(ROOT / part) for part in ("proto", "agent", "aggregator", "hack")),
        "CI": "1",
        "PROOF": str(proof),
        **asked,
    }
    environ.pop("DEMO_BEGAN", None)
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    figures: dict[str, Any] = json.loads(proof.read_text())
    return figures


KEPT_IN_GOLDEN = (
    *("cluster", "node", "gpu_uuid", "holder_kind", "reason", "namespace", "pod", "pod_uid", "container"),
    *("resource", "weight_numerator", "weight_denominator", "policy_version"),
    *("price_nanodollars_per_hour", "price_source", "price_date"),
)
"""What does not depend on the moment a run began; the rest is checked against theory, to the unit, by the demo."""


def facts(answers: dict[str, Any]) -> str:
    """The answers of a run as sentences, one fact a line."""
    lines = {
        "slice  " + " ".join(f"{name}={row[name]}" for name in KEPT_IN_GOLDEN if row[name] is not None)
        for row in answers["slices"]
        if row["holder_kind"] != "unattributed"  # is there or not, as the driver's samples fall
    }
    reports = answers["answers"]["reports"]
    for row in reports["models"]["rows"]:
        lines.add(f"model  {row['model']} by {row['model_source']}, {row['namespaces']} of {row['clusters']}")
    for row in reports["idle"]["rows"]:
        if row["never_used"] and row["pod"]:
            held = f"{row['namespace']}/{row['pod']}"
            lines.add(f"idle   {row['gpu_model']} {row['gpu_uuid']} of {row['node']} never used by {held}")
    return "".join(f"{line}\n" for line in sorted(lines))


def test_the_demo_golden(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    recording = tmp_path / "answers.json"
    proof = run_demo(tmp_path, SECONDS="45", SEED="1", KEEP_ANSWERS=str(recording))
    golden("demo.txt", facts(json.loads(recording.read_text())))
    assert proof["name"] == "demo"
    assert proof["passed"]
    assert all(bar["holds"] and bar["form"] == "ci" for bar in proof["bars"])
    figures = proof["figures"]
    assert figures["difference_nanodollars"] == 0
    assert figures["expected_nanodollars"] == figures["reported_nanodollars"] > 0
    assert figures["clusters"] == 2
    assert figures["slices"] == proof["compared"] > 30
    assert figures["seconds_to_first_report"] < 120
    assert len(proof["inputs_sha256"]) == 64


def test_other_names_counts_and_prices_with_everything_that_goes_wrong(tmp_path: Path) -> None:
    """
    A kubelet stops, an agent and then the aggregator are killed, and there is no price book.

    The scenario has other clusters, GPUs and container runtimes than the demo's; one node is priced by its
    annotation, one by the catalogue, one not at all.
    """
    recording = tmp_path / "answers.json"
    proof = run_demo(
        tmp_path,
        SECONDS="35",
        SCENARIO=str(ROOT / "hack" / "scenarios" / "other.yaml"),
        FAULTS="kill-agent,kill-aggregator,kubelet-stop,no-price-book",
        KEEP_ANSWERS=str(recording),
    )
    assert proof["passed"]
    assert proof["price_book"] is None
    happened = " ".join(proof["happened"])
    for words in ("agent/north/n1 was killed", "aggregator was started again", "kubelet stopped"):
        assert words in happened
    slices = json.loads(recording.read_text())["slices"]
    assert {row["price_source"] for row in slices} == {"override", "catalogue_other_region", "unknown"}
    reasons = {row["reason"] for row in slices if row["holder_kind"] == "unobserved"}
    assert reasons == {"node_starting", "agent_gap", "kubelet_away"}
    # Where nobody could say who holds a GPU, nobody is called idle on it.
    away = {
        (row["gpu_uuid"], row["window_start_ns"])
        for row in slices
        if row["reason"] == "kubelet_away" and row["reserved_ns"] == row["length_ns"]
    }
    assert away
    others = [
        row
        for row in slices
        if (row["gpu_uuid"], row["window_start_ns"]) in away and row["holder_kind"] != "unobserved"
    ]
    assert all(int(row["idle_ns"] or 0) == 0 and row["holder_kind"] != "unallocated" for row in others)
