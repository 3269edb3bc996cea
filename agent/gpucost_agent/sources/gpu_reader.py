"""
One GPU, look after look: what is new in the driver's ring, for whom the GPU worked, who holds memory.

The driver's use by process is an average over the ring's samples since a stamp, so it means something only together
with exactly those samples. A reader therefore asks for samples, for use, and for samples again; only if the ring
stood still in between is the window of the use known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from gpucost.clock import Clock, Instant
from gpucost.trouble import Retry

from gpucost_agent.readings import GpuReading, ProcessWindow, RingSample, RunningProcess
from gpucost_agent.sources.driver_rows import (
    ListKind,
    RawProcess,
    RawSample,
    RawUse,
    plausible_samples,
    process_window,
    ring_samples,
    running_processes,
)

T = TypeVar("T")

_NS_PER_US = 1_000
_UJ_PER_MJ = 1_000
_MOST_ASKS = 3
_STEP_NS = 50_000_000
"""The wall and the monotonic clock may disagree by this much (and a thousandth, for slewing) without a step."""
_RING_SPAN_NS = 15_000_000_000
"""No driver's ring reaches further back; until it has turned over, a clock that was set back makes stamps twice."""
_ASK_AGAIN_NS = 600_000_000_000
"""What a GPU does not support is asked again so rarely: its MIG mode may have changed."""

GPU_LOST = "gpu_lost"
CLOCK_STEPPED = "clock_stepped"
RING_GARBAGE = "ring_garbage"
USES_UNSETTLED = "uses_unsettled"


class Why(StrEnum):
    """Why a call of the driver gave nothing."""

    UNINITIALIZED = "uninitialized"
    STALE_HANDLE = "stale_handle"
    NOT_SUPPORTED = "not_supported"
    NO_PERMISSION = "no_permission"
    NOTHING = "nothing"
    TOO_SMALL = "too_small"
    TIMEOUT = "timeout"
    LOST = "lost"
    NO_DRIVER = "no_driver"
    FAILED = "failed"


class What(StrEnum):
    """The parts of a reading. A trouble in a reading is named part_why, or by a constant above."""

    RING = "ring"
    USES = "uses"
    PROCESSES = "processes"
    ENERGY = "energy"


class DriverTrouble(Retry):
    """A call of the driver gave nothing; *code* is the driver's own number, where it gave one."""

    def __init__(self, why: Why, message: str, code: int = -1) -> None:
        super().__init__(message)
        self.why = why
        self.code = code


class Calls(Protocol):
    """The driver's calls on one GPU. Each may block for ever and raises DriverTrouble, or Stop."""

    def samples(self, since_us: int) -> list[RawSample]:
        """The ring's samples that ended after *since_us*; raises NOTHING if there are none."""
        ...

    def uses(self, since_us: int) -> list[RawUse]:
        """Use by process, averaged over those samples; raises NOTHING if no process used the GPU."""
        ...

    def processes(self, kind: ListKind) -> list[RawProcess]:
        """The processes of one of the driver's lists."""
        ...

    def energy_mj(self) -> int:
        """Millijoules since the driver was loaded."""
        ...


@dataclass(slots=True)
class _Look:
    """One reading while it is made."""

    began: Instant
    ring: tuple[RingSample, ...] | None = None
    window: ProcessWindow | None = None
    processes: tuple[RunningProcess, ...] | None = None
    energy_uj: int | None = None
    troubles: list[str] = field(default_factory=list)


class GpuReader:
    """
    Reads one GPU, for one thread; remembers which samples it has reported.

    Nothing from before the first look is reported: a sample counts from the instant at which it ended, so the one
    that was under way at the first look is the first to be reported, whole.
    """

    def __init__(self, gpu_uuid: str, calls: Calls, clock: Clock) -> None:
        self.gpu_uuid = gpu_uuid
        self._calls = calls
        self._clock = clock
        self._previous: Instant | None = None
        self._trusted_from_ns = 0
        self._ring_seen_us = 0
        self._uses_seen_us = 0
        self._unsupported: dict[str, int] = {}

    def read(self) -> GpuReading:
        """
        One look. May block for ever if the driver hangs.

        Raises Stop if the library does not fit the driver any more; all else is a trouble named in the reading.
        """
        look = _Look(self._clock.now())
        try:
            self._read_ring(look)
            look.processes = self._part(look, What.PROCESSES, self._processes)
            energy_mj = self._part(look, What.ENERGY, self._calls.energy_mj)
            look.energy_uj = None if energy_mj is None else energy_mj * _UJ_PER_MJ
        except DriverTrouble:
            # Nothing of a look in which the GPU was lost stands; should it come back, that look is a first one.
            self._previous = None
            look = _Look(look.began, troubles=[GPU_LOST])
        return GpuReading(
            gpu_uuid=self.gpu_uuid,
            read_at=self._clock.now(),
            ring=look.ring,
            process_window=look.window,
            processes=look.processes,
            energy_uj=look.energy_uj,
            troubles=tuple(dict.fromkeys(look.troubles)),
        )

    def _read_ring(self, look: _Look) -> None:
        previous, self._previous = self._previous, look.began
        step_ns = 0 if previous is None else clock_step_ns(previous, look.began)
        if step_ns < 0:
            self._trusted_from_ns = look.began.monotonic_ns + _RING_SPAN_NS
        blind = step_ns != 0 or look.began.monotonic_ns < self._trusted_from_ns
        if previous is None or blind:
            self._ring_seen_us = self._uses_seen_us = look.began.wall_ns // _NS_PER_US
        if blind:
            look.troubles.append(CLOCK_STEPPED)
            return
        samples = self._samples(look)
        if samples is None:
            return
        fresh = self._uses(look, samples) if samples else samples
        look.ring = ring_samples(fresh, self._ring_seen_us)
        if fresh:
            self._ring_seen_us = fresh[-1].stamp_us

    def _samples(self, look: _Look) -> list[RawSample] | None:
        """All samples since the older of the two stamps, sorted; None if the driver did not say."""
        since = min(self._ring_seen_us, self._uses_seen_us)
        none: list[RawSample] = []
        raw = self._part(look, What.RING, partial(self._calls.samples, since), none)
        if raw is None:
            return None
        kept = plausible_samples(raw, since, self._clock.now().wall_ns // _NS_PER_US)
        if len(kept) < len({sample.stamp_us for sample in raw if sample.stamp_us > since}):
            look.troubles.append(RING_GARBAGE)
        return kept

    def _uses(self, look: _Look, samples: list[RawSample]) -> list[RawSample]:
        """Sets the look's window if the ring stands still for it; the samples, with those that came meanwhile."""
        since = self._uses_seen_us
        known = samples
        nobody: list[RawUse] = []
        for _ in range(_MOST_ASKS):
            rows = self._part(look, What.USES, partial(self._calls.uses, since), nobody)
            if rows is None:
                if self._unsupported.get(What.USES):
                    self._uses_seen_us = known[-1].stamp_us
                return known
            again = self._samples(look)
            if not again:
                return known
            stood_still = again[-1].stamp_us == samples[-1].stamp_us
            known = sorted({sample.stamp_us: sample for sample in (*known, *again)}.values())
            samples = again
            if stood_still:
                look.window = process_window(rows, samples, since)
                self._uses_seen_us = samples[-1].stamp_us
                return known
        # What was not settled now is part of the next look's window.
        look.troubles.append(USES_UNSETTLED)
        return known

    def _processes(self) -> tuple[RunningProcess, ...]:
        lists: list[list[RawProcess]] = []
        for kind in ListKind:
            try:
                lists.append(self._supported(kind, partial(self._calls.processes, kind)))
            except DriverTrouble as trouble:
                if trouble.why is Why.NOTHING:
                    lists.append([])
                elif trouble.why is not Why.NOT_SUPPORTED:
                    raise
        if not lists:
            raise DriverTrouble(Why.NOT_SUPPORTED, "none of the driver's lists of processes is supported")
        return running_processes(lists)

    def _part(self, look: _Look, what: What, call: Callable[[], T], nothing: T | None = None) -> T | None:
        """A part of the reading; None with its trouble named, or *nothing*. Raises only what ends the look."""
        try:
            return self._supported(what, call)
        except DriverTrouble as trouble:
            if trouble.why is Why.LOST:
                raise
            if trouble.why is Why.NOTHING and nothing is not None:
                return nothing
            look.troubles.append(f"{what}_{trouble.why}")
            return None

    def _supported(self, name: str, call: Callable[[], T]) -> T:
        """Calls, unless the GPU said not long ago that it does not support it."""
        now_ns = self._clock.now().monotonic_ns
        if now_ns < self._unsupported.get(name, now_ns):
            raise DriverTrouble(Why.NOT_SUPPORTED, f"{name}: not supported, as this GPU said before")
        try:
            answer = call()
        except DriverTrouble as trouble:
            if trouble.why is Why.NOT_SUPPORTED:
                self._unsupported[name] = now_ns + _ASK_AGAIN_NS
            raise
        self._unsupported.pop(name, None)
        return answer


def clock_step_ns(before: Instant, now: Instant) -> int:
    """By how much the wall clock was set between two instants; 0 if it only drifted."""
    elapsed_ns = now.monotonic_ns - before.monotonic_ns
    step_ns = now.wall_ns - before.wall_ns - elapsed_ns
    return step_ns if abs(step_ns) > _STEP_NS + elapsed_ns // 1_000 else 0
