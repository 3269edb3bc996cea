"""The books of the measured run, held against what really happened: a saving that makes them wrong is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accuracy import answers, figures
from accuracy.score import score
from accuracy.stage import Recording

NS = 10**9


def slices(base: str, began_ns: int, window_seconds: int) -> tuple[int, int, list[answers.Slice]] | None:
    """Of the complete windows that began during the run, with their begin and end; None if there are none."""
    length_ns = window_seconds * NS
    begin_ns = -(-began_ns // length_ns) * length_ns
    try:
        end_ns = answers.complete_through_ns(base)
        if end_ns is None or end_ns <= begin_ns:
            return None
        return begin_ns, end_ns, answers.slices(base, begin_ns, end_ns)
    except (OSError, ValueError):
        return None


def modes(
    held: tuple[int, int, list[answers.Slice]], began_ns: int, truth: Path, play: Path, window_seconds: int
) -> list[dict[str, Any]]:
    """A line for each way in which a GPU is shared, as the proof of accuracy has them."""
    begin_ns, end_ns, found = held
    lines = tuple(json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines())
    recording = Recording(
        start_ns=began_ns,
        begin_ns=begin_ns,
        end_ns=end_ns,
        window_ns=window_seconds * NS,
        truth=lines,
        slices=tuple(found),
        peers=(),
        longest_look_s=0.0,
        stalls=(),
        troubles=(),
    )
    return [figures.figure(mode) for mode in figures.merged([score(recording, play.read_text("utf-8"))])]
