"""Reads what a process wants of its GPU."""

from __future__ import annotations

from simnode.document import Value
from simnode.world import Bursts, Busy, Constant, Duty, Nothing, Random

_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "constant": (("share",), ()),
    "duty": (("on_ms", "period_ms"), ("phase_ms",)),
    "bursts": (("on_ms", "every_ms"), ("jitter",)),
    "random": (("rate_hz", "mean_ms"), ()),
}
_SHORTEST_NS = 100_000
"""Patterns that change more often than this would cost the simulator a core."""


def read_busy(entry: Value | None) -> Busy:
    """A process that does not say wants nothing."""
    if entry is None:
        return Nothing()
    every_key = ("pattern", *sorted({key for keys in _KEYS.values() for part in keys for key in part}))
    if "pattern" not in entry.section("busy", every_key):
        entry.fail(f"busy needs `pattern`, one of {', '.join(_KEYS)}")
    pattern = entry.section("busy", every_key)["pattern"].choice("pattern", tuple(_KEYS))
    needed, optional = _KEYS[pattern]
    fields = entry.section(f"the pattern {pattern}", ("pattern", *needed, *optional))
    for key in needed:
        if key not in fields:
            entry.fail(f"the pattern {pattern} needs `{key}`")
    if pattern == "constant":
        return Constant(float(fields["share"].number("share", 0, 1)))
    if pattern == "duty":
        return _duty(fields)
    if pattern == "bursts":
        return _bursts(fields)
    if pattern == "random":
        return _random(fields)
    return Nothing()


def _period(value: Value, what: str) -> int:
    length = value.milliseconds(what)
    if length < _SHORTEST_NS:
        value.fail(f"{what} must be at least 0.1")
    return length


def _duty(fields: dict[str, Value]) -> Duty:
    period = _period(fields["period_ms"], "period_ms")
    on = fields["on_ms"].milliseconds("on_ms", above=False)
    if on > period:
        fields["on_ms"].fail("on_ms must not be more than period_ms")
    phase = fields["phase_ms"].milliseconds("phase_ms", above=False) if "phase_ms" in fields else 0
    return Duty(on, period, phase)


def _bursts(fields: dict[str, Value]) -> Bursts:
    every = _period(fields["every_ms"], "every_ms")
    jitter = float(fields["jitter"].number("jitter", 0, 1)) if "jitter" in fields else 0.5
    return Bursts(fields["on_ms"].milliseconds("on_ms"), every, jitter)


def _random(fields: dict[str, Value]) -> Random:
    rate = float(fields["rate_hz"].number("rate_hz", 0, 10_000, above=True))
    return Random(rate, fields["mean_ms"].milliseconds("mean_ms"))
