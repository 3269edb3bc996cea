"""Integrals over spans of time in each of which one source said how active an engine was: what is watched, and busy."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpucost.window import Interval

from gpucost_agent.ledger.borders import has_border, part_in
from gpucost_agent.readings import PPM, ActivitySpan


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How much of its time an engine's parts worked, in wall nanoseconds; None is not known."""

    sm_ns: int | None = None
    tensor_ns: int | None = None
    dram_ns: int | None = None


NOT_KNOWN = Efficiency()


@dataclass(frozen=True, slots=True)
class Watched:
    """How long an engine was watched, and busy, of an interval; and by how many samples."""

    watched_ns: int = 0
    busy_ns: int = 0
    samples: int = 0
    efficiency: Efficiency = NOT_KNOWN


class Spans:
    """What one source said of one engine. Spans come in the order of their time; what overlaps is cut."""

    def __init__(self, from_ns: int) -> None:
        """Nothing before *from_ns* is taken."""
        self._from_ns = from_ns
        self._spans: list[ActivitySpan] = []

    @property
    def known_to_ns(self) -> int:
        """End of the last span."""
        return self._spans[-1].until_ns if self._spans else self._from_ns

    def add(self, span: ActivitySpan) -> None:
        """Add a span; what of it lies before the last one's end was said before."""
        since_ns = max(span.since_ns, self.known_to_ns)
        if span.until_ns > since_ns:
            self._spans.append(
                ActivitySpan(
                    since_ns, span.until_ns, None, span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm
                )
            )

    def watched(self, interval: Interval, held: Sequence[Interval] = ()) -> Watched:
        """
        What the spans say of *interval*. Time of which they do not say how busy it was is not watched.

        A span across a border of *held*, when somebody held the engine, was busy while it was held, as far as it fits.
        """
        watched = busy = samples = 0
        known: dict[str, int] = {}
        spans = list(self._overlapping(interval))
        has_edges = _has_edges(held, spans)
        for span in spans:
            part = min(span.until_ns, interval.end_ns) - max(span.since_ns, interval.start_ns)
            if not (span.sm_ppm is span.tensor_ppm is span.dram_ppm is None):
                for name, ppm in (
                    ("sm_ns", span.sm_ppm),
                    ("tensor_ns", span.tensor_ppm),
                    ("dram_ns", span.dram_ppm),
                ):
                    if ppm is not None:
                        known[name] = known.get(name, 0) + part * ppm
            if span.busy_ppm is None:
                continue
            watched += part
            if has_edges and has_border(whole := Interval(span.since_ns, span.until_ns), held):
                busy_ns = whole.length_ns * min(PPM, span.busy_ppm) // PPM
                busy += PPM * part_in(busy_ns, whole, interval, held)
            else:
                busy += part * min(PPM, span.busy_ppm)
            samples += interval.start_ns < span.until_ns <= interval.end_ns
        efficiency = (
            Efficiency(**{name: scaled // PPM for name, scaled in known.items()}) if known else NOT_KNOWN
        )
        return Watched(watched, busy // PPM, samples, efficiency)

    def forget_before(self, instant_ns: int) -> None:
        """Drop what ended before *instant_ns*; no interval that begins earlier is asked for again."""
        # One span more is kept, as the next sample begins where the last one ended.
        keep = max(0, min(self._first_after(instant_ns), len(self._spans) - 1))
        del self._spans[:keep]

    def _overlapping(self, interval: Interval) -> Iterator[ActivitySpan]:
        for place in range(self._first_after(interval.start_ns), len(self._spans)):
            span = self._spans[place]
            if span.since_ns >= interval.end_ns:
                return
            yield span

    def _first_after(self, instant_ns: int) -> int:
        return bisect_right(self._spans, instant_ns, key=lambda span: span.until_ns)


def _has_edges(turns: Sequence[Interval], spans: Sequence[ActivitySpan]) -> bool:
    """Whether a turn begins or ends within the time of *spans*; mostly none does, and no span has to be looked at."""
    if not spans:
        return False
    from_ns, to_ns = spans[0].since_ns, spans[-1].until_ns
    return any(from_ns < edge_ns < to_ns for turn in turns for edge_ns in (turn.start_ns, turn.end_ns))
