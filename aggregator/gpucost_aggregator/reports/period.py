"""The ``window`` parameter: which stretch of time a report is about."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gpucost.trouble import Reject
from gpucost.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval, from_rfc3339, to_rfc3339

from gpucost_aggregator.reports.completeness import Completeness

HINT = "take 1h, 24h, 7d, 30d, today, or START,END as RFC 3339 times such as 2026-11-21T08:00:00Z"

_LOST_PLUS = re.compile(r"[0-9] [0-9]{2}:?[0-9]{2}\b")
"""The zone of a time whose plus came as a space, as it does in an address."""

_LENGTH = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_INT64_MAX = (1 << 63) - 1
_UNITS_NS = {"m": 60 * NS_PER_SECOND, "h": NS_PER_HOUR, "d": NS_PER_DAY}


@dataclass(frozen=True, slots=True)
class Period:
    """
    What was asked and what is answered, both with the end left out.

    *answered* lies on the ledger's windows and holds complete ones only, so it may end earlier than *asked*,
    and may be empty. *text* is the parameter as it was given.
    """

    text: str
    asked: Interval
    answered: Interval

    @property
    def is_cut(self) -> bool:
        """Whether the answer ends before what was asked for."""
        return self.answered.end_ns < self.asked.end_ns


@dataclass(frozen=True, slots=True)
class Record:
    """When the books begin, None where they are empty; and whether anything *in_window* was recorded."""

    begins_ns: int | None = None
    in_window: bool = True


def hint(text: str) -> str:
    """What to write instead of *text*, which means no period."""
    if _LOST_PLUS.search(text):
        return f"in an address write + as %2B, for example 08:00:00%2B01:00; {HINT}"
    return HINT


def zone_named(name: str) -> tzinfo:
    """
    The time zone of that IANA name.

    Raises:
        Reject: There is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Reject(f"{name!r} is not a time zone: take an IANA name such as Europe/Berlin") from None


def period(text: str, zone: tzinfo, now_ns: int, known: Completeness) -> Period:
    """
    The period that *text* means at *now_ns*.

    A length ends at the last complete window, so that ``1h`` is an hour of whole windows;
    ``today`` begins at midnight in *zone*.

    Raises:
        Reject: *text* is none of the forms, or its end is not after its start.
    """
    step = known.step_ns
    now = now_ns - now_ns % step
    through = now if known.complete_through_ns is None else known.complete_through_ns
    if length := _LENGTH.fullmatch(text):
        length_ns = int(length[1]) * _UNITS_NS[length[2]]
        asked = Interval(max(0, through - length_ns), through)
    elif text == "today":
        asked = Interval(_midnight(now_ns, zone), now)
    else:
        asked = _from_pair(text)
    start, end = _aligned(asked.start_ns, step), _aligned(min(asked.end_ns, through), step)
    return Period(text, asked, Interval(start, max(start, end)))


def _from_pair(text: str) -> Interval:
    pair = re.split("[,/]", text)
    if len(pair) != 2:
        raise Reject(f"{text!r} is not a window")
    start, end = _parsed(from_rfc3339, pair[0]), _parsed(from_rfc3339, pair[1])
    if start >= end:
        raise Reject(f"the window ends at {to_rfc3339(end)}, which is not after its start")
    return Interval(start, end)


def _parsed(parse: Callable[[str], int], text: str) -> int:
    try:
        instant = parse(text.strip())
    except (ValueError, OverflowError):
        raise Reject(f"{text!r} is not an RFC 3339 time with a zone") from None
    if instant < 0:
        raise Reject(f"{text!r} lies before 1970")
    if instant > _INT64_MAX:
        raise Reject(f"{text!r} lies after 2262, where nanoseconds since 1970 pass 64 bits")
    return instant


def _aligned(instant_ns: int, step_ns: int) -> int:
    return instant_ns - instant_ns % step_ns


def _midnight(now_ns: int, zone: tzinfo) -> int:
    now = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now_ns // NS_PER_SECOND)).astimezone(zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()) * NS_PER_SECOND
