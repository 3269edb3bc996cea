"""Reports and slices as JSON."""

from collections.abc import Callable

from gpucost.cost_slice import COLUMNS, CostSlice
from gpucost.units import NS_PER_SECOND, POLICY_VERSION, hours_from_ns, usd_from_nanodollars
from gpucost.window import Interval, to_rfc3339

from gpucost_aggregator.api.as_fields import Fields, Subject, cannot_tell_fields, line_fields
from gpucost_aggregator.api.desk import Settled
from gpucost_aggregator.reports.idle import CannotTell
from gpucost_aggregator.reports.report import Report
from gpucost_aggregator.store.closed_rows import AdjustmentPage
from gpucost_aggregator.store.rows import QuarantineTotals, SlicePage, Sums

UNPRICED_NOTE = "GPU-time without a price; it is in the rows and in total already, and costs 0 there"
QUARANTINED_NOTE = "set aside as unacceptable; it stands apart and is not in total"


def frame(settled: Settled) -> Fields:
    """What every answer says of itself first: which time, how complete, and which filter."""
    period, known = settled.period, settled.known
    return {
        "window": _interval(period.answered),
        "requested": {"window": period.text} | _interval(period.asked),
        "cut_to_complete": period.is_cut,
        "window_seconds": None if known.window_ns is None else _seconds(known.window_ns),
        "complete_through": None
        if known.complete_through_ns is None
        else to_rfc3339(known.complete_through_ns),
        "silent_nodes": [{"cluster": node.cluster, "node": node.node} for node in known.silent],
        "time_zone": settled.ask.zone_name,
        "filter": {"cluster": list(settled.ask.clusters), "namespace": list(settled.ask.namespaces)},
        "hints": list(settled.names.hints),
    }


def report_body(settled: Settled, report: Report[Subject], fields: Callable[[Subject], Fields]) -> Fields:
    """A report's envelope."""
    remainders: Fields = {kind.value: line_fields(line) for kind, line in report.remainders.items()}
    remainders |= {"unpriced": _unpriced(report.total.sums), "quarantined": _quarantined(report.quarantined)}
    return frame(settled) | {
        "basis": settled.ask.basis.name,
        "basis_version": POLICY_VERSION,
        "currency": "USD",
        "rows": [fields(row.subject) | line_fields(row.line) for row in report.rows],
        "rows_in_all": report.rows_in_all,
        "remainders": remainders,
        "total": line_fields(report.total),
    }


def cannot_tell_body(rows: tuple[CannotTell, ...], limit: int) -> list[Fields]:
    """What nobody can say, the most expensive first."""
    return [cannot_tell_fields(row) for row in rows[:limit]]


def slices_body(settled: Settled, page: SlicePage) -> Fields:
    """A page of slices under the names of their CSV columns; None is not known, flags are a list."""
    return frame(settled) | {
        "slices": [_slice(row) for row in page.slices],
        "next_cursor": page.next_cursor,
    }


def adjustments_body(settled: Settled, page: AdjustmentPage) -> Fields:
    """A page of adjustments under the names of their CSV columns."""
    rows = [
        _slice(each.difference) | {"adjustment_reason": each.reason.value, "made_at_ns": str(each.made_at_ns)}
        for each in page.adjustments
    ]
    return frame(settled) | {"adjustments": rows, "next_cursor": page.next_cursor}


def _slice(row: CostSlice) -> Fields:
    return {name: text(row) or None for name, text in COLUMNS.items()} | {"flags": list(row.flags)}


def _interval(interval: Interval) -> Fields:
    return {"start": to_rfc3339(interval.start_ns), "end": to_rfc3339(interval.end_ns)}


def _seconds(ns: int) -> int | float:
    return ns // NS_PER_SECOND if ns % NS_PER_SECOND == 0 else ns / NS_PER_SECOND


def _unpriced(total: Sums) -> Fields:
    return {
        "charged_ns": str(total.unpriced_ns),
        "gpu_hours": hours_from_ns(total.unpriced_ns),
        "in_total": True,
        "note": UNPRICED_NOTE,
    }


def _quarantined(held: QuarantineTotals) -> Fields:
    return {
        "slices": held.slices,
        "batches": held.batches,
        "charged_ns": str(held.charged_ns),
        "gpu_hours": hours_from_ns(held.charged_ns),
        "cost_nanodollars": str(held.cost_nanodollars),
        "cost_usd": usd_from_nanodollars(held.cost_nanodollars),
        "reasons": dict(held.reasons),
        "in_total": False,
        "note": QUARANTINED_NOTE,
    }
