"""What processes cost, as the kernel counts it: memory, CPU time, threads. Of a process with all that it started."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Look:
    """A process and its children at an instant. *by_thread* is CPU seconds of the threads that live, by name."""

    at_s: float
    rss_bytes: int
    cpu_s: float
    threads: int
    by_thread: dict[str, float]


def look(pid: int) -> Look:
    """
    Now.

    Raises:
        OSError: It has ended.
    """
    at_s = time.monotonic()
    rss = threads = 0
    cpu_s, by_thread = 0.0, defaultdict[str, float](float)
    for each in _family(pid):
        try:
            status = _status(each)
            cpu_s += _cpu_s((_PROC / str(each) / "stat").read_text(), with_children=True)
            rss += int(status["VmRSS"].split()[0]) * 1024
            threads += int(status["Threads"])
            for name, spent_s in _by_thread(each):
                by_thread[name] += spent_s
        except (OSError, KeyError):
            if each == pid:
                raise
    return Look(at_s, rss, cpu_s, threads, by_thread)


def slope(points: list[tuple[float, float]]) -> float | None:
    """By Theil and Sen: the median of the slopes of all pairs, so that single steps do not make it."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return median(slopes) if slopes else None


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for task in (_PROC / str(each) / "task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _status(pid: int) -> dict[str, str]:
    lines = (_PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _by_thread(pid: int) -> Iterator[tuple[str, float]]:
    for task in (_PROC / str(pid) / "task").iterdir():
        try:
            yield _name(task), _cpu_s((task / "stat").read_text(), with_children=False)
        except OSError:
            continue


def _name(task: Path) -> str:
    return (task / "comm").read_text(errors="replace").strip()


def _cpu_s(stat: str, *, with_children: bool) -> float:
    """The user's and the system's time in /proc/PID/stat; with those of children that were waited for."""
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICKS
