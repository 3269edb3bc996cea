"""What the driver's rows say: pure. Old drivers hand out rows that nobody filled in, so not every row is believed."""

from enum import StrEnum
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

from gpucost_agent.readings import ProcessUse, ProcessWindow, RingSample, RunningProcess

_PERCENT_PPM = 10_000
_NS_PER_US = 1_000
_NO_PIDS = frozenset({0, 0xFFFF_FFFF})
_FUTURE_US = 1_000_000
"""Stamps may be this far ahead of our clock before they are taken for garbage."""


class ListKind(StrEnum):
    """The driver's three lists of processes."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"
    MPS = "mps"


class RawSample(NamedTuple):
    """A sample as the driver gives it: wall microseconds and whole percents."""

    stamp_us: int
    percent: int


class RawUse(NamedTuple):
    """Use by a process as the driver gives it: its newest sample, and whole percents of the window."""

    pid: int
    stamp_us: int
    percent: int


class RawProcess(NamedTuple):
    """A process in one of the driver's lists; memory is of one instance of a GPU in MIG mode."""

    pid: int
    gi: int | None
    ci: int | None
    memory_bytes: int | None


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
        possible = since_us < row.stamp_us <= stamps[-1] + _FUTURE_US and 0 < row.percent <= 100
        if possible and row.pid not in _NO_PIDS:
            newest[row.pid] = row
    uses = tuple(ProcessUse(pid, newest[pid].percent * _PERCENT_PPM) for pid in sorted(newest))
    return ProcessWindow(begin_us * _NS_PER_US, stamps[-1] * _NS_PER_US, len(stamps), uses)


def running_processes(lists: list[list[RawProcess]]) -> tuple[RunningProcess, ...]:
    """
    The lists merged by PID. A process in two of them is one that does both, and its memory is the same memory; on
    different instances of a GPU in MIG mode it is not.
    """
    by_instance: dict[tuple[int, int | None, int | None], int | None] = {}
    for rows in lists:
        for row in rows:
            key = (row.pid, row.gi, row.ci)
            known = by_instance.get(key)
            by_instance[key] = row.memory_bytes if known is None else max(known, row.memory_bytes or 0)
    found: dict[int, int | None] = {}
    for (pid, _, _), memory in sorted(by_instance.items(), key=lambda entry: entry[0][0]):
        if pid in _NO_PIDS:
            continue
        known = found.get(pid)
        found[pid] = memory if known is None else known + (memory or 0)
    return tuple(RunningProcess(pid, memory) for pid, memory in found.items())
