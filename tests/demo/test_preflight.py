"""What can not be played is refused before anything is started: one message, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.audit import price_list
from demo.wish import ROOT, SCENARIOS

BOOK = "version: 1\nrules:\n  - name: lab\n    date: 2026-10-01\n    match: {}\n    node_usd_per_hour: 1.5\n"


@pytest.mark.parametrize(
    ("variable", "source", "wrong", "message"),
    [
        (
            "SCENARIO",
            SCENARIOS / "demo.yaml",
            ("window_seconds", "window_secnds"),
            ":3:1: the scenario has no",
        ),
        ("PRICE_BOOK", SCENARIOS / "demo-prices.yaml", ("rules:", "rules: ["), ": this is not YAML"),
        ("PRICE_BOOK", SCENARIOS / "demo-prices.yaml", ("usd_per_hour", "usd_per_huor"), "did you mean"),
    ],
)
def test_a_broken_file_is_one_message(
    tmp_path: Path, variable: str, source: Path, wrong: tuple[str, str], message: str
) -> None:
    file = tmp_path / "asked.yaml"
    file.write_text(source.read_text().replace(*wrong))
    (tmp_path / "libnvidia-ml.so.1").touch()
    (tmp_path / "temporary").mkdir()
    asked = {
        "NVML_LIBRARY_DIR": str(tmp_path),
        "PROOF": str(tmp_path / "proof.json"),
        "PYTHONPATH": str(ROOT / "hack"),
        "TMPDIR": str(tmp_path / "temporary"),
        variable: str(file),
    }
    done = subprocess.run(
        [sys.executable, "-m", "demo"], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{file}:")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "proof.json").exists()


@pytest.mark.parametrize(
    ("book", "refusal"),
    [
        (BOOK, None),
        ("rules: [", "1:9: not YAML: expected the node content, but found '<stream end>'"),
        ("[]", "1:1: a price book is a mapping with `rules`"),
        ("version: 1", "1:1: a price book has a list of `rules`"),
        (BOOK.replace("    date: 2026-10-01\n", ""), "3:5: a rule needs `date`"),
        (BOOK.replace("1.5", "cheap"), "3:5: a rule needs one amount"),
        (BOOK + "    gpu_usd_per_hour: 1\n", "3:5: a rule needs one amount"),
    ],
)
def test_the_audits_own_reader_names_the_place(book: str, refusal: str | None) -> None:
    words = price_list.refusal(book)
    assert words == refusal if refusal is None else str(words).startswith(refusal)
