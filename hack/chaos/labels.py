"""
Which real time a window's books are of, where a wall clock was stepped.

A window [a, b) by a clock that shows t + o(t) holds the real time in which the latest that the clock ever showed lies
in [a, b): a step forward leaves a window short, one back makes the open window longer, and none comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from accuracy.expected import Time

NEVER = 2**62
SEEN_NS = 600_000_000
"""An agent looks at both clocks each half second, so it knows that well when a step was."""


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """A window by its label, with the real time that it holds, in nanoseconds."""

    start_ns: int
    begin_ns: int
    end_ns: int
    is_stepped: bool


def windows(
    steps: Sequence[tuple[int, int]], begin_ns: int, end_ns: int, window_ns: int
) -> list[LabelledWindow]:
    """Of all windows between two labels; *steps* are instants with by how much the clock is ahead from then on."""
    found = []
    for start in range(begin_ns, end_ns, window_ns):
        begin, end = real(steps, start), real(steps, start + window_ns)
        is_stepped = end - begin != window_ns or any(
            begin - SEEN_NS <= at <= end + SEEN_NS for at, _ in steps
        )
        found.append(LabelledWindow(start, begin, end, is_stepped))
    return found


def real(steps: Sequence[tuple[int, int]], label_ns: int) -> int:
    """The first instant at which the clock has shown *label_ns* or later."""
    segments = [(0, 0), *sorted(steps), (NEVER, 0)]
    for (since, ahead), (until, _) in pairwise(segments):
        if label_ns < until + ahead:
            return max(since, label_ns - ahead)
    return label_ns


@dataclass(frozen=True, slots=True)
class RealTime(Time):
    """The windows of a node, as real time."""

    found: tuple[LabelledWindow, ...] = ()

    def windows(self) -> Iterator[tuple[int, int]]:
        for each in self.found:
            if each.begin_ns < each.end_ns:
                yield each.begin_ns, each.end_ns
