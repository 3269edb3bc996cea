"""
The driver's ring of one GPU, look after look: what is new in it, and for whom the GPU worked.

The driver's use by process is an average over the ring's samples since a stamp, so it means something only together
with exactly those samples. A reader therefore asks for samples, for use, and for newer samples; only if there are
none is the window of the use known.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import median_low

from gpucost.clock import Clock, Instant

from gpucost_agent.readings import ProcessWindow, RingSample
from gpucost_agent.sources.driver.driver_calls import Calls, RawSample
from gpucost_agent.sources.driver.driver_rows import plausible_samples, process_window, ring_samples
from gpucost_agent.sources.driver.look import (
    CLOCK_STEPPED,
    RING_GARBAGE,
    USES_UNSETTLED,
    Look,
    What,
    clock_step_ns,
)

_NS_PER_US = 1_000
_MOST_ASKS = 3
_RING_SPAN_NS = 15_000_000_000
"""No driver's ring reaches further back; until it has turned over, a clock that was set back makes stamps twice."""
_DISTANCES = 64
"""Of how many distances between samples the period is the median."""


class RingReader:
    """
    Reads the ring of one GPU, for one thread; remembers which samples it has reported.

    The driver stamps by the node's own clock: *off_ns* tells how far *clock* is ahead of that.

    Nothing from before the first look is reported: a sample counts from the instant at which it ended, so the one
    that was under way at the first look is the first to be reported, whole.
    """

    def __init__(self, calls: Calls, clock: Clock, off_ns: Callable[[], int]) -> None:
        self._calls = calls
        self._clock = clock
        self._off_ns = off_ns
        self._previous: Instant | None = None
        self._trusted_from_ns = 0
        self._ring_seen_us = 0
        self._uses_seen_us = 0
        self._distances_us: deque[int] = deque(maxlen=_DISTANCES)

    @property
    def period_ns(self) -> int | None:
        """The distance of the driver's samples, by their own stamps; None until it was seen."""
        return median_low(self._distances_us) * _NS_PER_US if self._distances_us else None

    def forget(self) -> None:
        """The next look is a first one."""
        self._previous = None

    def read(self, look: Look) -> tuple[tuple[RingSample, ...] | None, ProcessWindow | None]:
        """The samples that are new, and the use by process that goes with them, by the clock of *look*."""
        off_ns = self._off_ns()
        began = Instant(look.began.wall_ns - off_ns, look.began.monotonic_ns)
        previous, self._previous = self._previous, began
        step_ns = 0 if previous is None else clock_step_ns(previous, began)
        if step_ns < 0:
            self._trusted_from_ns = began.monotonic_ns + _RING_SPAN_NS
        blind = step_ns != 0 or began.monotonic_ns < self._trusted_from_ns
        if previous is None or blind:
            self._ring_seen_us = self._uses_seen_us = began.wall_ns // _NS_PER_US
        if blind:
            look.troubles.append(CLOCK_STEPPED)
            return None, None
        samples = self._samples(look, min(self._ring_seen_us, self._uses_seen_us))
        if samples is None:
            return None, None
        window = None
        if samples:
            samples, window = self._uses(look, samples)
        fresh = ring_samples(samples, self._ring_seen_us)
        if fresh:
            new = [sample.ended_at_ns // _NS_PER_US for sample in fresh]
            self._distances_us.extend(later - earlier for earlier, later in pairwise(new))
            self._ring_seen_us = new[-1]
        return _moved(fresh, window, off_ns) if off_ns else (fresh, window)

    def _samples(self, look: Look, since_us: int) -> list[RawSample] | None:
        """The samples after a stamp, sorted; None if the driver did not say."""
        raw = look.ask(What.RING, partial(self._calls.samples, since_us))
        if not raw:
            return raw
        now_ns = self._clock.now().wall_ns - self._off_ns()
        kept = plausible_samples(raw, since_us, now_ns // _NS_PER_US)
        if len(kept) < len({sample.stamp_us for sample in raw if sample.stamp_us > since_us}):
            look.troubles.append(RING_GARBAGE)
        return kept

    def _uses(self, look: Look, samples: list[RawSample]) -> tuple[list[RawSample], ProcessWindow | None]:
        """Use by process if the ring stands still for it; and the samples, with those that came meanwhile."""
        since = self._uses_seen_us
        known = samples
        for _ in range(_MOST_ASKS):
            rows = look.ask(What.USES, partial(self._calls.uses, since))
            if rows is None:
                if not look.may_support(What.USES):
                    self._uses_seen_us = known[-1].stamp_us
                return known, None
            later = self._samples(look, samples[-1].stamp_us)
            if later is None:
                return known, None
            if not later:
                self._uses_seen_us = samples[-1].stamp_us
                return known, process_window(rows, samples, since)
            # A full ring forgot its oldest for each that came, and the driver averages what is left.
            again = self._samples(look, since)
            if not again:
                return known, None
            known = sorted({sample.stamp_us: sample for sample in (*known, *again)}.values())
            samples = again
        # What was not settled now is part of the next look's window.
        look.troubles.append(USES_UNSETTLED)
        return known, None


def _moved(
    samples: tuple[RingSample, ...], window: ProcessWindow | None, by_ns: int
) -> tuple[tuple[RingSample, ...], ProcessWindow | None]:
    moved = tuple(replace(sample, ended_at_ns=sample.ended_at_ns + by_ns) for sample in samples)
    if window is not None:
        window = replace(window, since_ns=window.since_ns + by_ns, until_ns=window.until_ns + by_ns)
    return moved, window
