"""Values under the names that they have in every answer."""

from collections.abc import Callable
from typing import TypeVar

from gpucost.units import hours_from_ns, usd_from_nanodollars

from gpucost_aggregator.reports.holding import Holding
from gpucost_aggregator.reports.idle import CannotTell, Idle, Now
from gpucost_aggregator.reports.line import Line
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.shadow import Shadow

Fields = dict[str, object]

Subject = TypeVar("Subject")

EXACT: dict[str, Callable[[Line], int]] = {
    "reserved_ns": lambda line: line.sums.reserved_ns,
    "used_ns": lambda line: line.sums.used_ns,
    "idle_ns": lambda line: line.sums.idle_ns,
    "unmeasured_ns": lambda line: line.sums.unmeasured_ns,
    "charged_ns": lambda line: line.sums.charged_ns,
    "unpriced_ns": lambda line: line.sums.unpriced_ns,
    "cost_nanodollars": lambda line: line.sums.cost_nanodollars,
    "cost_used_nanodollars": lambda line: line.sums.cost_used_nanodollars,
    "cost_idle_nanodollars": lambda line: line.sums.cost_idle_nanodollars,
    "cost_unmeasured_nanodollars": lambda line: line.sums.cost_unmeasured_nanodollars,
    "cost_reserved_nanodollars": lambda line: line.sums.cost_reserved_nanodollars,
    "billed_ns": lambda line: line.billed.ns,
    "billed_nanodollars": lambda line: line.billed.nanodollars,
}
"""Exact integers; a month of a big fleet passes 2^53, so JSON has them as strings."""

FOR_PEOPLE: dict[str, Callable[[Line], float | None]] = {
    "cost_usd": lambda line: usd_from_nanodollars(line.sums.cost_nanodollars),
    "cost_used_usd": lambda line: usd_from_nanodollars(line.sums.cost_used_nanodollars),
    "cost_idle_usd": lambda line: usd_from_nanodollars(line.sums.cost_idle_nanodollars),
    "cost_unmeasured_usd": lambda line: usd_from_nanodollars(line.sums.cost_unmeasured_nanodollars),
    "cost_reserved_usd": lambda line: usd_from_nanodollars(line.sums.cost_reserved_nanodollars),
    "billed_usd": lambda line: usd_from_nanodollars(line.billed.nanodollars),
    "gpu_hours": lambda line: hours_from_ns(line.sums.charged_ns),
    "used_gpu_hours": lambda line: hours_from_ns(line.sums.used_ns),
    "idle_gpu_hours": lambda line: hours_from_ns(line.sums.idle_ns),
    "unmeasured_gpu_hours": lambda line: hours_from_ns(line.sums.unmeasured_ns),
    "reserved_gpu_hours": lambda line: hours_from_ns(line.sums.reserved_ns),
    "unpriced_gpu_hours": lambda line: hours_from_ns(line.sums.unpriced_ns),
    "efficiency": lambda line: line.efficiency,
}
"""The same as numbers; never to be added up."""


def line_fields(line: Line) -> Fields:
    """Everything that a line says of itself; integers as strings, what is not known as None."""
    fields: Fields = {name: str(value(line)) for name, value in EXACT.items()}
    fields |= {name: value(line) for name, value in FOR_PEOPLE.items()}
    return fields | {
        "efficiency_is_lower_bound": line.is_lower_bound,
        "estimate": line.is_estimate,
        "price_stale": line.is_stale,
        "price_sources": sorted({price.source for price in line.group.prices}),
        "price_date_oldest": min((price.date for price in line.group.prices if price.date), default=None),
        "flags": sorted(line.group.flags),
    }


def namespace_fields(subject: Namespace) -> Fields:
    """Which namespace."""
    return {"cluster": subject.cluster, "namespace": subject.namespace}


def model_fields(subject: Model) -> Fields:
    """Which model, where, and who says so."""
    return {
        "model": subject.name,
        "model_source": subject.sources[0],
        "model_sources": list(subject.sources),
        "stacks": list(subject.stacks),
        "clusters": list(subject.clusters),
        "namespaces": list(subject.namespaces),
        "pods": subject.pods,
    }


def _holding_fields(subject: Holding) -> Fields:
    """Who has which device; None is what does not apply."""
    fields: Fields = {name: getattr(subject, name) or None for name in Holding.__slots__}
    return fields | {"device_name": subject.device_name, "can_be_held": subject.can_be_held}


def idle_fields(subject: Idle, time: Callable[[int], str]) -> Fields:
    """An idle holding; *time* writes its instants."""
    model = subject.model
    return _holding_fields(subject.holding) | {
        "gpu_model": subject.gpu_model or None,
        "model": model.name if model else None,
        "model_source": model.source if model else None,
        "owner_kind": subject.owner_kind or None,
        "owner_name": subject.owner_name or None,
        "idle_since": None if subject.since_ns is None else time(subject.since_ns),
        "idle_since_or_earlier": subject.since_or_earlier,
        "idle_now": subject.now,
        "shadow_now": subject.latest is Now.SHADOW,
        "never_used": subject.never_used,
        "idle_ignored": subject.ignored,
        "pace_nanodollars_per_hour": str(subject.pace_nanodollars_per_hour),
        "pace_usd_per_hour": usd_from_nanodollars(subject.pace_nanodollars_per_hour),
    }


def shadow_fields(subject: Shadow, time: Callable[[int], str]) -> Fields:
    """Who used a device that nobody gave to them; *time* writes its instants."""
    return _holding_fields(subject.holding) | {
        "gpu_model": subject.gpu_model or None,
        "owner_kind": subject.owner_kind or None,
        "owner_name": subject.owner_name or None,
        "first_use": time(subject.first_ns),
        "last_use": time(subject.last_ns),
        "holders": list(subject.holders),
        "holders_in_all": subject.holders_in_all,
        "holders_unknown": list(subject.unsure),
    }


def cannot_tell_fields(row: CannotTell) -> Fields:
    """Time of which nobody knows whether it was idle."""
    return _holding_fields(row.holding) | {
        "reason": row.reason,
        "gpu_model": row.gpu_model or None,
        "unknown_ns": str(row.unknown_ns),
        "unknown_gpu_hours": hours_from_ns(row.unknown_ns),
        "cost_unknown_nanodollars": str(row.unknown_nanodollars),
        "cost_unknown_usd": usd_from_nanodollars(row.unknown_nanodollars),
    }
