"""
Proof `fuzz`: nothing that others send makes a parser raise what it does not promise, say what it was not told, or grow.

SEED and SECONDS (of each target) set seed and length; CI=1 takes the short form, which plants a few of the bugs only.
TARGETS=a,b takes some of the targets, PLANTED=path[:path] plants further bugs: patches, or folders of them. JOBS is
how many processes run at a time.
"""

import hashlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz import child
from fuzz.campaign import Finding, Outcome
from fuzz.every_target import TARGETS
from fuzz.planted import FOLDER, Planted, Useless, copy_of, plant, planted_in
from fuzz.target import Target
from proofs.proof import CI, FULL, ROOT, Bar, Proof, table

SECONDS = {CI: 0.7, FULL: 60.0}
"""The time box of a target; a planted bug has as long, and in the short form ten times as long."""
PLANTED_IN_CI = 4
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


@dataclass(frozen=True)
class Plan:
    """What a run does: the tree at *root* is fuzzed, and copies of it with a planted bug each."""

    form: str
    seed: int
    seconds: float
    jobs: int = 1
    targets: Sequence[Target] = TARGETS
    planted: Sequence[Planted] = ()
    root: Path = ROOT
    corpus: Path = CORPUS

    @property
    def planted_seconds(self) -> float:
        """The time box of a planted bug."""
        return self.seconds * 10 if self.form == CI else self.seconds


@dataclass
class Results:
    """What the targets found in the tree, and by the name of each planted bug what found it, or why nothing did."""

    outcomes: list[Outcome] = field(default_factory=list)
    hunts: list["Hunt"] = field(default_factory=list)


@dataclass(frozen=True)
class Hunt:
    """How a planted bug did: the target that it was counted for, what was found, or why it was not."""

    bug: Planted
    target: str
    finding: Finding | None
    words: str


def plan_from_environment() -> Plan:
    """As the variables say."""
    form = CI if os.environ.get("CI") == "1" else FULL
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**32))
    wanted = [name for name in os.environ.get("TARGETS", "").split(",") if name]
    if unknown := set(wanted) - {target.name for target in TARGETS}:
        sys.exit(f"no target {min(unknown)}: there are {', '.join(target.name for target in TARGETS)}")
    targets = [target for target in TARGETS if not wanted or target.name in wanted]
    own = [bug for bug in planted_in([FOLDER]) if not wanted or set(bug.targets(TARGETS)) & set(targets)]
    if form == CI:
        own = Random(seed).sample(own, min(len(own), PLANTED_IN_CI))
    more = planted_in(Path(path) for path in os.environ.get("PLANTED", "").split(":") if path)
    seconds = float(os.environ.get("SECONDS") or SECONDS[form])
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    return Plan(form, seed, seconds, jobs, targets, [*own, *more])


def carry_out(plan: Plan) -> Results:
    """Fuzz the tree, then plant the bugs one by one."""
    results = Results()
    with ThreadPoolExecutor(plan.jobs) as pool:
        results.outcomes += pool.map(
            lambda target: child.run(target, plan.root, plan.seed, plan.seconds, plan.corpus), plan.targets
        )
        results.hunts += pool.map(lambda bug: hunt(bug, plan), plan.planted)
    return results


def hunt(bug: Planted, plan: Plan) -> Hunt:
    """Plant *bug* in a copy of the tree and look whether one of its targets finds it."""
    targets = bug.targets(plan.targets)
    words = "not found in its time"
    with tempfile.TemporaryDirectory(prefix="gpucost-fuzz-") as folder:
        copy = copy_of(plan.root, Path(folder))
        try:
            plant(bug, copy)
        except Useless as trouble:
            return Hunt(bug, targets[0].name, None, str(trouble))
        for target in targets:
            outcome = child.run(target, copy, plan.seed, plan.planted_seconds, plan.corpus)
            found = outcome.finding
            if found is not None and outcome.executions:
                return Hunt(bug, target.name, found, found.error)
            if found is not None:
                # Not one input was tried: a tree that can not even be imported shows nothing of the target.
                words = found.error
    return Hunt(bug, targets[0].name, None, words)


def main(plan: Plan | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    plan = plan or plan_from_environment()
    results_in = folder or ROOT / "build" / "proofs"
    began = time.monotonic()
    print(f"fuzz: seed {plan.seed}, {plan.seconds:g} s for each of {len(plan.targets)} targets")
    results = carry_out(plan)
    _show_findings(plan, results, results_in.parent / "fuzz")
    rows = [_row(outcome, results.hunts) for outcome in results.outcomes]
    print(
        table(
            ("target", "executions", "accepted", "seconds", "planted", "found"),
            (row.values() for row in rows),
        )
    )
    open_findings = sum(outcome.finding is not None for outcome in results.outcomes)
    found = sum(hunt.finding is not None for hunt in results.hunts)
    vain = sum(not outcome.accepted for outcome in results.outcomes)
    executions = sum(outcome.executions for outcome in results.outcomes)
    return Proof(
        name="fuzz",
        seed=plan.seed,
        inputs_sha256=_inputs(plan, results.outcomes),
        seconds=time.monotonic() - began,
        compared=executions,
        bars=(
            Bar("open findings", "= 0", open_findings, plan.form, not open_findings),
            Bar(
                "planted bugs found",
                f"= {len(results.hunts)}",
                found,
                plan.form,
                0 < found == len(results.hunts),
            ),
            Bar("targets that accepted nothing", "= 0", vain, plan.form, not vain),
        ),
        figures={"targets": rows, "executions": executions},
    ).publish(results_in)


def _row(outcome: Outcome, hunts: Sequence[Hunt]) -> dict[str, object]:
    own = [hunt for hunt in hunts if hunt.target == outcome.target]
    return {
        "target": outcome.target,
        "executions": outcome.executions,
        "accepted": outcome.accepted,
        "seconds": round(outcome.seconds, 1),
        "planted": len(own),
        "found": sum(hunt.finding is not None for hunt in own),
    }


def _show_findings(plan: Plan, results: Results, folder: Path) -> None:
    """Each finding with its input, which is kept in *folder*; each planted bug with what became of it."""
    for found in (outcome.finding for outcome in results.outcomes):
        if found is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / found.name).write_bytes(found.data)
        print(f"\n  FOUND by {found.target} (seed {plan.seed}): {found.error}")
        print(f"    input: {found.data[:300]!r}{' ...' if len(found.data) > 300 else ''}")
        print(
            f"    it is in {folder / found.name}; once mended, keep it in tests/fuzz/corpus/{found.target}/"
        )
    for hunt in results.hunts:
        end = f"found by {hunt.target}" if hunt.finding else "NOT FOUND"
        print(f"  planted {hunt.bug.name}: {end}: {hunt.words.splitlines()[0][:150] if hunt.words else ''}")


def _inputs(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    inputs = hashlib.sha256()
    for outcome in outcomes:
        inputs.update(f"{outcome.target} {outcome.inputs.hexdigest()}\n".encode())
    for bug in plan.planted:
        inputs.update(bug.file.read_bytes())
    return inputs.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
