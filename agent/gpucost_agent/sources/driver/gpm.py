"""
Activity by GPM: differences of counters between two samples, so that nothing is lost between looks.

Each engine (the whole GPU, or in MIG mode each GPU instance) has two samples' memory of its own, which change places.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from gpucost.clock import Clock, Instant

from gpucost_agent.readings import ActivitySpan, Partition
from gpucost_agent.sources.driver.driver_calls import Calls, DriverTrouble, GpmSample, RawMig, Why
from gpucost_agent.sources.driver.driver_rows import activity_span
from gpucost_agent.sources.driver.look import GPM_GARBAGE, Look, What, clock_step_ns

_SHORTEST_NS = 100_000_000
"""NVIDIA's own bound: below it the counters are too coarse."""
_LONGEST_NS = 600_000_000_000
"""After this the counters may have wrapped."""

Made = tuple[object, ...] | None
"""
What must stay the same for counters to go on: an instance's profile, place and handles, as its number is used again
at once; None is the whole GPU.
"""


@dataclass(slots=True)
class _Engine:
    """*taken* is when the earlier sample was filled; None if it was not."""

    made: Made
    earlier: GpmSample
    later: GpmSample
    taken: Instant | None = None


class GpmReader:
    """Reads the GPM of one GPU, for one thread."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._engines: dict[int | None, _Engine] = {}
        self._supported = False

    def forget(self) -> None:
        """No sample from before is the beginning of a span."""
        self._supported = False
        for engine in self._engines.values():
            engine.taken = None

    def read(
        self, look: Look, partition: Partition | None, devices: tuple[RawMig, ...] = ()
    ) -> tuple[ActivitySpan, ...]:
        """What each engine did since the last look; nothing where GPM is not there, or the partition is not known."""
        if partition is None or not self._is_there(look):
            return ()
        spans: list[ActivitySpan] = []
        wanted = _engines(partition, devices)
        for gi in self._engines.keys() - wanted.keys():
            self._remove(gi)
        for gi, made in wanted.items():
            span = look.ask_if_there(What.GPM, partial(self._span, look, gi, made))
            if span is not None:
                spans.append(span)
        return tuple(spans)

    def _is_there(self, look: Look) -> bool:
        if not self._supported or not look.may_support(What.GPM):
            self._supported = bool(look.ask_if_there(What.GPM, self._ask_for_support))
        return self._supported

    def _ask_for_support(self) -> bool:
        if not self._calls.gpm_supported():
            raise DriverTrouble(Why.NOT_SUPPORTED, "the GPU has no GPM")
        return True

    def _engine(self, gi: int | None, made: Made) -> _Engine:
        engine = self._engines.get(gi)
        if engine is None:
            earlier = self._calls.gpm_allocate()
            try:
                later = self._calls.gpm_allocate()
            except DriverTrouble:
                self._calls.gpm_free(earlier)
                raise
            engine = self._engines[gi] = _Engine(made, earlier, later)
        elif engine.made != made:
            engine.made, engine.taken = made, None
        return engine

    def _remove(self, gi: int | None) -> None:
        engine = self._engines.pop(gi)
        for sample in (engine.earlier, engine.later):
            with suppress(DriverTrouble):
                self._calls.gpm_free(sample)

    def _span(self, look: Look, gi: int | None, made: Made) -> ActivitySpan | None:
        engine = self._engine(gi, made)
        before = engine.taken
        now = self._clock.now()
        if before is not None and 0 <= now.monotonic_ns - before.monotonic_ns < _SHORTEST_NS:
            return None
        engine.taken = None
        self._calls.gpm_sample(gi, engine.later)
        now = self._clock.now()
        engine.earlier, engine.later, engine.taken = engine.later, engine.earlier, now
        if (
            before is None
            or clock_step_ns(before, now)
            or now.monotonic_ns - before.monotonic_ns > _LONGEST_NS
        ):
            return None
        raw = self._calls.gpm_activity(engine.later, engine.earlier)
        span, garbage = activity_span(raw, before.wall_ns, now.wall_ns, gi)
        if garbage:
            look.troubles.append(GPM_GARBAGE)
        elif span is None:
            raise DriverTrouble(Why.FAILED, "GPM computed nothing")
        return span


def _engines(partition: Partition, devices: tuple[RawMig, ...]) -> dict[int | None, Made]:
    if not partition.mig:
        return {None: None}
    # An instance without a compute instance can run nothing.
    return {
        instance.gi: (
            instance.profile,
            instance.placement,
            *(each for each in devices if each.gi == instance.gi),
        )
        for instance in partition.instances
        if instance.parts
    }
