"""A report: rows, what no row is paid for, and a total that is exactly both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from gpucost.identity import HolderKind

from gpucost_aggregator.reports.basis import Basis, Billed, bill
from gpucost_aggregator.reports.line import Group, Line, join_groups
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.store.rows import QuarantineTotals

Subject = TypeVar("Subject")


class Remainder(StrEnum):
    """What belongs to no row. The last four occur only where a report leaves rows out."""

    UNALLOCATED = "unallocated"
    UNOBSERVED = "unobserved"
    UNATTRIBUTED = "unattributed"
    HOST = "host"
    NOT_IDLE = "not_idle"
    GIVEN = "given"
    NOT_SHOWN = "not_shown"


ALWAYS = (Remainder.UNALLOCATED, Remainder.UNOBSERVED, Remainder.UNATTRIBUTED, Remainder.HOST)
"""Remainders that every report states, nothing or not."""

OF_KIND = {
    HolderKind.UNALLOCATED.value: Remainder.UNALLOCATED,
    HolderKind.UNOBSERVED.value: Remainder.UNOBSERVED,
    HolderKind.UNATTRIBUTED.value: Remainder.UNATTRIBUTED,
    HolderKind.HOST.value: Remainder.HOST,
}
"""Holders that are no container, by the text that their kind has in a total's key."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a report; *limit* is the most rows that it shows."""

    period: Period
    basis: Basis
    limit: int


@dataclass(frozen=True, slots=True)
class Row(Generic[Subject]):
    """Somebody, and what they pay."""

    subject: Subject
    line: Line


@dataclass(frozen=True, slots=True)
class Report(Generic[Subject]):
    """
    Rows with the most expensive first.

    The sum of rows and remainders is the total, in every field, and that is the sum of all slices in the
    period and filter. What waits in the quarantine stands apart and is in none of them.
    """

    question: Question
    rows: tuple[Row[Subject], ...]
    remainders: Mapping[Remainder, Line]
    total: Line
    quarantined: QuarantineTotals
    rows_in_all: int


def close(
    question: Question,
    rows: Sequence[tuple[Subject, Group]],
    remainders: Mapping[Remainder, Group],
    quarantined: QuarantineTotals,
) -> Report[Subject]:
    """Bill everybody on the question's basis, cut at its limit, and add it all up."""
    at_ns = question.period.answered.end_ns
    left = {kind: remainders.get(kind, Group()) for kind in Remainder if kind in ALWAYS or kind in remainders}
    groups = [group for _, group in rows] + list(left.values())
    billed = bill(question.basis, [group.sums for group in groups])
    lines = [Line(group, amount, at_ns) for group, amount in zip(groups, billed, strict=True)]
    shown = [Row(subject, line) for (subject, _), line in zip(rows, lines, strict=False)]
    closing = dict(zip(left, lines[len(rows) :], strict=True))
    if len(shown) > question.limit:
        closing[Remainder.NOT_SHOWN] = _add([row.line for row in shown[question.limit :]], at_ns)
    return Report(
        question=question,
        rows=tuple(shown[: question.limit]),
        remainders=closing,
        total=_add(lines, at_ns),
        quarantined=quarantined,
        rows_in_all=len(shown),
    )


def only_of_holders(report: Report[Subject]) -> Report[Subject]:
    """*report* without the remainders that belong to no namespace, for a reader whose they can not be."""
    left = {kind: line for kind, line in report.remainders.items() if kind not in ALWAYS}
    return replace(report, remainders=left)


def by_cost(group: Group) -> tuple[int, int]:
    """Sorts the most expensive first; without prices, the longest."""
    return (-group.sums.cost_nanodollars, -group.sums.charged_ns)


def _add(lines: Sequence[Line], at_ns: int) -> Line:
    billed = Billed(sum(line.billed.ns for line in lines), sum(line.billed.nanodollars for line in lines))
    return Line(join_groups(line.group for line in lines), billed, at_ns)
