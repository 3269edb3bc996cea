"""Reports and slices as CSV: exact integers, one precision, one line a fact."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from gpucost.cost_slice import COLUMNS, CostSlice
from gpucost.units import hours_from_ns

from gpucost_aggregator.api.as_fields import EXACT, Fields, Subject
from gpucost_aggregator.reports.line import Line
from gpucost_aggregator.reports.report import Report
from gpucost_aggregator.store.closed_rows import Adjustment


def _exactly(value: Callable[[Line], int]) -> Callable[[Line], str]:
    return lambda line: str(value(line))


CSV_LINE: dict[str, Callable[[Line], str]] = {
    **{name: _exactly(value) for name, value in EXACT.items()},
    "cost_usd": lambda line: _usd(line.sums.cost_nanodollars),
    "billed_usd": lambda line: _usd(line.billed.nanodollars),
    "gpu_hours": lambda line: f"{hours_from_ns(line.sums.charged_ns):.9f}",
    "efficiency": lambda line: "" if line.efficiency is None else f"{line.efficiency:.6f}",
    "efficiency_is_lower_bound": lambda line: str(line.is_lower_bound).lower(),
    "estimate": lambda line: str(line.is_estimate).lower(),
    "price_stale": lambda line: str(line.is_stale).lower(),
    "flags": lambda line: " ".join(sorted(line.group.flags)),
}
"""Columns of a line; dollars have nine decimals, so that they are exact too."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def report_csv(report: Report[Subject], fields: Callable[[Subject], Fields], names: Sequence[str]) -> str:
    """
    Rows, then remainders, then the total; ``line`` says which one it is.

    Summing a column over lines ``row`` and ``remainder`` gives the line ``total``.
    """
    lines: list[list[str]] = [["line", "remainder", *names, *CSV_LINE]]
    for row in report.rows:
        subject = fields(row.subject)
        lines.append(["row", "", *(_text(subject[name]) for name in names), *_line(row.line)])
    empty = [""] * len(names)
    lines += [["remainder", kind.value, *empty, *_line(line)] for kind, line in report.remainders.items()]
    lines.append(["total", "", *empty, *_line(report.total)])
    return _write(lines)


def slices_csv(rows: Iterable[CostSlice]) -> str:
    """Slices with the columns of the contract; empty is not known."""
    return _write([list(COLUMNS), *([text(row) for text in COLUMNS.values()] for row in rows)])


ADJUSTMENT_COLUMNS: dict[str, Callable[[Adjustment], str]] = {
    "adjustment_reason": lambda each: each.reason.value,
    "made_at_ns": lambda each: str(each.made_at_ns),
}
"""Columns of an adjustment behind those of its slice, whose ``reason`` is part of its key."""


def adjustments_csv(adjustments: Iterable[Adjustment]) -> str:
    """Adjustments: the columns of a slice with signed differences, then why and when."""
    lines: list[list[str]] = [[*COLUMNS, *ADJUSTMENT_COLUMNS]]
    for each in adjustments:
        row = [text(each.difference) for text in COLUMNS.values()]
        lines.append([*row, *(text(each) for text in ADJUSTMENT_COLUMNS.values())])
    return _write(lines)


def rows_csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Any *rows* under *names*; None is empty, and no text is a formula."""
    return _write([list(names), *([_text(value) for value in row] for row in rows)])


def _line(line: Line) -> list[str]:
    return [text(line) for text in CSV_LINE.values()]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(str(each) for each in value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _usd(nanodollars: int) -> str:
    return f"{nanodollars // 10**9}.{nanodollars % 10**9:09d}"


def _write(lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
