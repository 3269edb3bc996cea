"""What GPM counts: nanoseconds of work, by what was at work."""

from __future__ import annotations

from typing import NamedTuple

from simnode.world import ProcessSpec

MILLION = 1_000_000


class Counters(NamedTuple):
    """Nanoseconds since the start. Where processes run at the same time the last three can pass the clock."""

    graphics: int = 0
    sm: int = 0
    tensor: int = 0
    dram: int = 0

    def plus(self, other: Counters, part: int = 1, of: int = 1) -> Counters:
        """With a part of the others, as a compute instance is a part of its GPU instance."""
        return Counters(*(mine + theirs * part // of for mine, theirs in zip(self, other, strict=True)))


class Rates(NamedTuple):
    """Millionths of its running time for which a process uses SMs, tensor cores and memory bandwidth."""

    sm: int
    tensor: int
    dram: int


def rates(spec: ProcessSpec) -> Rates:
    """A limit on threads is a limit on SMs."""
    return Rates(
        round(spec.sm * spec.threads * MILLION), round(spec.tensor * MILLION), round(spec.dram * MILLION)
    )
