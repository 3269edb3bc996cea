"""
Whom the driver names as the owner of a sample: pure.

Each sample of the ring names one process. Which one, of several that worked in its period, decides whether the agent's
sums are right in the long run: only an owner drawn in proportion to time has no bias. Four ways are told apart by how
likely each makes what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log

from gpu.timeline import Timeline

PROPORTIONAL, LAST, INSTANT, LONGEST = WAYS = ("proportional", "last", "instant", "longest")
NOBODY = -1

_WRONG = 0.03
"""How often a way may be seen to fail: a burst that ended near a sample's edge, a stamp that is a little off."""
_EDGE_NS = 3_000_000
"""Who had the GPU is not known better than this, as processes that want it together take turns."""
_DECIDED = 12.0
"""By how much, in logarithms, the best way has to be likelier than the next."""


@dataclass(frozen=True, slots=True)
class Named:
    """A sample that ended at *end_ns*, and the process that the driver named for it; NOBODY for none."""

    begin_ns: int
    end_ns: int
    owner: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """*way* is None where it is not decided. *likelihoods* are logarithms, relative to the best; *samples* counts."""

    way: str | None
    samples: int
    likelihoods: Mapping[str, float]


def told_apart(samples: Iterable[Named], timeline: Timeline) -> Verdict:
    """The way that explains the owners best."""
    sums = dict.fromkeys(WAYS, 0.0)
    count = 0
    for sample in samples:
        chances = chances_of(sample, timeline)
        if chances is None:
            continue
        count += 1
        for way in WAYS:
            sums[way] += log(_WRONG / 3 + (1 - _WRONG) * chances[way].get(sample.owner, 0.0))
    best, second = sorted(sums.values(), reverse=True)[:2]
    likeliest = max(sums, key=lambda each: sums[each])
    decided = count and best - second >= _DECIDED
    return Verdict(
        likeliest if decided else None, count, {each: round(value - best, 1) for each, value in sums.items()}
    )


def chances_of(sample: Named, timeline: Timeline) -> dict[str, dict[int, float]] | None:
    """How likely each owner of a sample is by each way; None where nobody worked, which tells nothing."""
    begin_ns, end_ns = sample.begin_ns, sample.end_ns
    shares = timeline.shares_ns(begin_ns, end_ns)
    busy_ns = sum(shares.values())
    if not busy_ns:
        return None
    stretches = list(timeline.within(begin_ns, end_ns))
    longest = max(shares.values())
    at_end = timeline.shares_ns(end_ns - _EDGE_NS, end_ns + _EDGE_NS)
    idle_ns = 2 * _EDGE_NS - sum(at_end.values())
    return {
        PROPORTIONAL: {pid: share / busy_ns for pid, share in shares.items()},
        LAST: _even(stretches[-1].who),
        INSTANT: {pid: share / (2 * _EDGE_NS) for pid, share in at_end.items()}
        | {NOBODY: idle_ns / (2 * _EDGE_NS)},
        LONGEST: _even([pid for pid, share in shares.items() if longest - share <= _EDGE_NS]),
    }


def _even(pids: Iterable[int]) -> dict[int, float]:
    pids = list(pids)
    return dict.fromkeys(pids, 1 / len(pids))
