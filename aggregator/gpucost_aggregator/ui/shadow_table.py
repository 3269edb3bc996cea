"""The table of who used GPUs that nobody gave to them."""

from dataclasses import dataclass

from gpucost import format as fmt

from gpucost_aggregator.reports.reasons import words_of
from gpucost_aggregator.reports.report import Report, Row
from gpucost_aggregator.reports.shadow import Shadow
from gpucost_aggregator.ui.devices import board
from gpucost_aggregator.ui.figures import Scale
from gpucost_aggregator.ui.surroundings import Surroundings

MOST_ROWS = 15
MOST_NAMES = 2
"""Of the pods that hold a device; a row has two lines."""


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """Somebody on a device as texts; *given* is who had been given it."""

    name: str
    detail: str
    device: str
    device_detail: str
    hours: str
    cost: str
    lasting: str
    when: str
    given: str
    given_detail: str


@dataclass(frozen=True, slots=True)
class ShadowTable:
    """All of the section; *beyond* says how many rows are not shown."""

    rows: tuple[ShadowRow, ...]
    beyond: str
    exports: tuple[tuple[str, str], ...]


def shadow_table(found: Report[Shadow], scale: Scale, around: Surroundings) -> ShadowTable | None:
    """The table of *found*; None where there is nothing to show."""
    if not found.rows:
        return None
    most = len(found.rows) if found.rows_in_all <= MOST_ROWS else MOST_ROWS
    return ShadowTable(
        rows=tuple(_row(row, scale, around) for row in found.rows[:most]),
        beyond="" if most == found.rows_in_all else f" · {most} of {found.rows_in_all:,} shown",
        exports=(("CSV", around.export("shadow", "csv")), ("JSON", around.export("shadow", "json"))),
    )


def _row(row: Row[Shadow], scale: Scale, around: Surroundings) -> ShadowRow:
    subject, holding = row.subject, row.subject.holding
    name, place = "Host processes", ["outside of Kubernetes"]
    if holding.is_held:
        name, place = holding.pod, [holding.namespace]
        if subject.owner_name:
            place.append(f"{subject.owner_kind} {subject.owner_name}")
    if len(around.clusters) > 1:
        place.append(holding.cluster)
    given, more = _given(subject)
    sums = row.line.sums
    return ShadowRow(
        name=name,
        detail=" · ".join(place),
        device=holding.device_name,
        device_detail=f"{holding.node} · {board(subject.gpu_model)}",
        hours=scale.hours(sums.used_ns),
        cost=scale.amount_or_word(sums) if scale.in_money else fmt.price(None),
        lasting=f"within {fmt.duration(subject.last_ns - subject.first_ns)}",
        when=f"from {fmt.instant(subject.first_ns, around.zone)}",
        given=given,
        given_detail=more,
    )


def _given(subject: Shadow) -> tuple[str, str]:
    """Who had been given the device, and what else is to be known of that."""
    names = subject.holders[:MOST_NAMES]
    reasons = "; ".join(words_of(reason) for reason in subject.unsure)
    if reasons and not names and not subject.free:
        return "unknown", reasons
    more = subject.holders_in_all - len(names)
    beside = fmt.names([*names[1:], *([f"{more} more"] if more else [])])
    said = [f"and {beside}"] if beside else []
    said += [f"unknown for some of this time: {reasons}"] if reasons else []
    return f"given to {names[0] if names else 'nobody'}", "; ".join(said)
