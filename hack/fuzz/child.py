"""One target in a process of its own: a parser that hangs or eats the memory ends nothing but this."""

import argparse
import base64
import json
import os
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from fuzz.campaign import Finding, Outcome, search
from fuzz.target import Target

MOST_MEMORY_BYTES = 6 << 30
_PATIENCE_S = 120.0
"""How long past its time box a target may take, to begin and to make a finding smaller, before it hangs."""


def run(target: Target, root: Path, seed: int, seconds: float, corpus: Path) -> Outcome:
    """*target* on the tree at *root* for *seconds*; known inputs are those in *corpus*."""
    path = os.pathsep.join(str(root / part) for part in ("proto", "agent", "aggregator", "hack"))
    command = [
        sys.executable,
        "-m",
        "fuzz.child",
        _home(target),
        target.name,
        str(seed),
        str(seconds),
        str(corpus),
    ]
    environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    outcome = Outcome(target.name)
    try:
        ended = subprocess.run(
            command,
            cwd=root,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + _PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        outcome.seconds = seconds + _PATIENCE_S
        outcome.finding = Finding(target.name, b"", f"it hangs; again with SEED={seed} TARGETS={target.name}")
        return outcome
    try:
        said = json.loads(ended.stdout.strip().rpartition("\n")[2])
    except ValueError:
        words = f"it ended with {ended.returncode}: {ended.stderr.strip()[-500:]}"
        outcome.finding = Finding(target.name, b"", words)
        return outcome
    outcome.executions, outcome.accepted = said["executions"], said["accepted"]
    outcome.seconds = said["seconds"]
    outcome.inputs.update(said["inputs"].encode())
    if said["finding"] is not None:
        data, words = said["finding"]
        outcome.finding = Finding(target.name, base64.b64decode(data), words)
    return outcome


def main() -> int:
    """Run what the command line says; the outcome as one line of JSON."""
    parser = argparse.ArgumentParser(prog="fuzz.child", description=__doc__)
    for name in ("module", "target", "seed", "seconds", "corpus"):
        parser.add_argument(name)
    said = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    (target,) = (each for each in import_module(said.module).TARGETS if each.name == said.target)
    folder = Path(said.corpus) / target.name
    known = [file.read_bytes() for file in sorted(folder.glob("*")) if file.is_file()]
    outcome = search(target, int(said.seed), float(said.seconds), known)
    found = outcome.finding
    print(
        json.dumps(
            {
                "executions": outcome.executions,
                "accepted": outcome.accepted,
                "seconds": outcome.seconds,
                "inputs": outcome.inputs.hexdigest(),
                "finding": found and [base64.b64encode(found.data).decode(), found.error],
            }
        )
    )
    return 0


def _home(target: Target) -> str:
    return target.check.__module__


if __name__ == "__main__":
    sys.exit(main())
