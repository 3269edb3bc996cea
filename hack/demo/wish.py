"""What the demo was asked for, by environment variables; a word that can not be read ends it with status 2."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "hack" / "scenarios"
CI_SECONDS = 75
"""Long enough for the demo's job to begin and end, with windows on both sides of it."""

KILL_AGENT, KILL_AGGREGATOR, STOP_KUBELET, NO_PRICE_BOOK = FAULTS = (
    "kill-agent",
    "kill-aggregator",
    "kubelet-stop",
    "no-price-book",
)


class WrongWish(Exception):
    """A variable that can not be read, or names what can not be played."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    *seconds* is how much time is to be compared; None: until interrupted.

    *grace_seconds* is how long holders hold without a kubelet; None leaves the agent's default.
    """

    scenario: Path
    price_book: Path | None
    seed: int
    seconds: int | None
    is_ci: bool
    faults: frozenset[str]
    library: Path
    proof: Path
    grace_seconds: int | None = None
    keep: Path | None = None


def read(environ: Mapping[str, str]) -> Wish:
    """
    The wish in the environment.

    Raises:
        WrongWish: A variable can not be read.
    """
    faults = frozenset(word for word in environ.get("FAULTS", "").replace(",", " ").split() if word)
    if unknown := faults - set(FAULTS):
        raise WrongWish(f"FAULTS: {', '.join(sorted(unknown))} is none of {', '.join(FAULTS)}")
    is_ci = environ.get("CI", "") not in ("", "0", "false")
    seconds = _number(environ, "SECONDS")
    scenario = _file(environ, "SCENARIO") or SCENARIOS / "demo.yaml"
    book = _file(environ, "PRICE_BOOK")
    if "PRICE_BOOK" not in environ:
        beside = scenario.with_name(f"{scenario.stem}-prices.yaml")
        book = beside if beside.exists() else None
    seed = _number(environ, "SEED")
    return Wish(
        scenario=scenario,
        price_book=None if NO_PRICE_BOOK in faults else book,
        seed=random.SystemRandom().randrange(1, 10**6) if seed is None else seed,
        seconds=seconds or (CI_SECONDS if is_ci or faults - {NO_PRICE_BOOK} else None),
        is_ci=is_ci,
        faults=faults,
        library=Path(environ.get("NVML_LIBRARY_DIR") or ROOT / "hack" / "nvml" / "build"),
        proof=Path(environ.get("PROOF") or ROOT / "build" / "proofs" / "demo.json"),
        grace_seconds=8 if STOP_KUBELET in faults else None,
        keep=_file(environ, "KEEP_ANSWERS", must_exist=False),
    )


def here() -> Wish:
    """The wish of this process."""
    return read(os.environ)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise WrongWish(f"{name}: {text!r} is not a number")
    return int(text)


def _file(environ: Mapping[str, str], name: str, must_exist: bool = True) -> Path | None:
    text = environ.get(name, "")
    if not text:
        return None
    path = Path(text).absolute()
    if must_exist and not path.is_file():
        raise WrongWish(f"{name}: there is no file {text}")
    return path
