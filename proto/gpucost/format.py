"""
Base units as people read them: money, GPU-hours, percent, durations, times.

The page and the command line share it. One column has one precision, so precision is asked for
once (``money_decimals``, ``hours_decimals``) and handed to every number of the column.
What is there but too small for its column is ``<$0.01``, never zero; zero is a measurement.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

from gpucost.apportion import apportion
from gpucost.units import NANODOLLARS_PER_USD, NS_PER_HOUR, NS_PER_SECOND

MINUS = "\u2212"
EN_DASH = "\u2013"
DOES_NOT_APPLY = EN_DASH

_MILLION_USD = 1_000_000 * NANODOLLARS_PER_USD
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def money_decimals(nanodollars: int) -> int:
    """Decimals of dollars for a column whose total is *nanodollars*: whole dollars from $1,000."""
    usd = abs(nanodollars)
    for bound, decimals in ((1_000, 0), (1, 2)):
        if usd >= bound * NANODOLLARS_PER_USD:
            return decimals
    return 4 if usd >= NANODOLLARS_PER_USD // 100 or not usd else 6


def money(nanodollars: int, decimals: int) -> str:
    """Dollars with *decimals* places (0 to 9), half to even: ``$1,234``, ``<$0.01``."""
    unit = NANODOLLARS_PER_USD // 10**decimals
    shown = _divide_half_even(abs(nanodollars), unit)
    if nanodollars and not shown:
        return f"<{_dollars(1, decimals)}" if nanodollars > 0 else f"{MINUS}<{_dollars(1, decimals)}"
    return (MINUS if nanodollars < 0 else "") + _dollars(shown, decimals)


def money_units(parts: Sequence[int], decimals: int) -> list[int]:
    """
    The parts of one scope in the smallest amount that *decimals* show: their total is rounded once and
    apportioned to them, so that any sum of them is also what is shown.
    """
    unit = NANODOLLARS_PER_USD // 10**decimals
    return apportion(_divide_half_even(sum(parts), unit), parts) if any(parts) else [0] * len(parts)


def money_of_units(units: int, decimals: int) -> str:
    """Dollars of an amount that ``money_units`` gave."""
    return _dollars(units, decimals)


def money_parts(parts: Sequence[int], decimals: int) -> list[str]:
    """
    The parts of one scope in nano-dollars, 0 or more: their total is rounded once and apportioned to them.

    So the texts add up to ``money(sum(parts), decimals)``; a part that gets nothing of it is ``<$0.01``.
    """
    return _texts(parts, money_units(parts, decimals), decimals)


def money_shares(units: int, parts: Sequence[int], decimals: int) -> list[str]:
    """The same for a part of a scope that has its own parts: *units* of it, as shown, are apportioned to them."""
    return _texts(parts, apportion(units, parts) if any(parts) else [0] * len(parts), decimals)


def _texts(parts: Sequence[int], shown: Sequence[int], decimals: int) -> list[str]:
    return [
        f"<{_dollars(1, decimals)}" if part and not units else _dollars(units, decimals)
        for part, units in zip(parts, shown, strict=True)
    ]


def money_sentence(nanodollars: int) -> str:
    """An amount for a sentence: ``$2.22 million`` where it is big, else as in a column of its own."""
    if abs(nanodollars) < _MILLION_USD:
        return money(nanodollars, money_decimals(nanodollars))
    hundredths = _divide_half_even(abs(nanodollars), _MILLION_USD // 100)
    return f"{MINUS if nanodollars < 0 else ''}{_dollars(hundredths, 2)} million"


def money_axis(nanodollars: int) -> str:
    """An amount at a tick of an axis: ``$15k``, ``$1.5k``, ``$500``, ``$0.02``."""
    for bound, letter in ((1_000_000, "M"), (1_000, "k")):
        unit = bound * NANODOLLARS_PER_USD
        if nanodollars >= unit:
            return f"${nanodollars / unit:.3g}{letter}"
    return "$0" if not nanodollars else f"${_plain(nanodollars / NANODOLLARS_PER_USD)}"


def price(nanodollars_per_hour: int | None) -> str:
    """A price of a GPU-hour to four places: ``$3.7664``; ``unpriced`` where there is none."""
    return "unpriced" if nanodollars_per_hour is None else money(nanodollars_per_hour, 4)


def hours_decimals(ns: int) -> int:
    """Decimals of GPU-hours for a column whose total is *ns* nanoseconds of GPU-time."""
    for bound, decimals in ((1_000, 0), (100, 1), (10, 2), (1, 3)):
        if ns >= bound * NS_PER_HOUR:
            return decimals
    return 4


def gpu_hours(ns: int, decimals: int) -> str:
    """GPU-time in hours with *decimals* places: ``31,495``, ``24.000``, ``<0.001``."""
    shown = _divide_half_even(ns * 10**decimals, NS_PER_HOUR)
    return f"<{_fixed(1, decimals)}" if ns and not shown else _fixed(shown, decimals)


def percent(part: int, whole: int, *, at_least: bool = False) -> str:
    """
    *part* of *whole* for people: ``0%``, ``<0.1%``, ``9.7%``, ``27%``, ``99.9%``, ``100%``; a dash of nothing.

    *at_least* adds a plus: some use is unknown. Only what is all of it reads 100%.
    """
    if not whole:
        return DOES_NOT_APPLY
    return _percent_text(part, whole) + ("+" if at_least and part != whole else "")


def _percent_text(part: int, whole: int) -> str:
    if part in (0, whole):
        return "0%" if not part else "100%"
    thousandths = _divide_half_even(part * 1_000, whole)
    if thousandths < 1:
        return "<0.1%"
    if thousandths < 100 or thousandths >= 990:
        return f"{min(thousandths, 999) / 10:.1f}%"
    return f"{_divide_half_even(part * 100, whole)}%"


def count(number: int, singular: str = "", plural: str = "") -> str:
    """A number with its noun: ``1 GPU``, ``2,000 GPUs``; without a plural, an s is added."""
    text = f"{number:,}"
    if not singular:
        return text
    return f"{text} {singular if number == 1 else plural or singular + 's'}"


def duration(ns: int) -> str:
    """A length of time in at most two units: ``45 s``, ``3 min 20 s``, ``6 h 52 min``, ``1 d 12 h``."""
    seconds = ns // NS_PER_SECOND
    if not seconds:
        return "<1 s" if ns else "0 s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (size, name), (smaller, smaller_name) in pairwise(units):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            rest //= smaller
            return f"{whole} {name} {rest} {smaller_name}" if rest else f"{whole} {name}"
    return f"{seconds} s"


def instant(at_ns: int, zone: tzinfo = UTC) -> str:
    """One moment: ``Sat 21 Nov 08:00 UTC``, with seconds where it has some."""
    at = _moment(at_ns, zone)
    return f"{_day(at)} {_clock(at)} {_zone_name(at)}"


def clock_time(at_ns: int, zone: tzinfo = UTC) -> str:
    """The time of day of a moment: ``08:00 UTC``, with seconds where it has some."""
    at = _moment(at_ns, zone)
    return f"{_clock(at)} {_zone_name(at)}"


def interval(start_ns: int, end_ns: int, zone: tzinfo = UTC) -> str:
    """From one moment to another, the end left out: ``Sat 21 Nov 08:00–09:00 UTC``."""
    start, end = _moment(start_ns, zone), _moment(end_ns, zone)
    if start.date() == end.date():
        return f"{_day(start)} {_clock(start)}{EN_DASH}{_clock(end)} {_zone_name(end)}"
    started = f"{_day(start)} {_clock(start)}"
    if start.year != end.year:
        started = f"{_day(start)} {start.year} {_clock(start)}"
    if start.utcoffset() != end.utcoffset():
        started = f"{started} {_zone_name(start)}"
    ended = (
        f"{_day(end)} {end.year} {_clock(end)}" if start.year != end.year else f"{_day(end)} {_clock(end)}"
    )
    return f"{started} {EN_DASH} {ended} {_zone_name(end)}"


def day(at_ns: int, zone: tzinfo = UTC) -> str:
    """The day of a moment: ``21 Nov``."""
    at = _moment(at_ns, zone)
    return f"{at.day} {_MONTHS[at.month - 1]}"


def calendar_day(text: str) -> str:
    """A date written YYYY-MM-DD: ``2 Jan 2026``; any other text stays as it is."""
    try:
        written = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{written.day} {_MONTHS[written.month - 1]} {written.year}"


def memory(size_bytes: int) -> str:
    """Memory held, in GiB: ``71 GiB``, ``0.4 GiB``."""
    gib = size_bytes / 2**30
    return f"{gib:,.0f} GiB" if gib >= 10 else f"{gib:.1f} GiB"


def gpu_model(model: str) -> str:
    """A GPU's name without its maker; the vendor's ``80GB`` gets the space that it has in print."""
    words = model.removeprefix("NVIDIA ").replace("-", " ").split()
    return " ".join(
        f"{word[:-2]} GB" if word.endswith("GB") and word[:-2].isdigit() else word for word in words
    )


def names(words: Sequence[str]) -> str:
    """A list in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _divide_half_even(number: int, by: int) -> int:
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole % 2 == 1))


def _fixed(units: int, decimals: int) -> str:
    whole, rest = divmod(units, 10**decimals)
    return f"{whole:,}.{rest:0{decimals}d}" if decimals else f"{whole:,}"


def _dollars(units: int, decimals: int) -> str:
    return f"${_fixed(units, decimals)}"


def _plain(number: float) -> str:
    text = f"{number:.2f}" if number >= 1 else f"{number:.9f}"
    return text.rstrip("0").rstrip(".")


def _moment(at_ns: int, zone: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_ns // NS_PER_SECOND)).astimezone(zone)


def _day(at: datetime) -> str:
    return f"{_WEEKDAYS[at.weekday()]} {at.day} {_MONTHS[at.month - 1]}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def _zone_name(at: datetime) -> str:
    return at.tzname() or "UTC"
