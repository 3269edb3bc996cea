"""Spend over time as SVG in percent of its place: it needs no script and no redrawing at another width."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from math import floor, log10

from gpucost import format as fmt
from gpucost.units import NS_PER_DAY, NS_PER_HOUR
from gpucost.window import Interval

from gpucost_aggregator.reports.five_parts import Five, Shares
from gpucost_aggregator.ui.figures import PARTS, Scale

MOST_LABELS = 7
GAP = 0.1
WIDEST_GAP = 0.4
"""Of a bar's place, and at most so many percent of the plot, stays empty beside it."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A part of a bar; lengths are percent of the plot."""

    kind: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A step: where it reacts to the pointer, what is read then, and its row of the table."""

    x: str
    width: str
    spoken: str
    time: str
    cells: tuple[str, ...]
    total: str
    rects: tuple[Rect, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place in percent."""

    at: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class SpendChart:
    """All of it; *unit* is what a bar's height is."""

    bars: tuple[Bar, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    unit: str
    step: str
    spoken: str


def spend_chart(spend: Sequence[tuple[Interval, Shares]], scale: Scale, zone: tzinfo) -> SpendChart | None:
    """
    The chart of *spend* an hour in its five parts; None without any step.

    Rates, not sums, so that a shorter first or last step is no dip.
    """
    if not spend:
        return None
    rates = [_rate(scale.main(shares), stretch) for stretch, shares in spend]
    ticks = _ticks(max(1, *(rate.total for rate in rates)))
    top = ticks[-1]
    decimals = fmt.money_decimals(max(rate.total for rate in rates))
    begin, whole = spend[0][0].start_ns, spend[-1][0].end_ns - spend[0][0].start_ns
    places = [
        (100 * (stretch.start_ns - begin) / whole, 100 * stretch.length_ns / whole) for stretch, _ in spend
    ]
    bars = tuple(
        _bar(stretch, rate, place, (top, decimals, scale.in_money, zone))
        for (stretch, _), rate, place in zip(spend, rates, places, strict=True)
    )
    return SpendChart(
        bars=bars,
        y_ticks=tuple(Tick(_percent(100 * tick / top), _axis(tick, scale)) for tick in ticks),
        x_ticks=_x_ticks([stretch for stretch, _ in spend], places, zone),
        unit="USD an hour" if scale.in_money else "GPUs",
        step=fmt.duration(max(stretch.length_ns for stretch, _ in spend)),
        spoken=f"{len(bars)} steps; the table below has the same numbers",
    )


def _rate(five: Five, stretch: Interval) -> Five:
    return Five(*(part * NS_PER_HOUR // stretch.length_ns for part in five))


def _bar(
    stretch: Interval, rate: Five, place: tuple[float, float], how: tuple[int, int, bool, tzinfo]
) -> Bar:
    top, decimals, in_money, zone = how
    rects, below, gap = [], 0.0, min(GAP * place[1], WIDEST_GAP)
    for (kind, _), part in zip(PARTS, rate, strict=True):
        height = 100 * part / top
        if part:
            x, width = place[0] + gap / 2, place[1] - gap
            rects.append(
                Rect(kind, _percent(x), _percent(100 - below - height), _percent(width), _percent(height))
            )
        below += height
    cells = fmt.money_parts(rate, decimals) if in_money else [f"{part / NS_PER_HOUR:.2f}" for part in rate]
    total = fmt.money(rate.total, decimals) if in_money else f"{rate.total / NS_PER_HOUR:.2f}"
    time = fmt.interval(stretch.start_ns, stretch.end_ns, zone)
    said = ", ".join(
        f"{name} {cell}" for (_, name), cell, part in zip(PARTS, cells, rate, strict=True) if part
    )
    spoken = f"{time}\n{said}\nTotal {total}" if said else f"{time}\nnothing"
    return Bar(_percent(place[0]), _percent(place[1]), spoken, time, tuple(cells), total, tuple(rects))


def _ticks(most: int) -> list[int]:
    """From 0 in three to five round steps to *most* or a little more."""
    rough = most / 4
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [round(step * place) for place in range(int(-(-most // step)) + 1)]


def _axis(tick: int, scale: Scale) -> str:
    return fmt.money_axis(tick) if scale.in_money else f"{tick / NS_PER_HOUR:g}"


def _x_ticks(
    stretches: Sequence[Interval], places: Sequence[tuple[float, float]], zone: tzinfo
) -> tuple[Tick, ...]:
    long = stretches[-1].end_ns - stretches[0].start_ns > 2 * NS_PER_DAY
    every = -(-len(stretches) // MOST_LABELS)
    ticks = []
    for number in range(0, len(stretches), every):
        start = stretches[number].start_ns
        words = fmt.day(start, zone) if long else fmt.clock_time(start, zone).rsplit(" ", 1)[0]
        place = places[number][0]
        kind = "first" if not number else "last" if place > 93 else ""
        if (number // every) % 2:
            kind = f"{kind} alt".strip()
        ticks.append(Tick(_percent(place), words, kind))
    return tuple(ticks)


def _percent(number: float) -> str:
    return f"{number:.3f}%"
