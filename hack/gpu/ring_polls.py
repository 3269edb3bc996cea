"""What polls of the ring at different periods lose: pure. Stamps are microseconds, as the driver gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

PERIODS_S = (1, 5, 8, 12)
_LATE = 1.8
"""A sample that is so many periods after the one before it tells that one is missing."""


@dataclass(slots=True)
class Polls:
    """Polls every so often, each asking for what is newer than the last stamp before it."""

    period_s: float
    due_s: float = 0.0
    seen_us: int = 0
    polls: int = 0
    samples: int = 0
    stamps: list[int] = field(default_factory=list)

    def take(self, stamps: Sequence[int]) -> None:
        """An answer's stamps, sorted."""
        self.polls += 1
        self.samples += len(stamps)
        self.stamps += stamps
        if stamps:
            self.seen_us = stamps[-1]

    def missing(self, period_us: float) -> int:
        """How many samples were lost between those that were seen."""
        return sum(
            round((later - earlier) / period_us) - 1
            for earlier, later in pairwise(self.stamps)
            if later - earlier > _LATE * period_us
        )


def period_us(stamps: Sequence[int]) -> float | None:
    """The median distance of samples; None of fewer than two."""
    return median(later - earlier for earlier, later in pairwise(stamps)) if len(stamps) > 1 else None
