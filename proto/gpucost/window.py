"""UTC windows: how time is cut, and where in its hour a window lies."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gpucost.units import NS_PER_HOUR, NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Interval:
    """Nanoseconds since 1970 UTC from *start_ns* on, up to and without *end_ns*."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Nanoseconds from start to end."""
        return self.end_ns - self.start_ns

    def cut(self, other: "Interval") -> "Interval | None":
        """What both have in common; None where that is nothing."""
        start, end = max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns)
        return Interval(start, end) if start < end else None


def check_window_ns(window_ns: int) -> int:
    """
    *window_ns* itself, if windows of that length fill an hour exactly.

    Raises:
        ValueError: They do not.
    """
    if window_ns <= 0 or NS_PER_HOUR % window_ns:
        raise ValueError(
            f"a window of {window_ns / NS_PER_SECOND:g} s does not divide an hour: take 10, 30, 60, ..."
        )
    return window_ns


def window_of(instant_ns: int, window_ns: int) -> Interval:
    """The window of length *window_ns* that *instant_ns* lies in."""
    start = instant_ns - instant_ns % window_ns
    return Interval(start, start + window_ns)


def hour_offset_ns(instant_ns: int) -> int:
    """How far into its UTC hour *instant_ns* lies."""
    return instant_ns % NS_PER_HOUR


def to_rfc3339(instant_ns: int) -> str:
    """*instant_ns* as people and APIs write it, in UTC, with as many decimals as it needs."""
    seconds, rest = divmod(instant_ns, NS_PER_SECOND)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{decimals}Z"


def from_rfc3339(text: str) -> int:
    """
    Nanoseconds since 1970 UTC of an RFC 3339 time.

    Raises:
        ValueError: Not such a time, or one without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone: end it with Z or an offset")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
