"""What the driver's rows say: pure. Old drivers hand out rows that nobody filled in, so not every row is believed."""

from collections.abc import Mapping
from itertools import pairwise
from statistics import median_low

from gpucost_agent.readings import PPM, ActivitySpan, ProcessUse, ProcessWindow, RingSample, RunningProcess
from gpucost_agent.sources.driver.driver_calls import ListKind, RawActivity, RawProcess, RawSample, RawUse

_PERCENT_PPM = 10_000
_NS_PER_US = 1_000
_NONE = 0xFFFF_FFFF
"""How the driver writes that a process runs on no instance, or that a row is nobody's."""
_NO_PIDS = frozenset({0, _NONE})
_GARBAGE_PERCENT = 101.0
"""Above this an activity is not believed; between it and 100 it is the counters' own inexactness."""
_FUTURE_US = 1_000_000
"""Stamps may be this far ahead of our clock before they are taken for garbage."""


def plausible_samples(raw: list[RawSample], since_us: int, now_us: int) -> list[RawSample]:
    """The samples after a stamp, by time, each once; without those that can not be: above 100 %, from the future."""
    kept = {
        sample.stamp_us: sample
        for sample in raw
        if since_us < sample.stamp_us <= now_us + _FUTURE_US and 0 <= sample.percent <= 100
    }
    return [kept[stamp] for stamp in sorted(kept)]


def ring_samples(samples: list[RawSample], after_us: int) -> tuple[RingSample, ...]:
    """The samples after a stamp, in base units."""
    return tuple(
        RingSample(sample.stamp_us * _NS_PER_US, sample.percent * _PERCENT_PPM)
        for sample in samples
        if sample.stamp_us > after_us
    )


def process_window(rows: list[RawUse], samples: list[RawSample], since_us: int) -> ProcessWindow:
    """
    Use by process over the ring's samples after *since_us*, which must be those that the driver averaged.

    Where the ring lost samples since then, the window begins a period before the oldest that is left. Rows that can
    not be (old drivers give memory that nobody filled in) are left out; of two rows of a process the newer counts.
    A row of 0 % is one: the driver rounds a process's mean down, and its stamp says that there was work.
    """
    stamps = [sample.stamp_us for sample in samples if sample.stamp_us > since_us]
    period_us = (
        median_low(later - earlier for earlier, later in pairwise(stamps)) if len(stamps) > 1 else None
    )
    begin_us = since_us
    if period_us is not None and stamps[0] - since_us > 2 * period_us:
        begin_us = stamps[0] - period_us
    newest: dict[int, RawUse] = {}
    for row in sorted(rows, key=lambda row: row.stamp_us):
        possible = since_us < row.stamp_us <= stamps[-1] + _FUTURE_US and 0 <= row.percent <= 100
        if possible and row.pid not in _NO_PIDS:
            newest[row.pid] = row
    uses = tuple(ProcessUse(pid, newest[pid].percent * _PERCENT_PPM) for pid in sorted(newest))
    return ProcessWindow(begin_us * _NS_PER_US, stamps[-1] * _NS_PER_US, len(stamps), uses)


def running_processes(lists: Mapping[ListKind, list[RawProcess]]) -> tuple[RunningProcess, ...]:
    """
    The lists merged by PID and instance: a process in two of them is one that does both, and its memory is the same
    memory; on different instances of a GPU in MIG mode it is not.
    """
    memory: dict[tuple[int, int, int], int | None] = {}
    clients = set()
    for kind, rows in lists.items():
        for row in rows:
            key = (row.pid, _number(row.gi), _number(row.ci))
            if row.pid in _NO_PIDS:
                continue
            known = memory.get(key)
            memory[key] = row.memory_bytes if known is None else max(known, row.memory_bytes or 0)
            if kind is ListKind.MPS:
                clients.add(key)
    return tuple(
        RunningProcess(key[0], memory[key], _instance(key[1]), _instance(key[2]), key in clients)
        for key in sorted(memory)
    )


def activity_span(
    raw: RawActivity, since_ns: int, until_ns: int, gi: int | None
) -> tuple[ActivitySpan | None, bool]:
    """GPM's percents as a span, None if it has none; and whether some of them can not be."""
    values = [None if percent is None else _activity_ppm(percent) for percent in raw]
    garbage = any(value is None and percent is not None for value, percent in zip(values, raw, strict=True))
    if all(value is None for value in values):
        return None, garbage
    return ActivitySpan(since_ns, until_ns, gi, *values), garbage


def _activity_ppm(percent: float) -> int | None:
    # What is no number is not between the bounds either.
    return min(PPM, round(percent * _PERCENT_PPM)) if 0.0 <= percent <= _GARBAGE_PERCENT else None


def _number(instance: int | None) -> int:
    return -1 if instance is None or instance == _NONE else instance


def _instance(number: int) -> int | None:
    return None if number < 0 else number
