"""Adjustments of the embedded store: written by the one writer, read page by page, added to the slices' sums."""

from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from gpucost_aggregator.store.closed_rows import Adjustment, AdjustmentReason
from gpucost_aggregator.store.duckdb_arriving import arriving
from gpucost_aggregator.store.slice_columns import (
    KEY_COLUMNS,
    SLICE_COLUMNS,
    numbers,
    slice_arrays,
    slice_of,
    texts,
)

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

SUMMED = (
    *("reserved_ns", "used_ns", "idle_ns", "unmeasured_ns", "cost_used_nanodollars"),
    *("cost_idle_nanodollars", "cost_unmeasured_nanodollars", "cost_reserved_nanodollars"),
)
_TOLD_APART = ("price_nanodollars_per_hour", "price_source", "price_date", "method", "flags")
_GPU_WINDOW = ("cluster", "node", "gpu_uuid", "window_start_ns")


def write_adjustments(connection: duckdb.DuckDBPyConnection, adjustments: Sequence[Adjustment]) -> None:
    """Put *adjustments* behind those that are there, in the transaction that is open."""
    if not adjustments:
        return
    ((last,),) = connection.execute("SELECT coalesce(max(number), 0) FROM adjustments").fetchall()
    columns = slice_arrays([each.difference for each in adjustments]) | {
        "cost_nanodollars": numbers([each.difference.cost.nanodollars for each in adjustments]),
        "adjustment_reason": texts([each.reason.value for each in adjustments]),
        "made_at_ns": numbers([each.made_at_ns for each in adjustments]),
        "number": numbers(range(last + 1, last + 1 + len(adjustments))),
    }
    with arriving(connection, columns, "new_adjustments"):
        connection.execute("INSERT INTO adjustments BY NAME FROM new_adjustments")


def read_adjustments(ask: Ask, where: tuple[str, Sequence[Any]], after: int, limit: int) -> list[Adjustment]:
    """The first *limit* adjustments behind number *after* that fit *where*, a condition and its parameters."""
    condition, parameters = where
    rows = ask(
        f"""
        SELECT {", ".join(SLICE_COLUMNS)}, adjustment_reason, made_at_ns, number FROM adjustments
        WHERE {condition} AND number > ? ORDER BY number LIMIT ?
        """,
        [*parameters, after, limit],
    )
    return [
        Adjustment(
            slice_of(dict(zip(SLICE_COLUMNS, row, strict=True))), AdjustmentReason(reason), made_at, number
        )
        for *row, reason, made_at, number in rows
    ]


def has_adjustments(ask: Ask, where: tuple[str, Sequence[Any]]) -> bool:
    """Whether any adjustment fits *where*."""
    condition, parameters = where
    return bool(ask(f"SELECT 1 FROM adjustments WHERE {condition} LIMIT 1", parameters))


def adjusted_slices(where: tuple[str, Sequence[Any]]) -> tuple[str, list[Any]]:
    """
    What to sum over where there are adjustments, as a table in SQL with its parameters.

    Slices of GPUs and windows that nothing adjusts stand there as they are. Those of the others are added up with
    their adjustments for each key and price, and left out where nothing is left: a slice that was taken away tells
    neither when its group began nor its flags.
    """
    condition, parameters = where
    at = ", ".join(_GPU_WINDOW)
    told = ", ".join((*KEY_COLUMNS, *_TOLD_APART))
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMMED)
    nothing_left = " AND ".join(f"sum({name}) = 0" for name in ("length_ns", *SUMMED))
    columns = ", ".join((*KEY_COLUMNS, *_TOLD_APART, "length_ns", *SUMMED))
    text = f"""(
        WITH touched AS (SELECT DISTINCT {at} FROM adjustments WHERE {condition})
        SELECT {columns} FROM slices ANTI JOIN touched USING ({at}) WHERE {condition}
        UNION ALL BY NAME
        SELECT {told}, sum(length_ns) AS length_ns, {sums} FROM (
            SELECT {columns} FROM slices SEMI JOIN touched USING ({at}) WHERE {condition}
            UNION ALL
            SELECT {columns} FROM adjustments WHERE {condition}
        ) GROUP BY {told} HAVING NOT ({nothing_left})
    )"""
    return text, [*parameters] * 4
