"""When a process wants its GPU, from the busy patterns that ../../scenarios/README.md describes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from demo.audit.scenario import NEVER, NS, Work, milliseconds_ns

_PART_NS = 10_000_000
"""A constant pattern wants its share of every such part."""


class Life(NamedTuple):
    """One process: *work* is the place of its entry, *number* how many of the entry came before it."""

    work: int
    number: int
    start_ns: int
    end_ns: int


class Want(NamedTuple):
    """So much work from *at_ns* on; what is not done at *until_ns* is dropped. A job is added to the work left."""

    at_ns: int
    length_ns: int
    until_ns: int
    is_job: bool = False


def lives(place: int, work: Work) -> Iterator[Life]:
    """The processes of an entry, in their order."""
    if work.every_ns is None:
        yield Life(place, 0, work.start_ns, work.end_ns)
        return
    number, start = 0, work.start_ns
    while start < work.end_ns:
        yield Life(place, number, start, min(start + work.for_ns, work.end_ns))
        number, start = number + 1, start + work.every_ns


def wants(life: Life, work: Work, draw: random.Random) -> Iterator[Want]:
    """What a process wants while it lives."""
    for want in _unbounded(life, work, draw):
        if want.at_ns >= life.end_ns:
            return
        yield want._replace(until_ns=min(want.until_ns, life.end_ns))


def _unbounded(life: Life, work: Work, draw: random.Random) -> Iterator[Want]:
    busy = work.busy
    match busy["pattern"]:
        case "constant":
            yield from _every(life.start_ns, _PART_NS, int(float(busy["share"]) * _PART_NS), _PART_NS)
        case "duty":
            on, period = milliseconds_ns(busy["on_ms"]), milliseconds_ns(busy["period_ms"])
            yield from _every(life.start_ns + milliseconds_ns(busy.get("phase_ms", 0)), period, on, on)
        case "bursts":
            on, every = milliseconds_ns(busy["on_ms"]), milliseconds_ns(busy["every_ms"])
            jitter = float(busy.get("jitter", 0.5))
            at = life.start_ns + int(draw.random() * every)
            while True:
                yield Want(at, on, at + on)
                at += max(1, int(every * draw.uniform(1 - jitter, 1 + jitter)))
        case "random":
            rate, mean = float(busy["rate_hz"]), milliseconds_ns(busy["mean_ms"])
            at = life.start_ns
            while True:
                at += int(draw.expovariate(rate) * NS)
                yield Want(at, max(1, int(draw.expovariate(1 / mean))), NEVER, is_job=True)


def _every(first_ns: int, period_ns: int, length_ns: int, within_ns: int) -> Iterator[Want]:
    at = first_ns
    while length_ns:
        yield Want(at, length_ns, at + within_ns)
        at += period_ns
