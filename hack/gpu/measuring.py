"""The measurements, one after the other: idle, under the load, and after it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpucost.trouble import Retry

from gpu.loads import DUTIES, Load
from gpu.owners import NOBODY, Named
from gpu.ring_polls import PERIODS_S, Polls, period_us
from gpu.under_test import Bench

_US, _S = 1_000, 10**9
_TICK_S = 0.03
_LOOK_S = 1.0
_AFTER_S = 14.0
"""For so long the driver is watched after the load has ended: its ring has turned over by then."""


@dataclass(slots=True)
class Found:
    """Everything that was seen. Maps are by the driver's PIDs; None could not be measured."""

    ring_hz: float | None = None
    ring_depth: int | None = None
    ring_span_s: float | None = None
    call_us: dict[str, float | None] = field(default_factory=dict)
    probes_idle: dict[str, int | None] = field(default_factory=dict)
    probes_busy: dict[str, int | None] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)
    begin_ns: int = 0
    end_ns: int = 0
    polls: list[Polls] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    used_ns: dict[int, int] = field(default_factory=dict)
    watched_ns: int = 0
    method: str = ""
    ring_busy: list[tuple[int, int]] = field(default_factory=list)
    gpm_busy: list[tuple[int, int]] = field(default_factory=list)
    accounted: dict[int, float] | None = None
    troubles: set[str] = field(default_factory=set)
    after: dict[str, float | bool | None] = field(default_factory=dict)


def measure(bench: Bench, load: Load, seconds: float) -> Found:
    """All of it. Raises demo.child.Trouble where the load does not run."""
    found = Found()
    _idle(bench, found)
    found.pids = _begin(bench, load)
    time.sleep(1.0)
    found.probes_busy = bench.probes()
    _under_load(bench, found, seconds)
    load.end()
    _after(bench, found)
    found.call_us = bench.costs_us()
    return found


def _idle(bench: Bench, found: Found) -> None:
    found.probes_idle = bench.probes()
    stamps = [sample.stamp_us for sample in bench.samples(0)]
    period = period_us(stamps)
    if period:
        found.ring_hz = round(1e6 / period, 3)
        found.ring_depth = len(stamps)
        found.ring_span_s = round((stamps[-1] - stamps[0] + period) / 1e6, 2)


def _begin(bench: Bench, load: Load) -> dict[int, int]:
    """
    The driver's PIDs of the loads, by number.

    Told by what is new in its list, as it may know them by other PIDs than this process does.
    """
    pids: dict[int, int] = {}
    for number in range(len(DUTIES)):
        before = bench.running() - set(pids.values())
        own = load.begin(number)
        running = bench.running() - set(pids.values())
        new = running - before
        if own in running:
            pids[number] = own
        elif len(new) == 1:
            pids[number] = new.pop()
    return pids


def _under_load(bench: Bench, found: Found, seconds: float) -> None:
    began = time.monotonic()
    bench.begin()
    found.begin_ns = time.time_ns()
    accounts = bench.accounted_centi(found.pids)
    since_us = found.begin_ns // _US
    found.polls = [Polls(period, seen_us=since_us) for period in PERIODS_S]
    owners = _Owners(bench, since_us)
    next_look = 0.0
    while (elapsed := time.monotonic() - began) < seconds:
        owners.look()
        for polls in found.polls:
            if elapsed >= polls.due_s:
                polls.due_s += polls.period_s
                polls.take([sample.stamp_us for sample in bench.samples(polls.seen_us)])
        if elapsed >= next_look:
            next_look += _LOOK_S
            _look(bench, found)
        time.sleep(_TICK_S)
    _look(bench, found)
    found.end_ns = time.time_ns()
    found.named = owners.named
    found.used_ns, found.watched_ns, found.method = bench.end(found.end_ns)
    found.accounted = _accounted(accounts, bench.accounted_centi(found.pids))


def _look(bench: Bench, found: Found) -> None:
    reading = bench.look()
    found.troubles |= set(reading.troubles)
    found.ring_busy += [(sample.ended_at_ns, sample.busy_ppm) for sample in reading.ring or ()]
    for span in reading.gpm:
        if span.busy_ppm is not None:
            found.gpm_busy.append((span.until_ns - span.since_ns, span.busy_ppm))


class _Owners:
    """Asks so often that no more than one sample is new, whose owner is then the only row."""

    def __init__(self, bench: Bench, since_us: int) -> None:
        self.named: list[Named] = []
        self._bench = bench
        self._seen_us = since_us

    def look(self) -> None:
        since_us = self._seen_us
        samples = self._bench.samples(since_us)
        if not samples:
            return
        self._seen_us = samples[-1].stamp_us
        if len(samples) > 1 or not samples[0].percent or since_us * _US + _S < time.time_ns():
            return
        try:
            rows = [row for row in self._bench.uses(since_us) if row.stamp_us > since_us and row.percent]
        except Retry:
            return
        if self._bench.samples(self._seen_us) or len(rows) > 1:
            return  # one more came in between
        owner = rows[0].pid if rows else NOBODY
        self.named.append(Named(since_us * _US, self._seen_us * _US, owner))


def _accounted(
    before: Mapping[int, tuple[int, int]] | None, after: Mapping[int, tuple[int, int]] | None
) -> dict[int, float] | None:
    """The mean load of each PID over the samples in between."""
    if before is None or after is None:
        return None
    return {
        pid: (centi - before.get(pid, (0, 0))[1]) / 10_000 / grown
        for pid, (samples, centi) in after.items()
        if (grown := samples - before.get(pid, (0, 0))[0]) > 0
    }


def _after(bench: Bench, found: Found) -> None:
    """How long the driver still names processes that have ended."""
    ended_us = time.time_ns() // _US
    began = time.monotonic()
    pids = set(found.pids.values())
    in_list = in_all = in_new = 0.0
    while (elapsed := time.monotonic() - began) < _AFTER_S:
        if bench.running() & pids:
            in_list = elapsed
        if {row.pid for row in bench.uses(0) if row.percent} & pids:
            in_all = elapsed
        if {row.pid for row in bench.uses(ended_us) if row.percent} & pids:
            in_new = elapsed
        time.sleep(0.25)
    found.after = {
        "seconds_in_process_list": round(in_list, 1),
        "seconds_in_rows_of_whole_ring": round(in_all, 1),
        "seconds_in_rows_since_end": round(in_new, 1),
    }
