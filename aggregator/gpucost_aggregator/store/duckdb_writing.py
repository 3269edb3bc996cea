"""
One commit of the embedded store: what is new goes in, what is known is counted.

Everything here runs inside one transaction, which the caller begins and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
from gpucost.cost_slice import CostSlice, SliceKey

from gpucost_aggregator.store.duckdb_arriving import agent_columns, arriving, same
from gpucost_aggregator.store.duckdb_facts import LabelSets, write_facts
from gpucost_aggregator.store.duckdb_progress import write_progress, write_sequence_numbers
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport
from gpucost_aggregator.store.slice_columns import (
    CONTENT_COLUMNS,
    KEY_COLUMNS,
    SLICE_COLUMNS,
    numbers,
    places,
    slice_arrays,
    texts,
)

_COST = "cost_used_nanodollars{wide} + cost_idle_nanodollars + cost_unmeasured_nanodollars"
_ORIGIN = ("epoch", "sequence_number", "received_at_ns")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A slice and the batch that brought it."""

    row: CostSlice
    batch: AcceptedBatch
    reason: str = ""


def write_batches(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch], label_sets: LabelSets
) -> CommitReport:
    """All that *batches* bring, in the transaction that is open on *connection*."""
    report = _write_slices(connection, batches)
    _write_quarantine(connection, batches)
    _write_malformed(connection, batches)
    write_facts(connection, batches, label_sets)
    write_sequence_numbers(connection, batches)
    write_progress(connection, batches)
    return report


def _write_slices(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> CommitReport:
    arrivals = [Arrival(row, batch) for batch in batches for row in batch.slices]
    firsts: dict[SliceKey, Arrival] = {}
    differing: list[Arrival] = []
    for arrival in arrivals:
        first = firsts.setdefault(arrival.row.key, arrival)
        if first is not arrival and first.row != arrival.row:
            differing.append(arrival)
    known = _insert_unknown(connection, list(firsts.values())) if firsts else {}
    differing += [arrival for place, arrival in enumerate(firsts.values()) if known.get(place)]
    conflicts = _insert_new(connection, "conflicts", differing)
    written = len(firsts) - len(known)
    return CommitReport(written, len(arrivals) - written - conflicts, conflicts)


def _insert_unknown(connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival]) -> dict[int, bool]:
    """Insert those of *arrivals* whose keys are new; places of the others, with whether their content differs."""
    columns = slice_arrays([arrival.row for arrival in arrivals]) | {"place": places(len(arrivals))}
    names = ", ".join(SLICE_COLUMNS)
    with arriving(connection, columns):
        # The windows as a list of values: a min..max range is thirty times slower as soon as one row is old.
        known = connection.execute(
            f"""
            SELECT a.place, NOT ({same(CONTENT_COLUMNS)})
            FROM arriving a JOIN (
                FROM slices WHERE window_start_ns IN (SELECT DISTINCT window_start_ns FROM arriving)
            ) s ON {same(KEY_COLUMNS)}
            """
        ).fetchall()
        connection.execute(
            f"""
            INSERT INTO slices ({names}, cost_nanodollars) SELECT {names}, {_COST.format(wide="")}
            FROM arriving WHERE place NOT IN (SELECT unnest(?::BIGINT[]))
            """,
            [[place for place, _ in known]],
        )
    return dict(known)


def _insert_new(connection: duckdb.DuckDBPyConnection, table: str, arrivals: Sequence[Arrival]) -> int:
    """Put set-aside slices into *table*, each content once however often it comes; how many were new."""
    unlike = list({arrival.row: arrival for arrival in reversed(arrivals)}.values())[::-1]
    if not unlike:
        return 0
    columns = slice_arrays([arrival.row for arrival in unlike]) | {
        "epoch": texts([arrival.batch.agent.epoch for arrival in unlike]),
        "sequence_number": numbers([arrival.batch.sequence_number for arrival in unlike]),
        "received_at_ns": numbers([arrival.batch.received_at_ns for arrival in unlike]),
        "refused_because": texts([arrival.reason for arrival in unlike]),
    }
    kept = (*SLICE_COLUMNS, *_ORIGIN, *(("refused_because",) if table == "quarantine" else ()))
    with arriving(connection, columns):
        ((new,),) = connection.execute(
            f"""
            INSERT INTO {table} ({", ".join(kept)}, cost_nanodollars)
            SELECT {", ".join(kept)}, {_COST.format(wide="::HUGEINT")} FROM arriving a
            WHERE NOT EXISTS (
                FROM {table} s WHERE s.window_start_ns = a.window_start_ns AND {same(SLICE_COLUMNS)}
            )
            """
        ).fetchall()
    return int(new)


def _write_quarantine(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> None:
    refused = [Arrival(refused.row, batch, refused.reason) for batch in batches for refused in batch.refused]
    _insert_new(connection, "quarantine", refused)


def _write_malformed(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> None:
    malformed = [(batch, batch.malformed) for batch in batches if batch.malformed]
    if not malformed:
        return
    columns = agent_columns([batch.agent for batch, _ in malformed]) | {
        "sequence_number": numbers([batch.sequence_number for batch, _ in malformed]),
        "received_at_ns": numbers([batch.received_at_ns for batch, _ in malformed]),
        "refused_because": texts([content.reason for _, content in malformed]),
        "message": texts([content.message for _, content in malformed]),
    }
    same_batch = same(("cluster", "node", "epoch", "sequence_number"))
    with arriving(connection, columns):
        connection.execute(
            f"""
            INSERT INTO malformed_batches BY NAME
            FROM arriving a WHERE NOT EXISTS (FROM malformed_batches s WHERE {same_batch})
            """
        )
