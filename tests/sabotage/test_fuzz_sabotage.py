"""The proof of the parsers turns red for a bug in the tree, for a planted one that is none, and for nothing tried."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fuzz.__main__ import Plan, main
from fuzz.every_target import TARGETS
from fuzz.planted import FOLDER, copy_of, plant, planted_in
from proofs.proof import CI

CURSOR = next(target for target in TARGETS if target.name == "cursor")
NAMES = next(target for target in TARGETS if target.name == "host_names")
BUG = FOLDER / "host-names-namespace-and-pod.patch"
COMMENT = """A bug that is none.

--- a/agent/gpucost_agent/sources/host/host_files.py
+++ b/agent/gpucost_agent/sources/host/host_files.py
@@ -1,3 +1,4 @@
 \"\"\"The kubelet's folders on the host: names of pods and containers for their ids, without the API server.\"\"\"
+# Changes nothing that anybody could see.

 import os
"""
STALE = COMMENT.replace("without the API server", "as they were long ago")


def proved(folder: Path, plan: Plan) -> tuple[int, Any]:
    code = main(plan, folder / "proofs")
    return code, json.loads((folder / "proofs" / "fuzz.json").read_text("utf-8"))


def plan(*bugs: Path, seconds: float = 1.0) -> Plan:
    return Plan(CI, 7, seconds, targets=[NAMES, CURSOR], planted=planted_in(bugs))


def test_a_bug_that_is_found_is_green(tmp_path: Path) -> None:
    code, found = proved(tmp_path, plan(BUG))
    assert (code, found["passed"]) == (0, True)
    rows = {row["target"]: row for row in found["figures"]["targets"]}
    assert (rows["host_names"]["planted"], rows["host_names"]["found"], rows["cursor"]["planted"]) == (
        1,
        1,
        0,
    )
    assert all(row["executions"] > row["accepted"] > 0 for row in rows.values())
    assert found["compared"] == sum(row["executions"] for row in rows.values())


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (COMMENT, "not found in its time"),
        (STALE, "none does not apply"),
        ("nothing\n", "none does not apply"),
    ],
    ids=["changes nothing", "does not apply", "is no patch"],
)
def test_a_bug_that_is_none_is_red(
    patch: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none.patch"
    file.write_text(patch, "utf-8")
    code, found = proved(tmp_path, replace(plan(file), seconds=0.2))
    assert (code, found["passed"]) == (1, False)
    assert f"planted none: NOT FOUND: {words}" in capsys.readouterr().out


def test_a_bug_in_the_tree_is_an_open_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = copy_of(Path(__file__).resolve().parents[2], tmp_path / "tree")
    plant(*planted_in([BUG]), tree)
    code, found = proved(tmp_path, replace(plan(BUG), root=tree, planted=()))
    assert (code, found["bars"][0]["value"]) == (1, 1)
    assert "FOUND by host_names" in capsys.readouterr().out
    (kept,) = (tmp_path / "fuzz").iterdir()
    assert kept.read_bytes()


def test_a_target_that_can_not_even_begin_is_red(tmp_path: Path) -> None:
    tree = copy_of(Path(__file__).resolve().parents[2], tmp_path / "tree")
    (tree / "hack/fuzz/targets/host_files.py").write_text("raise ValueError('broken')\n", "utf-8")
    code, found = proved(tmp_path, replace(plan(BUG), root=tree))
    assert (code, found["bars"][0]["value"]) == (1, 1)


def test_nothing_tried_is_red(tmp_path: Path) -> None:
    code, found = proved(tmp_path, Plan(CI, 7, 0.2, targets=()))
    assert (code, found["compared"]) == (1, 0)
