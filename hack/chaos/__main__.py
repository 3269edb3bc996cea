"""
Proof `chaos`: whatever happens to the programs, every nano-dollar of the ledger is where the truth says.

SEED, SECONDS and CI=1 as for all proofs; SCENARIO is a file to be run instead of the one that is drawn; FAULTS names
the kinds that may happen.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import yaml

from chaos.plan import KINDS, Planned, draw, kinds_of
from chaos.run import NS, Outcome, Run
from chaos.scenario_draw import Scene, given
from chaos.scenario_draw import draw as draw_scene
from chaos.wish import WINDOW_S, Wish, here
from demo.child import Trouble
from demo.wish import ROOT, WrongWish
from proofs.proof import FULL, Bar, Proof, table

SHIMS = ("clockshim", "diskshim")


def scene_of(wish: Wish) -> Scene:
    """What runs: the scenario that was given, or one of the seed."""
    if wish.scenario is not None:
        return given(wish.scenario.read_text(encoding="utf-8"), wish.seed)
    return draw_scene(wish.seed, wish.length_s)


def plan_of(wish: Wish, scene: Scene) -> list[Planned]:
    """What happens. Raises WrongWish."""
    places = [
        number
        for number, text in enumerate(scene.clusters.values())
        for _ in yaml.safe_load(text)["clusters"][0]["nodes"]
    ]
    return draw(wish, len(places), places)


def inputs_sha256(scene: Scene, planned: Sequence[Planned]) -> str:
    """Of everything that was drawn."""
    digest = hashlib.sha256()
    for text in (*scene.clusters.values(), scene.prices, *map(repr, planned)):
        digest.update(text.encode())
    return digest.hexdigest()


def bars(wish: Wish, outcome: Outcome) -> tuple[Bar, ...]:
    """What has to hold; in the full form a driver that was to fail has to be looked at meanwhile."""
    verdict, fired, missed = outcome.verdict, outcome.book.fired, outcome.book.missed
    drivers = [kind for kind in missed if kind.startswith("driver_") and wish.form == FULL]
    missing = [kind for kind in (*kinds_of(wish), *drivers) if not fired[kind]]
    return (
        Bar("lost", "= 0", verdict.lost, wish.form, verdict.lost == 0),
        Bar("doubled", "= 0", verdict.doubled, wish.form, verdict.doubled == 0),
        Bar("unexplained", "= 0", verdict.unexplained, wish.form, verdict.unexplained == 0),
        Bar(
            "unwatched beyond downtime and a window a fault",
            "= 0 ns",
            verdict.excess_ns,
            wish.form,
            verdict.excess_ns == 0,
        ),
        Bar("kinds of faults that did not fire", "= 0", len(missing), wish.form, not missing),
        Bar(
            "programs that ended by themselves",
            "= 0",
            len(outcome.book.ends),
            wish.form,
            not outcome.book.ends,
        ),
    )


def figures(wish: Wish, outcome: Outcome) -> dict[str, object]:
    """What the proof says."""
    verdict, book = outcome.verdict, outcome.book
    return {
        "expected_nanodollars": verdict.expected,
        "held_nanodollars": verdict.held,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "unexplained": verdict.unexplained,
        "faults": dict(sorted(book.fired.items())),
        "faults_that_missed": dict(sorted(book.missed.items())),
        "unwatched_ns": verdict.unwatched_ns,
        "unwatched_ns_by_reason": dict(sorted(verdict.by_reason.items())),
        "downtime_ns": verdict.downtime_ns,
        "windows": verdict.windows,
        "holders": len(verdict.holders),
        "window_seconds": WINDOW_S,
        "kinds_left_out": sorted(set(KINDS) - set(kinds_of(wish))),
        "ended_by_themselves": book.ends,
        "findings": verdict.findings,
    }


def picture(outcome: Outcome) -> str:
    """The figures as a table for people."""
    verdict, book = outcome.verdict, outcome.book
    rows: list[tuple[object, ...]] = [
        ("expected", f"{verdict.expected} nano-dollars"),
        ("held", f"{verdict.held} nano-dollars"),
        *((word, getattr(verdict, word)) for word in ("lost", "doubled", "unexplained")),
        ("not watched", f"{verdict.unwatched_ns / NS:.3f} GPU-seconds"),
        *((f"  {why}", f"{ns / NS:.3f}") for why, ns in sorted(verdict.by_reason.items())),
        ("downtime by the log", f"{verdict.downtime_ns / NS:.3f} GPU-seconds"),
        ("windows, holders", f"{verdict.windows}, {len(verdict.holders)}"),
        *((f"fault {kind}", count) for kind, count in sorted(book.fired.items())),
    ]
    return table(("figure", "value"), rows)


def prove(wish: Wish) -> int:
    """Run the proof; its exit code."""
    began = time.monotonic()
    scene = scene_of(wish)
    planned = plan_of(wish, scene)
    sha = inputs_sha256(scene, planned)
    print(f"seed {wish.seed}, inputs {sha[:16]}: {wish.length_s} s, {len(planned)} faults", flush=True)
    if left_out := sorted(set(KINDS) - set(kinds_of(wish))):
        print(f"not in this form: {', '.join(left_out)}", flush=True)
    for shim in SHIMS:
        subprocess.run(["make", "-s", "-C", str(ROOT / "hack" / shim)], check=True)
    run = Run(wish, scene, planned)
    outcome: Outcome | None = None
    try:
        outcome = run.play()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
    if outcome is not None:
        print(picture(outcome))
        for words in (*outcome.verdict.findings, *outcome.book.ends):
            print(f"  {words}")
    proof = Proof(
        name="chaos",
        seed=wish.seed,
        inputs_sha256=sha,
        seconds=time.monotonic() - began,
        compared=0 if outcome is None else outcome.verdict.compared,
        bars=() if outcome is None else bars(wish, outcome),
        figures={} if outcome is None else figures(wish, outcome),
    )
    status = proof.publish(wish.proof)
    if status:
        print(f"SEED={wish.seed} makes it again; logs are in {run.stage.folder}", file=sys.stderr)
    else:
        run.clean()
    return status


def main() -> int:
    """The exit status."""
    try:
        return prove(here())
    except WrongWish as trouble:
        print(trouble, file=sys.stderr)
        return 2


def _leave(number: int, _: object) -> None:
    """Polite requests to end go the way of all errors, so that every program is ended."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _leave)
    sys.exit(main())
