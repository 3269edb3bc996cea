"""When a process wants its GPU: from a busy pattern to single wants, by start."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from simnode import draws
from simnode.lives import Process
from simnode.world import Bursts, Constant, Duty, Random

SLICE_NS = 10_000_000
"""Of which a constant pattern wants its part."""
ENDLESS = 2**62


class Want(NamedTuple):
    """From `at` on so much work; at the deadline the rest is dropped. One that adds joins the work left."""

    at: int
    work: int
    deadline: int
    adds: bool


def wants(process: Process, seed: int) -> Iterator[Want]:
    """The process's wants; none begins or lasts past its end."""
    end = ENDLESS if process.end_ns is None else process.end_ns
    for want in _unbounded(process, seed, end):
        if want.at >= end:
            return
        yield want if want.deadline <= end else want._replace(deadline=end)


def _unbounded(process: Process, seed: int, end: int) -> Iterator[Want]:
    busy = process.spec.busy
    if isinstance(busy, Constant):
        yield from _every(process.start_ns, SLICE_NS, int(busy.share * SLICE_NS), SLICE_NS)
    elif isinstance(busy, Duty):
        yield from _every(process.start_ns + busy.phase_ns, busy.period_ns, busy.on_ns, busy.on_ns)
    elif isinstance(busy, Bursts):
        draw = draws.stream(seed, process.path, "bursts").random
        at = process.start_ns + int(draw() * busy.every_ns)
        while True:
            yield Want(at, busy.on_ns, at + busy.on_ns, False)
            at += max(100_000, int(busy.every_ns * (1 + busy.jitter * (2 * draw() - 1))))
    elif isinstance(busy, Random):
        draw = draws.stream(seed, process.path, "jobs").random
        exact = float(process.start_ns)
        while True:
            exact -= math.log(1 - draw()) / busy.rate_hz * 1e9
            yield Want(int(exact), max(1, int(-math.log(1 - draw()) * busy.mean_ns)), end, True)


def _every(first: int, period: int, work: int, last: int) -> Iterator[Want]:
    at = first
    while work:
        yield Want(at, work, at + last, False)
        at += period
