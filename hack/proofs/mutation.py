"""
Proof `mutation`: the ledger's tests notice when the ledger is changed.

Every function of the agent's ledger is changed in every way that mutmut knows, one change at a time, and the ledger's
tests are run against each. Random tests are left out: what one of them notices by luck, the next run may miss.
mutmut leaves out decorated functions, so properties are not changed; nothing else is left out.

SEED draws the mutants of the short form, which CI=1 takes; JOBS is how many run at a time.
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

HACK = Path(__file__).resolve().parents[1]
if str(HACK) not in sys.path:  # run as a file
    sys.path.insert(0, str(HACK))

from proofs.proof import CI, FULL, ROOT, Bar, Proof, table  # noqa: E402

LEAST = 0.85
SHORT_FORM = 300
"""So many mutants of all are tried in the short form."""

_SETTINGS = """\
[tool.pytest.ini_options]
addopts = ["--strict-markers", "--strict-config", "--import-mode=importlib", "-p", "no:cacheprovider"]
pythonpath = ["src", "proto", "hack", "tests"]
filterwarnings = ["error"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = {only}
also_copy = ["proto", "hack", "tests"]
pytest_add_cli_args = ["-m", "not hypothesis"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""
# A package is named as it is imported where it lies in src/, so what is mutated is put there.
_COPIED = {
    "agent/gpucost_agent": "src/gpucost_agent",
    "proto": "proto",
    "hack/proofs": "hack/proofs",
    "tests/contracts": "tests/contracts",
}
_KILLED, _SURVIVED, _TIMED_OUT = "killed", "survived", "timed out"
_BY_EXIT_CODE = {0: _SURVIVED, 5: _SURVIVED, 33: _SURVIVED, 1: _KILLED, 3: _KILLED, 36: _TIMED_OUT}
"""As pytest ends, and as mutmut ends for it: 5 and 33 are no test that would notice."""
_SIGNALS = {-24: _TIMED_OUT, 24: _TIMED_OUT, 152: _TIMED_OUT, 255: _TIMED_OUT}


@dataclass(frozen=True)
class Target:
    """What is changed, as a pattern of files in the agent's package, and the tests that should notice."""

    files: str = "ledger/*"
    tests: str = "tests/agent/ledger"
    short_form: int = SHORT_FORM


@dataclass(frozen=True)
class Outcome:
    """One mutant: where it is, what mutmut calls it, and what became of it."""

    file: str
    mutant: str
    end: str


def stage(target: Target, folder: Path) -> str:
    """A copy of what is needed, laid out as mutmut wants it; the hash of what is changed and of its tests."""
    shutil.rmtree(folder, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__")
    tests = "tests/agent/ledger"
    for source, place in (_COPIED | {target.tests: tests}).items():
        shutil.copytree(ROOT / source, folder / place, ignore=leave)
    only = json.dumps([f"src/gpucost_agent/{target.files}"])
    (folder / "pyproject.toml").write_text(_SETTINGS.format(only=only, tests=json.dumps([tests])), "utf-8")
    inputs = hashlib.sha256()
    for part in ("src/gpucost_agent", tests, "tests/contracts"):
        for file in sorted((folder / part).rglob("*.py")):
            inputs.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return inputs.hexdigest()


def mutate(folder: Path, jobs: int, mutants: Iterable[str] = ()) -> None:
    """Try *mutants*, or all."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PYTHONHASHSEED"] = "0"
    mutmut = Path(sys.executable).with_name("mutmut")
    command = ["nice", "-n", "19", str(mutmut), "run", "--max-children", str(jobs), *mutants]
    with (folder / "mutmut.log").open("a", encoding="utf-8") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every mutant that there is; its end is empty where it was not tried."""
    for file in sorted((folder / "mutants").rglob("*.py.meta")):
        ends = json.loads(file.read_text("utf-8"))["exit_code_by_key"]
        name = str(file.relative_to(folder / "mutants" / "src" / "gpucost_agent")).removesuffix(".meta")
        for mutant, code in sorted(ends.items()):
            # Whatever else ends a test run (a crash, say) was noticed too.
            end = "" if code is None else (_BY_EXIT_CODE | _SIGNALS).get(code, _KILLED)
            yield Outcome(name, mutant, end)


def tried(target: Target, folder: Path, form: str, seed: int, jobs: int) -> list[Outcome]:
    """What became of all mutants, or of those that are drawn for the short form."""
    if form == FULL:
        mutate(folder, jobs)
        return list(outcomes(folder))
    # A name that no mutant has makes them all, and tries none.
    mutate(folder, jobs, ["none"])
    names = [outcome.mutant for outcome in outcomes(folder)]
    drawn = set(Random(seed).sample(names, min(len(names), target.short_form)))
    if drawn:
        mutate(folder, jobs, sorted(drawn))
    return [outcome for outcome in outcomes(folder) if outcome.mutant in drawn]


def main(target: Target | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    target, results = target or Target(), folder or ROOT / "build" / "proofs"
    form = CI if os.environ.get("CI") == "1" else FULL
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**32))
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    workplace, began = results.parent / "mutation", time.monotonic()
    inputs = stage(target, workplace)
    found = tried(target, workplace, form, seed, jobs)
    survivors = [outcome for outcome in found if outcome.end not in (_KILLED, _TIMED_OUT)]
    files = sorted({outcome.file for outcome in found})
    rows = [_row(file, [outcome for outcome in found if outcome.file == file]) for file in files]
    rows.append(_row("all", found))
    killed, share = rows[-1][2], rows[-1][-1]
    print(table(("file", "mutants", _KILLED, _TIMED_OUT, "survivors", "killed / mutants"), rows))
    results.mkdir(parents=True, exist_ok=True)
    listed = "".join(f"{outcome.file}: {outcome.mutant}\n" for outcome in survivors)
    (results / "mutation-survivors.txt").write_text(listed, "utf-8")
    return Proof(
        name="mutation",
        seed=seed,
        inputs_sha256=inputs,
        seconds=time.monotonic() - began,
        compared=len(found),
        bars=(
            Bar("killed / mutants", f">= {LEAST}", share, form, share is not None and share >= LEAST),
            Bar("tried", "all", sum(bool(each.end) for each in found), form, all(each.end for each in found)),
        ),
        figures={
            "mutants": len(found),
            "killed": killed,
            "timed_out": rows[-1][3],
            "survivors": len(survivors),
            "files": [
                dict(zip(("file", "mutants", "killed", "timed_out"), row, strict=False)) for row in rows
            ],
        },
    ).publish(results)


def _row(name: str, found: list[Outcome]) -> tuple[str, int, int, int, int, float | None]:
    killed, timed_out = (sum(each.end == end for each in found) for end in (_KILLED, _TIMED_OUT))
    share = round(killed / len(found), 4) if found else None
    return name, len(found), killed, timed_out, len(found) - killed - timed_out, share


if __name__ == "__main__":
    sys.exit(main())
