"""
Integrals of a GPU's activity, from what its readings say, over any interval of wall time.

The driver's ring holds one sample per period; a sample stands for the time since the one before it.
Nothing is assumed about time that no sample covers: it was not watched.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Generic, TypeVar

from gpucost.units import NS_PER_MS
from gpucost.window import Interval

from gpucost_agent.readings import PPM, ProcessWindow, RingSample

LONGEST_PERIOD_NS = 1_000 * NS_PER_MS
"""NVML documents sample periods of 1/6 s to 1 s; a first sample stands for no more than this."""

_MISSED_PERIODS = 2
"""A sample that comes later than this many periods after the one before it tells that some are missing."""

_REMEMBERED_DISTANCES = 31
"""Between samples of one read; their median is the period, whatever a few late or missing ones do."""

Who = TypeVar("Who")


@dataclass(frozen=True, slots=True)
class Watched:
    """How long a GPU was watched, and busy, of an interval; and by how many samples."""

    watched_ns: int
    busy_ns: int
    samples: int


@dataclass(frozen=True, slots=True)
class _Span:
    """Time that one sample stands for."""

    start_ns: int
    end_ns: int
    busy_ppm: int


@dataclass(frozen=True, slots=True)
class _Uses(Generic[Who]):
    """Use by process over one reading's window of samples."""

    start_ns: int
    end_ns: int
    samples: int
    busy_ppm: Mapping[Who, int]


class Activity(Generic[Who]):
    """
    What is known of one GPU's activity. Processes stand in it by keys of the caller's choice.

    Samples have to be added in the order of their time; what is not is dropped, as the driver gave it before.
    """

    def __init__(self, from_ns: int) -> None:
        """*from_ns* is the first look: nothing before it is taken, even if the ring still knows it."""
        self._from_ns = from_ns
        self._distances: deque[int] = deque(maxlen=_REMEMBERED_DISTANCES)
        self._spans: list[_Span] = []
        self._uses: list[_Uses[Who]] = []

    @property
    def known_to_ns(self) -> int:
        """End of the last sample."""
        return self._spans[-1].end_ns if self._spans else self._from_ns

    def add_samples(self, samples: Iterable[RingSample]) -> None:
        """Add device activity, oldest first."""
        samples = [sample for sample in samples if sample.ended_at_ns > self.known_to_ns]
        ends = [sample.ended_at_ns for sample in samples]
        self._distances.extend(later - earlier for earlier, later in pairwise(ends))
        for sample in samples:
            start = max(self.known_to_ns, sample.ended_at_ns - self._reach_ns(sample))
            self._spans.append(_Span(start, sample.ended_at_ns, min(PPM, sample.busy_ppm)))

    def add_uses(self, window: ProcessWindow, busy_ppm: Mapping[Who, int]) -> None:
        """Add use by process over *window*; whoever is not named had none."""
        start = max(window.since_ns, self._from_ns, self._uses[-1].end_ns if self._uses else self._from_ns)
        if window.until_ns > start:
            self._uses.append(_Uses(start, window.until_ns, window.samples, dict(busy_ppm)))

    def watched(self, interval: Interval) -> Watched:
        """What the samples say of *interval*."""
        watched = busy = samples = 0
        for span in self._overlapping(interval):
            part = min(span.end_ns, interval.end_ns) - max(span.start_ns, interval.start_ns)
            watched += part
            busy += part * span.busy_ppm
            samples += interval.start_ns < span.end_ns <= interval.end_ns
        return Watched(watched, busy // PPM, samples)

    def used(self, interval: Interval) -> tuple[dict[Who, int], int]:
        """
        Nanoseconds of use by process in *interval*, and how many samples say so.

        A reading's rows are means over its samples, so they count for the watched part of its window only.
        """
        used: dict[Who, int] = {}
        samples = 0
        for uses in self._uses:
            part = Interval(uses.start_ns, uses.end_ns).cut(interval)
            if part is None:
                continue
            watched = self.watched(part)
            samples += watched.samples
            for who, busy_ppm in uses.busy_ppm.items():
                used[who] = used.get(who, 0) + watched.watched_ns * busy_ppm
        return {who: scaled // PPM for who, scaled in used.items()}, samples

    def forget_before(self, instant_ns: int) -> None:
        """Drop what ended before *instant_ns*; no interval that begins earlier is asked for again."""
        # One span more is kept, as the next sample begins where the last one ended.
        keep = max(0, min(self._first_after(instant_ns), len(self._spans) - 1))
        del self._spans[:keep]
        self._uses = [uses for uses in self._uses if uses.end_ns > instant_ns] or self._uses[-1:]

    def _overlapping(self, interval: Interval) -> Iterator[_Span]:
        for place in range(self._first_after(interval.start_ns), len(self._spans)):
            span = self._spans[place]
            if span.start_ns >= interval.end_ns:
                return
            yield span

    def _first_after(self, instant_ns: int) -> int:
        return bisect_right(self._spans, instant_ns, key=lambda span: span.end_ns)

    def _reach_ns(self, sample: RingSample) -> int:
        since = sample.ended_at_ns - self.known_to_ns
        if not self._distances:
            return min(since, LONGEST_PERIOD_NS)
        period = median_low(self._distances)
        return since if since <= _MISSED_PERIODS * period else period
