"""
Steps of the wall clock, seen by the monotonic one: wall time that never was, and wall time that was twice.

A clock that drifts, or is slewed, makes no step.
"""

from collections.abc import Iterator

from gpucost.clock import Instant
from gpucost.units import NS_PER_MS
from gpucost.window import Interval

_STEP_NS = 50 * NS_PER_MS


class ClockSteps:
    """
    The steps that no closed window has taken in yet. *from_ns* is where the first open window begins.

    *before* is what both clocks showed there, as an agent before this one says: a step that nobody saw is told by it.
    """

    def __init__(self, from_ns: int, before: Instant | None = None) -> None:
        self._open_from_ns = from_ns
        self._last = before
        self._never: list[Interval] = []
        self._twice: list[Interval] = []

    def tick(self, now: Instant) -> None:
        """What both clocks say; the more often it is told, the better a step's instant is known."""
        last, self._last = self._last, now
        if last is None or now.monotonic_ns < last.monotonic_ns:
            return
        elapsed_ns = now.monotonic_ns - last.monotonic_ns
        step_ns = now.wall_ns - last.wall_ns - elapsed_ns
        # NTP slews by a thousandth at most.
        if abs(step_ns) <= _STEP_NS + elapsed_ns // 1_000:
            return
        if step_ns > 0:
            self._forward(step_ns, now.wall_ns)
        else:
            # Set back twice in a row, the clock may show what is closed; the open window grows all the same.
            was_ns = max(last.wall_ns + elapsed_ns, self._open_from_ns + 1)
            self._twice.append(Interval(was_ns + step_ns, was_ns))

    def _forward(self, step_ns: int, to_ns: int) -> None:
        """A clock that was set back and is set right again shows no time that never was."""
        while step_ns and self._twice:
            twice = self._twice.pop()
            undone_ns = min(step_ns, twice.length_ns)
            step_ns -= undone_ns
            if undone_ns < twice.length_ns:
                self._twice.append(Interval(twice.start_ns + undone_ns, twice.end_ns))
        if step_ns:
            self._never.append(Interval(to_ns - step_ns, to_ns))

    def real(self, interval: Interval) -> Iterator[Interval]:
        """The parts of *interval* that really were."""
        done_ns = interval.start_ns
        for never in self._never:
            part = never.cut(Interval(done_ns, interval.end_ns)) if done_ns < interval.end_ns else None
            if part is None:
                continue
            if done_ns < part.start_ns:
                yield Interval(done_ns, part.start_ns)
            done_ns = part.end_ns
        if done_ns < interval.end_ns:
            yield Interval(done_ns, interval.end_ns)

    def next_real_ns(self, instant_ns: int) -> int:
        """The first instant from *instant_ns* on that really was."""
        for never in self._never:
            if never.start_ns <= instant_ns < never.end_ns:
                instant_ns = never.end_ns
        return instant_ns

    def again_ns(self, interval: Interval) -> int:
        """How much longer *interval* was, because the clock was set back just before an instant in it."""
        return sum(
            twice.length_ns for twice in self._twice if interval.start_ns < twice.end_ns <= interval.end_ns
        )

    def monotonic_at(self, instant_ns: int) -> int | None:
        """What the monotonic clock showed when all that windows up to *instant_ns* tell was over; None if unknown."""
        if self._last is None:
            return None
        # Asked of an instant that is past all steps, as the wall may have been set back into time that never was.
        steps_end_ns = max((step.end_ns for step in (*self._never, *self._twice)), default=instant_ns)
        past_ns = max(self._last.wall_ns, instant_ns, steps_end_ns) + 1
        open_ns = sum(real.length_ns for real in self.real(Interval(instant_ns, past_ns)))
        again_ns = sum(twice.length_ns for twice in self._twice if twice.end_ns > instant_ns)
        return self._last.monotonic_ns + past_ns - self._last.wall_ns - open_ns - again_ns

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no interval from *instant_ns* on needs: windows before it are closed."""
        self._open_from_ns = instant_ns
        self._never = [never for never in self._never if never.end_ns > instant_ns]
        self._twice = [twice for twice in self._twice if twice.end_ns > instant_ns]
