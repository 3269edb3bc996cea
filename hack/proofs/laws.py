"""
Proof `laws`: the ledger's laws on many random windows, each computed once more by code that knows none of it.

SEED and SECONDS set seed and length; CI=1 takes the short form.
"""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

HACK = Path(__file__).resolve().parents[1]
if str(HACK) not in sys.path:  # run as a file
    sys.path.insert(0, str(HACK))

from proofs import law_checks  # noqa: E402
from proofs.proof import CI, FULL, ROOT, Bar, Proof  # noqa: E402
from proofs.random_windows import Cut, Piece, Window, draw_hour, draw_window  # noqa: E402
from proofs.under_test import Ledger  # noqa: E402

EXAMPLES = {CI: 200, FULL: 10_000}
_HOUR_EVERY = 100
_SHOWN = 5


@dataclass
class Findings:
    """What was looked at, and what was wrong with it."""

    compared: int = 0
    windows: int = 0
    examples: int = 0
    breaches: list[str] = field(default_factory=list)
    inputs: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def look_at(self, window: Window, ledger: Ledger) -> list[law_checks.Row]:
        """Check all laws of one window; its rows."""
        self.inputs.update(repr(window).encode())
        self.windows += 1
        try:
            rows = ledger.rows(window)
            self.breaches += law_checks.window_breaches(window, rows)
            for piece in law_checks.pieces(window):
                self.breaches += law_checks.stretch_breaches(piece, ledger.paid(piece))
                self.compared += 1
            if ledger.rows(otherwise_listed(window)) != rows:
                self.breaches.append(f"law 5: the order in which {window} is listed changes its slices")
        except (ValueError, IndexError, ZeroDivisionError, AssertionError) as error:
            self.breaches.append(f"{type(error).__name__}: {error}")
            return []
        self.compared += len(rows)
        return rows


def prove(seed: int, form: str, seconds: float, ledger: Ledger) -> Findings:
    """As many examples as the form asks for, and on for *seconds*; each is a window or an hour of them."""
    random, findings, began = Random(seed), Findings(), time.monotonic()
    while findings.examples < EXAMPLES[form] or time.monotonic() - began < seconds:
        findings.examples += 1
        if findings.examples % _HOUR_EVERY:
            findings.look_at(_possible(draw_window(random)), ledger)
        else:
            hour = [_possible(window) for window in draw_hour(random)]
            rows = [row for window in hour for row in findings.look_at(window, ledger)]
            findings.breaches += law_checks.hour_breaches(hour, rows)
    return findings


def main(ledger: Ledger | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    form = CI if os.environ.get("CI") == "1" else FULL
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**32))
    began = time.monotonic()
    found = prove(seed, form, float(os.environ.get("SECONDS") or 0), ledger or Ledger())
    for breach in found.breaches[:_SHOWN]:
        print(f"  {breach[:500]}", file=sys.stderr)
    bars = (
        Bar("breaches", "= 0", len(found.breaches), form, not found.breaches),
        Bar("examples", f">= {EXAMPLES[form]}", found.examples, form, found.examples >= EXAMPLES[form]),
    )
    return Proof(
        name="laws",
        seed=seed,
        inputs_sha256=found.inputs.hexdigest(),
        seconds=time.monotonic() - began,
        compared=found.compared,
        bars=bars,
        figures={"examples": found.examples, "windows": found.windows, "breaches": len(found.breaches)},
    ).publish(folder or ROOT / "build" / "proofs")


def _possible(window: Window) -> Window:
    """*window* without the limits of stretches in which they would let more be used than was watched."""
    return _with_pieces(
        window, lambda piece: piece if law_checks.is_possible(piece) else replace(piece, limits={})
    )


def otherwise_listed(window: Window) -> Window:
    """The same, with holders and instances in another order."""

    def turned(piece: Piece) -> Piece:
        reserved = dict(reversed(piece.reserved.items()))
        return replace(piece, reserved=reserved, used=dict(reversed(piece.used.items())))

    again = _with_pieces(window, turned)
    return replace(
        again, cuts=tuple(replace(cut, instances=tuple(reversed(cut.instances))) for cut in again.cuts)
    )


def _with_pieces(window: Window, change) -> Window:  # type: ignore[no-untyped-def]
    def changed(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        return tuple(change(piece) for piece in pieces)

    def cuts() -> Iterator[Cut]:
        for cut in window.cuts:
            instances = tuple(
                replace(
                    instance,
                    parts=tuple(replace(part, pieces=changed(part.pieces)) for part in instance.parts),
                )
                for instance in cut.instances
            )
            yield replace(cut, pieces=changed(cut.pieces), instances=instances)

    return replace(window, cuts=tuple(cuts()))


if __name__ == "__main__":
    sys.exit(main())
