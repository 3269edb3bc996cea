"""
A slice as columns: to arrays on the way in, from a row of values on the way out.

Names are those of a slice as CSV; ``cost_nanodollars`` is left out, as it is the sum of its parts.
Arrays are how the embedded database takes many rows at once; this is numpy's only place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gpucost.cost_slice import Cost, CostSlice, Evidence, GpuTime, Measures, Price, SliceKey
from gpucost.identity import Device, Holder, HolderKind, NodeId

Array = np.ndarray[Any, np.dtype[Any]]

KEY_COLUMNS = (
    *("cluster", "node", "gpu_uuid", "gi", "ci", "profile", "placement", "resource"),
    *("holder_kind", "reason", "namespace", "pod", "pod_uid", "container", "window_start_ns"),
)
CONTENT_COLUMNS = (
    *("length_ns", "reserved_ns", "used_ns", "idle_ns", "unmeasured_ns", "cost_used_nanodollars"),
    *("cost_idle_nanodollars", "cost_unmeasured_nanodollars", "cost_reserved_nanodollars"),
    *("price_nanodollars_per_hour", "price_source", "price_date", "method", "watched_ns", "samples"),
    *("weight_numerator", "weight_denominator", "memory_held_bytes_max", "sm_active_ns", "tensor_active_ns"),
    *("dram_active_ns", "energy_uj", "requests", "flags", "policy_version"),
)
SLICE_COLUMNS = KEY_COLUMNS + CONTENT_COLUMNS

_TEXTS = frozenset(
    {
        *("cluster", "node", "gpu_uuid", "profile", "resource", "holder_kind", "reason", "namespace", "pod"),
        *("pod_uid", "container", "price_source", "price_date", "method", "flags", "policy_version"),
    }
)

NULLABLE_COLUMNS = frozenset(
    {
        *("gi", "ci", "placement", "price_nanodollars_per_hour", "memory_held_bytes_max", "sm_active_ns"),
        *("tensor_active_ns", "dram_active_ns", "energy_uj", "requests"),
    }
)


def slice_arrays(rows: Sequence[CostSlice]) -> dict[str, Array]:
    """
    *rows* as one array a column.

    Raises:
        OverflowError: A number does not fit 64 bits.
    """
    columns: list[Any] = list(zip(*map(_values, rows), strict=True)) or [()] * len(SLICE_COLUMNS)
    return {
        name: texts(column) if name in _TEXTS else numbers(column)
        for name, column in zip(SLICE_COLUMNS, columns, strict=True)
    }


def texts(column: Sequence[str | bytes]) -> Array:
    """A column of texts, or of bytes."""
    return np.array(column, dtype=object)


def numbers(column: Sequence[int | None]) -> Array:
    """A column of 64-bit integers; None becomes NULL."""
    if None not in column:
        return np.array(column, dtype=np.int64)
    # A masked array keeps the type where an array of objects would have it guessed from its first values.
    filled = np.array([0 if number is None else number for number in column], dtype=np.int64)
    return np.ma.MaskedArray(filled, mask=[number is None for number in column])


def places(count: int) -> Array:
    """The column 0, 1, 2, ..., *count* - 1, to name rows by."""
    return np.arange(count, dtype=np.int64)


def _values(row: CostSlice) -> tuple[Any, ...]:
    key, time, cost, price, measures = row.key, row.time, row.cost, row.price, row.measures
    node, device, holder = key.node, key.device, key.holder
    return (
        node.cluster,
        node.node,
        device.gpu_uuid,
        device.gi,
        device.ci,
        device.profile,
        device.placement,
        key.resource,
        holder.kind.value,
        holder.reason,
        holder.namespace,
        holder.pod,
        holder.pod_uid,
        holder.container,
        key.window_start_ns,
        row.length_ns,
        time.reserved_ns,
        time.used_ns,
        time.idle_ns,
        time.unmeasured_ns,
        cost.used_nanodollars,
        cost.idle_nanodollars,
        cost.unmeasured_nanodollars,
        cost.reserved_nanodollars,
        price.nanodollars_per_hour,
        price.source,
        price.date,
        row.evidence.method,
        row.evidence.watched_ns,
        row.evidence.samples,
        *row.weight,
        measures.memory_held_bytes_max,
        measures.sm_active_ns,
        measures.tensor_active_ns,
        measures.dram_active_ns,
        measures.energy_uj,
        measures.requests,
        " ".join(row.flags),
        row.policy_version,
    )


def slice_of(values: Mapping[str, Any]) -> CostSlice:
    """The slice that stands in a row of the database, by the names of its columns."""
    v = values
    return CostSlice(
        key=SliceKey(
            NodeId(v["cluster"], v["node"]),
            Device(v["gpu_uuid"], v["gi"], v["ci"], v["profile"], v["placement"]),
            v["resource"],
            Holder(
                HolderKind(v["holder_kind"]),
                v["namespace"],
                v["pod"],
                v["pod_uid"],
                v["container"],
                v["reason"],
            ),
            v["window_start_ns"],
        ),
        length_ns=v["length_ns"],
        time=GpuTime(v["reserved_ns"], v["used_ns"], v["idle_ns"], v["unmeasured_ns"]),
        cost=Cost(
            v["cost_used_nanodollars"],
            v["cost_idle_nanodollars"],
            v["cost_unmeasured_nanodollars"],
            v["cost_reserved_nanodollars"],
        ),
        price=Price(v["price_nanodollars_per_hour"], v["price_source"], v["price_date"]),
        evidence=Evidence(v["method"], v["watched_ns"], v["samples"]),
        measures=Measures(
            v["memory_held_bytes_max"],
            v["sm_active_ns"],
            v["tensor_active_ns"],
            v["dram_active_ns"],
            v["energy_uj"],
            v["requests"],
        ),
        weight=(v["weight_numerator"], v["weight_denominator"]),
        flags=tuple(v["flags"].split(" ")) if v["flags"] else (),
        policy_version=v["policy_version"],
    )
