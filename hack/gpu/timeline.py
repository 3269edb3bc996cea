"""Who worked on a GPU when, as a list of bursts, and what follows from it: pure. Times are wall nanoseconds."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Burst:
    """A process wanted the GPU without a pause; at most one of its bursts is at a time."""

    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time in which the same processes wanted the GPU; they take turns, each for as long as the others."""

    begin_ns: int
    end_ns: int
    who: frozenset[int]


class Timeline:
    """The bursts of all processes, by PID."""

    def __init__(self, bursts: Mapping[int, Iterable[Burst]]) -> None:
        self._stretches = list(_stretches(bursts))
        self._ends = [stretch.end_ns for stretch in self._stretches]

    def within(self, begin_ns: int, end_ns: int) -> Iterator[Stretch]:
        """The stretches between two instants, in order, cut at them."""
        for number in range(bisect_left(self._ends, begin_ns + 1), len(self._stretches)):
            stretch = self._stretches[number]
            if stretch.begin_ns >= end_ns:
                return
            yield Stretch(max(stretch.begin_ns, begin_ns), min(stretch.end_ns, end_ns), stretch.who)

    def shares_ns(self, begin_ns: int, end_ns: int) -> Counter[int]:
        """How long each process had the GPU."""
        found = Counter[int]()
        for stretch in self.within(begin_ns, end_ns):
            for pid in stretch.who:
                found[pid] += (stretch.end_ns - stretch.begin_ns) // len(stretch.who)
        return found


def _stretches(bursts: Mapping[int, Iterable[Burst]]) -> Iterator[Stretch]:
    edges: list[tuple[int, bool, int]] = []
    for pid, each in bursts.items():
        for burst in each:
            edges += [(burst.begin_ns, True, pid), (burst.end_ns, False, pid)]
    working: set[int] = set()
    since = 0
    for at, begins, pid in sorted(edges):
        if working and at > since:
            yield Stretch(since, at, frozenset(working))
        since = at
        (working.add if begins else working.discard)(pid)
