"""How one GPU was cut, and when: the driver's answers as a step function of time."""

from collections.abc import Iterator
from dataclasses import dataclass

from gpucost.window import Interval

from gpucost_agent.readings import Partition

_BELIEVED_NS = 60 * 1_000_000_000
"""So long before and after a look a GPU is taken to be cut as it said; a call that hangs longer hides changes."""


@dataclass(frozen=True, slots=True)
class Period:
    """
    A time in which the partition did not change; *partition* is None where nobody ever saw any.

    *is_seen*: a look is near enough to say so.
    """

    interval: Interval
    partition: Partition | None
    is_seen: bool


@dataclass(slots=True)
class _Run:
    """One answer, from the first to the last look that gave it without another in between."""

    begin_ns: int
    first_ns: int
    last_ns: int
    partition: Partition

    def periods(self, interval: Interval) -> Iterator[Period]:
        """The parts of *interval*, which lies in this run, far from its looks and near them."""
        near = Interval(self.first_ns - _BELIEVED_NS, self.last_ns + _BELIEVED_NS).cut(interval)
        if near is None:
            yield Period(interval, self.partition, is_seen=False)
            return
        if interval.start_ns < near.start_ns:
            yield Period(Interval(interval.start_ns, near.start_ns), self.partition, is_seen=False)
        yield Period(near, self.partition, is_seen=True)
        if near.end_ns < interval.end_ns:
            yield Period(Interval(near.end_ns, interval.end_ns), self.partition, is_seen=False)


class Partitions:
    """
    The history of a GPU's partition, as far back as it was not forgotten.

    An answer holds from the middle between it and a different one before it, as the change lies between the two.
    The first one counts back to the first look.
    """

    def __init__(self, from_ns: int) -> None:
        self._from_ns = from_ns
        self._runs: list[_Run] = []

    def seen(self, at_ns: int, partition: Partition) -> int | None:
        """Add an answer; the instant from which it holds if it is another than the one before."""
        last = self._runs[-1] if self._runs else None
        if last is None:
            self._runs.append(_Run(self._from_ns, at_ns, at_ns, partition))
            return self._from_ns
        if last.partition == partition:
            last.last_ns = max(last.last_ns, at_ns)
            return None
        begin_ns = max((last.last_ns + at_ns) // 2, last.begin_ns + 1)
        self._runs.append(_Run(begin_ns, at_ns, at_ns, partition))
        return begin_ns

    @property
    def latest(self) -> Partition | None:
        """The last answer; None if there was none."""
        return self._runs[-1].partition if self._runs else None

    def periods(self, interval: Interval) -> Iterator[Period]:
        """*interval* cut where the partition changes, or is not seen any more, oldest first."""
        if not self._runs:
            yield Period(interval, None, is_seen=False)
            return
        for number, run in enumerate(self._runs):
            begin_ns = run.begin_ns if number else min(interval.start_ns, run.begin_ns)
            is_last = number + 1 == len(self._runs)
            end_ns = max(interval.end_ns, begin_ns + 1) if is_last else self._runs[number + 1].begin_ns
            part = Interval(begin_ns, end_ns).cut(interval) if begin_ns < end_ns else None
            if part is not None:
                yield from run.periods(part)

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no interval from *instant_ns* on needs."""
        while len(self._runs) > 1 and self._runs[1].begin_ns <= instant_ns:
            del self._runs[0]
