"""
One commit of the embedded store: what is new goes in, what is known is counted.

Everything here runs inside one transaction, which the caller begins and ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import duckdb
from gpucost.cost_slice import SliceKey
from gpucost.identity import NodeId

from gpucost_aggregator.store.closed_rows import AdjustmentReason, ClosedBooks
from gpucost_aggregator.store.duckdb_arriving import agent_columns, arriving, same
from gpucost_aggregator.store.duckdb_facts import LabelSets, write_facts
from gpucost_aggregator.store.duckdb_held_time import Epochs, HeldTime, find_held_time
from gpucost_aggregator.store.duckdb_lost_time import Arrival, find_lost_time, keep_lost_time, late_places
from gpucost_aggregator.store.duckdb_progress import write_closed, write_progress, write_sequence_numbers
from gpucost_aggregator.store.duckdb_shared_gpus import write_shared_gpus
from gpucost_aggregator.store.message_shelf import digest_of
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, CommitReport, together
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
_NOTHING_HELD = HeldTime()


def write_batches(
    connection: duckdb.DuckDBPyConnection,
    batches: Sequence[AcceptedBatch],
    label_sets: LabelSets,
    epochs: Epochs,
) -> CommitReport:
    """All that *batches* bring, in the transaction that is open on *connection*."""
    reports = []
    for part in _one_epoch_each(batches):
        held = find_held_time(connection, part, epochs)
        arrivals = [Arrival(row, batch) for batch in part for row in batch.slices]
        reports.append(_write_slices(connection, [*arrivals, *held.rest], held))
        write_sequence_numbers(connection, part)
        write_progress(connection, part)
    _write_quarantine(connection, batches)
    _write_malformed(connection, batches)
    write_facts(connection, batches, label_sets)
    return together(reports)


def write_replayed(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch], label_sets: LabelSets
) -> CommitReport:
    """What *batches* from the quarantine bring; their numbers and progress were kept when they came."""
    report = _write_slices(connection, [Arrival(row, batch) for batch in batches for row in batch.slices])
    _write_quarantine(connection, batches)
    write_facts(connection, batches, label_sets)
    return report


def write_closed_books(connection: duckdb.DuckDBPyConnection, closed: Sequence[ClosedBooks]) -> CommitReport:
    """Books that the aggregator closes itself; they have no sequence numbers."""
    report = _write_slices(
        connection, [Arrival(row, _as_batch(books)) for books in closed for row in books.slices]
    )
    write_closed(connection, closed)
    return report


def _as_batch(books: ClosedBooks) -> AcceptedBatch:
    return AcceptedBatch(
        agent=AgentId(books.node, ""),
        boot_id=books.boot_id,
        sequence_number=0,
        sha256=b"",
        window_ns=books.window_ns,
        closed_through_ns=books.closed_through_ns,
        received_at_ns=books.closed_at_ns,
        slices=(),
    )


def _one_epoch_each(batches: Sequence[AcceptedBatch]) -> Iterator[list[AcceptedBatch]]:
    """*batches* in their order, cut where a second epoch of one node begins; nearly always in one part."""
    part: list[AcceptedBatch] = []
    epochs: dict[NodeId, str] = {}
    for batch in batches:
        if epochs.setdefault(batch.agent.node, batch.agent.epoch) != batch.agent.epoch:
            yield part
            part, epochs = [], {batch.agent.node: batch.agent.epoch}
        part.append(batch)
    if part:
        yield part


def _write_slices(
    connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival], held: HeldTime = _NOTHING_HELD
) -> CommitReport:
    firsts: dict[SliceKey, Arrival] = {}
    differing: list[Arrival] = []
    for arrival in arrivals:
        first = firsts.setdefault(arrival.row.key, arrival)
        if first is not arrival and first.row != arrival.row:
            differing.append(arrival)
    known, report = (
        _insert_unknown(connection, list(firsts.values()), held) if firsts else ({}, CommitReport(0, 0, 0))
    )
    differing += [arrival for place, arrival in enumerate(firsts.values()) if known.get(place)]
    conflicts = _insert_new(connection, "conflicts", differing)
    return replace(report, duplicates=len(arrivals) - report.written - conflicts, conflicts=conflicts)


def _insert_unknown(
    connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival], held: HeldTime
) -> tuple[dict[int, bool], CommitReport]:
    """
    Insert those of *arrivals* whose keys are new; places of the others, with whether their content differs.

    A key of time that is *held* is not new either, and its content another account of that time.
    Where time was closed as lost before, its true slices are adjustments, and the lost time is taken away by others.
    """
    starts = numbers([arrival.row.key.window_start_ns for arrival in arrivals])
    columns = slice_arrays([arrival.row for arrival in arrivals]) | {
        "place": places(len(arrivals)),
        "aligned_ns": starts - starts % numbers([arrival.batch.window_ns for arrival in arrivals]),
    }
    names = ", ".join(SLICE_COLUMNS)
    with arriving(connection, columns):
        # The windows as a list of values: a min..max range is thirty times slower as soon as one row is old.
        known = dict(
            connection.execute(
                f"""
                SELECT a.place, NOT ({same(CONTENT_COLUMNS)})
                FROM arriving a JOIN (
                    SELECT {names} FROM slices
                    WHERE window_start_ns IN (SELECT DISTINCT window_start_ns FROM arriving)
                    UNION ALL SELECT {names} FROM adjustments
                    WHERE adjustment_reason = '{AdjustmentReason.LATE}'
                ) s ON {same(KEY_COLUMNS)}
                """
            ).fetchall()
        )
        if held.windows:
            for place, arrival in enumerate(arrivals):
                if held.covers(arrival):
                    known.setdefault(place, True)
        lost = find_lost_time(connection, arrivals)
        late = [place for place in late_places(connection, arrivals, lost) if place not in known]
        connection.execute(
            f"""
            INSERT INTO slices ({names}, cost_nanodollars) SELECT {names}, {_COST.format(wide="")}
            FROM arriving WHERE place NOT IN (SELECT unnest(?::BIGINT[]))
            """,
            [[*known, *late]],
        )
        shared = write_shared_gpus(connection, [*known])
    new = [arrival for place, arrival in enumerate(arrivals) if place not in known]
    keep_lost_time(connection, new, [arrivals[place] for place in late], lost)
    return known, CommitReport(len(new), 0, 0, len(late), shared)


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
        "message": texts([b""] * len(malformed)),
        "message_sha256": texts([digest_of(content.message) for _, content in malformed]),
        "message_bytes": numbers([len(content.message) for _, content in malformed]),
    }
    same_batch = same(("cluster", "node", "epoch", "sequence_number"))
    with arriving(connection, columns):
        connection.execute(
            f"""
            INSERT INTO malformed_batches BY NAME
            FROM arriving a WHERE NOT EXISTS (FROM malformed_batches s WHERE {same_batch})
            """
        )
