"""What was asked for, by environment variables."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.wish import ROOT, WrongWish
from proofs.proof import CI, FULL

LENGTH_S = {CI: 60, FULL: 600}
SHORTEST_S = 40
WINDOW_S = 10
"""So that a minute has several windows."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    *length_s* is how long faults happen and books are compared, in whole windows.

    *product* is a folder that is put before the programs' own, where another product is to be tried; *only* are the
    kinds of faults that may happen, empty for all of the form.
    """

    form: str
    seed: int
    length_s: int
    scenario: Path | None = None
    product: Path | None = None
    only: tuple[str, ...] = ()
    proof: Path = ROOT / "build" / "proofs"


def read(environ: Mapping[str, str]) -> Wish:
    """The wish in *environ*. Raises WrongWish."""
    form = CI if environ.get("CI", "") not in ("", "0", "false") else FULL
    length = _number(environ, "SECONDS", LENGTH_S[form])
    scenario = environ.get("SCENARIO") or None
    if scenario is not None and not Path(scenario).is_file():
        raise WrongWish(f"SCENARIO: there is no file {scenario}")
    if length < SHORTEST_S:
        raise WrongWish(f"SECONDS: {length} is too short: a fault and what follows it need {SHORTEST_S}")
    return Wish(
        form=form,
        seed=_number(environ, "SEED", secrets.randbelow(10**6)),
        length_s=length - length % WINDOW_S,
        scenario=None if scenario is None else Path(scenario).absolute(),
        only=tuple(word for word in environ.get("FAULTS", "").replace(",", " ").split() if word),
    )


def here() -> Wish:
    """The wish of this process. Raises WrongWish."""
    return read(os.environ)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal():
        raise WrongWish(f"{name}: {text!r} is not a number")
    return int(text)
