"""
Proof `accuracy`: what holders are said to use and to pay, against what they did, for every way to share a GPU.

SEED, SECONDS and CI=1 as for all proofs; SEEDS is how many runs, JOBS how many of them side by side, SCENARIO a file
to be run instead of the one that is drawn.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from accuracy import figures, rivals
from accuracy.run import order_as_json
from accuracy.scenario_draw import draw, lead_s
from accuracy.score import Line, ModeScore, Score
from accuracy.stage import Order
from demo.child import Child, Trouble, programs_environ
from demo.wish import ROOT, WrongWish
from proofs.proof import CI, FULL, Proof

LENGTH_S, RUNS = {CI: 60, FULL: 600}, {CI: 1, FULL: 20}
_LONG_S = 300
"""From so long a run on, windows are those of a fleet."""

_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    form: str
    seed: int
    length_s: int
    runs: int
    jobs: int
    scenario: Path | None

    @property
    def window_s(self) -> int:
        return 60 if self.length_s >= _LONG_S else 10


def wish() -> Wish:
    """The wish in the environment. Raises WrongWish."""
    form = CI if os.environ.get("CI") == "1" else FULL
    length = _number("SECONDS", LENGTH_S[form])
    window = 60 if length >= _LONG_S else 10
    scenario = os.environ.get("SCENARIO") or None
    if scenario is not None and not Path(scenario).is_file():
        raise WrongWish(f"SCENARIO: there is no file {scenario}")
    return Wish(
        form,
        _number("SEED", secrets.randbelow(10**6)),
        max(window, length - length % window),
        max(1, _number("SEEDS", RUNS[form])),
        max(1, _number("JOBS", 5 * (os.cpu_count() or 1))),
        None if scenario is None else Path(scenario).absolute(),
    )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise WrongWish(f"{name}: {text!r} is not a number")
    return int(text)


def orders(wished: Wish, folder: Path) -> list[Order]:
    """A run a seed, each with its scenario in a file; the truth is told by the second in all of them."""
    found = []
    for seed in range(wished.seed, wished.seed + wished.runs):
        text = draw(seed, wished.length_s)
        if wished.scenario is not None:
            given = yaml.safe_load(wished.scenario.read_text(encoding="utf-8")) | {"window_seconds": 1}
            text = yaml.safe_dump(given, sort_keys=False)
        file = folder / f"scenario-{seed}.yaml"
        file.write_text(text, encoding="utf-8")
        found.append(Order(file, seed, wished.window_s, wished.length_s, lead_s(wished.length_s)))
    return found


def inputs_sha256(found: list[Order]) -> str:
    """Of all scenarios, and of how they are run."""
    digest = hashlib.sha256()
    for order in found:
        digest.update(order.scenario.read_bytes())
        digest.update(f"{order.seed} {order.window_s} {order.length_s}\n".encode())
    return digest.hexdigest()


def play(found: list[Order], jobs: int, folder: Path) -> Iterator[Score]:
    """The scores as runs end, so many side by side. Raises Trouble."""
    waiting, running = list(found), dict[Child, Path]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                order = waiting.pop(0)
                wanted, out = folder / f"order-{order.seed}.json", folder / f"score-{order.seed}.json"
                wanted.write_text(order_as_json(order), encoding="utf-8")
                child = Child(
                    f"run-{order.seed}", ["accuracy.run", str(wanted), str(out)], programs_environ(), folder
                )
                child.start()
                running[child] = out
            time.sleep(_TICK_S)
            for child, out in list(running.items()):
                if child.exit_code() is not None:
                    del running[child]
                    if child.exit_code():
                        raise child.trouble("failed")
                    yield _score(out)
    finally:
        for child in running:
            child.ask_to_end()
        for child in running:
            child.end(30)


def _score(file: Path) -> Score:
    found = json.loads(file.read_text(encoding="utf-8"))
    modes = {
        name: ModeScore(
            **{**mode, "methods": set(mode["methods"]), "lines": [Line(**line) for line in mode["lines"]]}
        )
        for name, mode in found["modes"].items()
    }
    return Score(found["seed"], modes, found["longest_look_s"], tuple(found["troubles"]))


def main(folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    began = time.monotonic()
    try:
        wished = wish()
    except WrongWish as trouble:
        print(trouble, file=sys.stderr)
        return 2
    scores, troubles = list[Score](), list[str]()
    with tempfile.TemporaryDirectory(prefix="gpucost-accuracy-") as temporary:
        found = orders(wished, Path(temporary))
        sha = inputs_sha256(found)
        print(f"seed {wished.seed}, inputs {sha[:16]}: {wished.runs} runs of {wished.length_s} s", flush=True)
        try:
            for score in play(found, wished.jobs, Path(temporary)):
                scores.append(score)
                print(f"{len(scores)} of {wished.runs} runs", flush=True)
        except Trouble as trouble:
            print(trouble, file=sys.stderr)
            troubles.append(trouble.reason)
    modes = figures.merged(scores)
    rows = [figures.figure(mode) for mode in modes]
    troubles += [words for score in scores for words in score.troubles]
    print(figures.picture(rows))
    for row in rows:
        if row["bar"] != "yes":
            print(f"  * {row['mode']} has no bar: {row['bar']}")
    for words in troubles:
        print(f"TROUBLE: {words}")
    bars = figures.bars(modes, wished.form, wished.scenario is None) if len(scores) == wished.runs else ()
    for words in figures.worst(modes, (bar for bar in bars if not bar.holds)):
        print(f"  {words}", file=sys.stderr)
    return Proof(
        name="accuracy",
        seed=wished.seed,
        inputs_sha256=sha,
        seconds=time.monotonic() - began,
        compared=figures.compared(modes),
        bars=bars,
        figures={
            "modes": rows,
            "runs": len(scores),
            "seconds_a_run": wished.length_s,
            "window_seconds": wished.window_s,
            "longest_look_seconds": max((round(score.longest_look_s, 3) for score in scores), default=None),
            "peers": rivals.SOURCES,
            "troubles": troubles,
        },
    ).publish(folder or ROOT / "build" / "proofs")


def _leave(number: int, _: object) -> None:
    """Polite requests to end go the way of all errors, so that every program is ended."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _leave)
    sys.exit(main())
