"""
What is known of one engine's activity: of a whole GPU, or of a GPU instance in MIG mode.

Nothing is assumed about time that no source covers: it was not watched.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Generic, TypeVar

from gpucost.units import NS_PER_MS
from gpucost.window import Interval

from gpucost_agent.ledger.borders import has_border, part_in
from gpucost_agent.ledger.spans import NOT_KNOWN, Efficiency, Spans, Watched
from gpucost_agent.readings import PPM, ActivitySource, ActivitySpan, ProcessWindow, RingSample

LONGEST_PERIOD_NS = 1_000 * NS_PER_MS
"""NVML documents sample periods of 1/6 s to 1 s; a first sample stands for no more than this."""

_MISSED_PERIODS = 2
"""A sample that comes later than this many periods after the one before it tells that some are missing."""

_REMEMBERED_DISTANCES = 31
"""Between samples of one read; their median is the period, whatever a few late or missing ones do."""

_ROUNDED_OFF = 200
"""The driver's rows by process are cut to whole percents, which takes half a percent from each in the mean."""

RING_PROCESS = "ring_process"
ACCOUNTING = "accounting"

Who = TypeVar("Who")
TurnsOf = Callable[[Who], Sequence[Interval]]


def _no_turns(_: object) -> Sequence[Interval]:
    return ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the best source says of an interval: how long it watched, how busy the engine was, and in which ways."""

    method: str = ""
    watched_ns: int = 0
    busy_ns: int = 0
    samples: int = 0
    efficiency: Efficiency = NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Used(Generic[Who]):
    """
    Use by process in wall nanoseconds, and how many of the driver's samples say so.

    *rounded_off* is how much of each its rows hide in the mean, as the driver cuts them to whole percents.
    """

    method: str
    by_process: Mapping[Who, int]
    samples: int
    rounded_off: Mapping[Who, int]


@dataclass(frozen=True, slots=True)
class _Rows(Generic[Who]):
    """Use by process over one reading's window."""

    start_ns: int
    end_ns: int
    busy_ppm: Mapping[Who, int]


class Activity(Generic[Who]):
    """
    Everything that sources say of one engine. Processes stand in it by keys of the caller's choice.

    Samples and spans have to be added in the order of their time; what is not was given before, and is dropped.
    """

    def __init__(self, from_ns: int) -> None:
        """*from_ns* is the first look: nothing before it is taken, even if a source still knows it."""
        self._from_ns = from_ns
        self._distances: deque[int] = deque(maxlen=_REMEMBERED_DISTANCES)
        self._sources: dict[ActivitySource, Spans] = {}
        self._rows: dict[str, list[_Rows[Who]]] = {}

    def add_samples(self, samples: Iterable[RingSample]) -> None:
        """Add the driver's ring, oldest first."""
        ring = self._source(ActivitySource.RING)
        samples = [sample for sample in samples if sample.ended_at_ns > ring.known_to_ns]
        ends = [sample.ended_at_ns for sample in samples]
        self._distances.extend(later - earlier for earlier, later in pairwise(ends))
        for sample in samples:
            since_ns = sample.ended_at_ns - self._reach_ns(sample.ended_at_ns - ring.known_to_ns)
            ring.add(ActivitySpan(since_ns, sample.ended_at_ns, None, sample.busy_ppm))

    def add_span(self, source: ActivitySource, span: ActivitySpan) -> None:
        """Add what another source says."""
        self._source(source).add(span)

    def add_uses(self, window: ProcessWindow, busy_ppm: Mapping[Who, int]) -> None:
        """Add the driver's rows by process over *window*, whose samples were added before; others had none."""
        self._add_rows(RING_PROCESS, window, busy_ppm)

    def add_accounting(self, window: ProcessWindow, busy_ppm: Mapping[Who, int]) -> None:
        """Add use by process over *window* as the driver integrated it."""
        self._add_rows(ACCOUNTING, window, busy_ppm)

    def seen(self, interval: Interval, held: Sequence[Interval] = ()) -> Seen:
        """What the best source says that watched *interval* about as long as any; *held* is when somebody held it."""
        found = {source: spans.watched(interval, held) for source, spans in self._sources.items()}
        longest = max((watched.watched_ns for watched in found.values()), default=0)
        for source in ActivitySource:
            watched = found.get(source)
            if watched is not None and longest and 10 * watched.watched_ns >= 9 * longest:
                efficiency = watched.efficiency
                if efficiency == NOT_KNOWN:
                    others = (other.efficiency for other in found.values())
                    efficiency = next((other for other in others if other != NOT_KNOWN), NOT_KNOWN)
                return Seen(source.value, watched.watched_ns, watched.busy_ns, watched.samples, efficiency)
        return Seen()

    def used(self, interval: Interval, turns: TurnsOf[Who] = _no_turns) -> Used[Who] | None:
        """
        Use by process in *interval*; None where nobody says anything of it.

        *turns* tells when the holder of a process held the engine: rows across a border are of its turns.
        """
        found = [self._used(method, interval, turns) for method in (ACCOUNTING, RING_PROCESS)]
        longest = max(length for length, _ in found)
        return next((used for length, used in found if longest and 10 * length >= 9 * longest), None)

    def forget_before(self, instant_ns: int) -> None:
        """Drop what ended before *instant_ns*; no interval that begins earlier is asked for again."""
        for method, rows in self._rows.items():
            self._rows[method] = [each for each in rows if each.end_ns > instant_ns] or rows[-1:]
        # What a row says is a part of what the ring saw over all of its window.
        needed = (each.start_ns for rows in self._rows.values() for each in rows if each.end_ns > instant_ns)
        from_ns = min(needed, default=instant_ns)
        for spans in self._sources.values():
            spans.forget_before(min(from_ns, instant_ns))

    def _source(self, source: ActivitySource) -> Spans:
        return self._sources.setdefault(source, Spans(self._from_ns))

    def _add_rows(self, method: str, window: ProcessWindow, busy_ppm: Mapping[Who, int]) -> None:
        rows = self._rows.setdefault(method, [])
        start_ns = max(window.since_ns, self._from_ns, rows[-1].end_ns if rows else self._from_ns)
        if window.until_ns > start_ns:
            rows.append(_Rows(start_ns, window.until_ns, dict(busy_ppm)))

    def _used(self, method: str, interval: Interval, turns: TurnsOf[Who]) -> tuple[int, Used[Who]]:
        """
        How long the rows of *method* watched *interval*, and what they say.

        Rows are means over their samples, so they count for the watched part of their window only.
        """
        used: dict[Who, int] = {}
        hidden: dict[Who, int] = {}
        length = samples = 0
        for each in self._rows.get(method, ()):
            if each.end_ns <= interval.start_ns:
                continue
            whole = Interval(each.start_ns, each.end_ns)
            part = whole.cut(interval)
            if part is None:
                break
            on_ring = self._on_ring(part)
            length += on_ring.watched_ns
            samples += on_ring.samples
            watched_ns = on_ring.watched_ns if part == whole else self._on_ring(whole).watched_ns
            for who, busy_ppm in each.busy_ppm.items():
                did_ns = on_ring.watched_ns * busy_ppm
                if part != whole and has_border(whole, its_turns := turns(who)):
                    did_ns = PPM * part_in(watched_ns * busy_ppm // PPM, whole, interval, its_turns)
                used[who] = used.get(who, 0) + did_ns
                if method == RING_PROCESS:
                    hidden[who] = hidden.get(who, 0) + on_ring.watched_ns // _ROUNDED_OFF
        by_process = {who: scaled // PPM for who, scaled in used.items()}
        return length, Used(method, by_process, samples, hidden)

    def _on_ring(self, interval: Interval) -> Watched:
        ring = self._sources.get(ActivitySource.RING)
        return ring.watched(interval) if ring is not None else Watched()

    def _reach_ns(self, since_ns: int) -> int:
        """How long a sample stands for that ended *since_ns* after the one before it."""
        if not self._distances:
            return min(since_ns, LONGEST_PERIOD_NS)
        period = median_low(self._distances)
        return since_ns if since_ns <= _MISSED_PERIODS * period else period
