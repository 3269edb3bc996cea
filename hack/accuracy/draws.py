"""What a scenario is drawn of: busy patterns, processes, pods, and arrivals one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

Entry = dict[str, Any]
Span = tuple[float, float | None]
"""From one second of the scenario to another; None is never."""


def seconds(value: float) -> str:
    """A time as a scenario writes it, to the millisecond."""
    return f"{round(value * 1000)}ms"


def busy(random: Random, most: float) -> Entry:
    """A pattern that wants at most *most* of its GPU in the mean."""
    share = random.uniform(0.15, 1.0) * most
    kind = random.choice(("constant", "duty", "bursts", "random"))
    if kind == "constant":
        return {"pattern": kind, "share": round(share, 3)}
    if kind == "random":
        mean = random.randint(15, 120)
        return {"pattern": kind, "rate_hz": round(share * 1000 / mean, 3), "mean_ms": mean}
    period = random.randint(90, 1100)
    on = max(1, round(share * period))
    if kind == "duty":
        return {"pattern": kind, "on_ms": on, "period_ms": period, "phase_ms": random.randrange(period)}
    return {"pattern": kind, "on_ms": on, "every_ms": period}


def process(place: Entry, pattern: Entry, memory_mib: int = 2_000) -> Entry:
    """A process for as long as its container lives."""
    return {**place, "memory_mib": memory_mib, "busy": pattern}


def pod(name: str, span: Span, holds: list[Any], processes: list[Entry], **more: Any) -> Entry:
    """A pod with one container."""
    begin, end = span
    made: Entry = {"name": name, "start": seconds(begin)}
    if end is not None:
        made["end"] = seconds(end)
    container: Entry = {"name": "main", "gpus": holds, "processes": processes}
    if "claims" in more:
        container["claims"] = more.pop("claims")
    return {**made, **more, "containers": [container]}


def arrivals(
    random: Random, begin: float, end: float, life: Span, gap: Span
) -> Iterator[tuple[float, float]]:
    """Spans one after the other between two instants, with a drawn life and a drawn gap before each."""
    at = begin + random.uniform(*_bounds(gap))
    while True:
        last = at + random.uniform(*_bounds(life))
        if last >= end:
            return
        yield round(at, 3), round(last, 3)
        at = last + random.uniform(*_bounds(gap))


def _bounds(span: Span) -> tuple[float, float]:
    low, high = span
    assert high is not None
    return low, high
