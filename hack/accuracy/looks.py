"""When agents look at their GPUs, by their own word: not always each second on a machine that has more to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SELDOM_S = 2.2
"""An agent looks each second; who misses more than one look in a row may see a change later than to a second."""

LONGEST_S = 5.0
"""Seldomer looks may lose samples of the driver's ring."""

_NS = 10**9


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which an agent did not look at one of its GPUs."""

    node: str
    begin_ns: int
    end_ns: int


@dataclass(slots=True)
class Looks:
    """Fed with what agents say of their last looks, more often than they look."""

    last: dict[str, float] = field(default_factory=dict)
    longest_s: float = 0.0
    stalls: set[Stall] = field(default_factory=set)

    def heard(self, node: str, reads: Mapping[str, float]) -> None:
        """When GPUs of a node were last looked at, as Unix time, by UUID."""
        for uuid, at in reads.items():
            before = self.last.get(uuid, at)
            self.longest_s = max(self.longest_s, at - before)
            if at - before > SELDOM_S:
                self.stalls.add(Stall(node, round(before * _NS), round(at * _NS)))
            self.last[uuid] = at

    def begin(self) -> None:
        """What counts begins now."""
        self.longest_s = 0.0
        self.stalls.clear()

    def troubles(self) -> tuple[str, ...]:
        """In words, if looks were so rare that something may have been lost."""
        if self.longest_s <= LONGEST_S:
            return ()
        words = f"an agent did not look at a GPU for {self.longest_s:.1f} s"
        return (f"{words}; past {LONGEST_S:.0f} s samples may be lost",)
