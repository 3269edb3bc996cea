"""The quarantine of the embedded store: its list, its numbers, and what a replay changes."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
from gpucost.identity import NodeId
from gpucost.trouble import Reject

from gpucost_aggregator.store.duckdb_adjustments import Ask
from gpucost_aggregator.store.duckdb_facts import LabelSets
from gpucost_aggregator.store.duckdb_writing import write_replayed
from gpucost_aggregator.store.message_shelf import MessageShelf
from gpucost_aggregator.store.quarantine_rows import (
    QuarantineId,
    QuarantinePage,
    QuarantineScope,
    Replay,
    SetAside,
)
from gpucost_aggregator.store.rows import AgentId, CommitReport
from gpucost_aggregator.store.slice_columns import SLICE_COLUMNS, slice_of

_TABLES = ("quarantine", "malformed_batches")
_ABOUT = (
    *("quarantine_id", "cluster", "node", "epoch", "sequence_number", "received_at_ns", "refused_because"),
    *("tried_at_ns", "replayed_at_ns"),
)
_INT64_MAX = (1 << 63) - 1
_CURSOR = re.compile(r"q1-(-?[0-9]{1,19})-([sb])([0-9]{1,18})")


def number_new(connection: duckdb.DuckDBPyConnection) -> None:
    """Give what was set aside in the open transaction its numbers; they only grow."""
    for table in _TABLES:
        connection.execute(
            f"""
            UPDATE {table} SET quarantine_id = new.number FROM (
                SELECT rowid AS place, row_number() OVER (ORDER BY rowid)
                    + (SELECT coalesce(max(quarantine_id), 0) FROM {table}) AS number
                FROM {table} WHERE quarantine_id IS NULL
            ) new WHERE {table}.rowid = new.place
            """
        )


def set_aside(ask: Ask, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
    """The first *limit* of *scope* behind *cursor*, in the order in which they came."""
    after = None if cursor is None else _place_from(cursor)
    where, parameters = _where(scope)
    wanted = " UNION ALL ".join(
        f"SELECT received_at_ns, {place} AS kind, quarantine_id AS number FROM {table} WHERE {where}"
        for place, table in enumerate(_TABLES)
    )
    behind = "" if after is None else "WHERE (received_at_ns, kind, number) > (?, ?, ?)"
    places = ask(
        f"FROM ({wanted}) {behind} ORDER BY received_at_ns, kind, number LIMIT ?",
        [*parameters, *parameters, *(after or ()), limit + 1],
    )
    ids = [QuarantineId(bool(kind), number) for _, kind, number in places[:limit]]
    found = {each.id: each for each in by_id(ask, ids)}
    entries = tuple(found[each] for each in ids if each in found)
    more = len(places) > limit
    return QuarantinePage(entries, f"q1-{places[limit - 1][0]}-{ids[-1]}" if more else None)


def by_id(ask: Ask, ids: Iterable[QuarantineId]) -> list[SetAside]:
    """Those of *ids* that are there, whether they wait or not, in the order of their ids."""
    listed = list(ids)
    slices = [each.number for each in listed if not each.is_batch]
    batches = [each.number for each in listed if each.is_batch]
    return sorted([*_slices(ask, slices), *_batches(ask, batches)], key=lambda each: each.id)


def message_of(ask: Ask, shelf: MessageShelf, number: int) -> bytes | None:
    """The message of the malformed batch *number*; None where there is none."""
    rows = ask("SELECT message_sha256, message FROM malformed_batches WHERE quarantine_id = ?", [number])
    if not rows:
        return None
    sha256, message = rows[0]
    return bytes(message) if sha256 is None else shelf.read(bytes(sha256))


def write_replays(
    connection: duckdb.DuckDBPyConnection, replays: Sequence[Replay], label_sets: LabelSets, at_ns: int
) -> CommitReport:
    """
    Keep what *replays* accept and mark them, in the transaction that is open on *connection*.

    What was replayed before is left as it is, so that a replay counts once however often it is asked for.
    """
    waiting = [each for each in replays if _waits(connection, each.id)]
    batches = [each.batch for each in waiting if each.batch is not None]
    report = write_replayed(connection, batches, label_sets) if batches else CommitReport(0, 0, 0)
    number_new(connection)
    for each in waiting:
        table = _TABLES[each.id.is_batch]
        if each.reason:
            connection.execute(
                f"UPDATE {table} SET refused_because = ?, tried_at_ns = ? WHERE quarantine_id = ?",
                [each.reason, at_ns, each.id.number],
            )
        else:
            connection.execute(
                f"UPDATE {table} SET replayed_at_ns = ? WHERE quarantine_id = ?", [at_ns, each.id.number]
            )
    return report


def _waits(connection: duckdb.DuckDBPyConnection, wanted: QuarantineId) -> bool:
    rows = connection.execute(
        f"SELECT replayed_at_ns FROM {_TABLES[wanted.is_batch]} WHERE quarantine_id = ?", [wanted.number]
    ).fetchall()
    return rows == [(None,)]


def _where(scope: QuarantineScope) -> tuple[str, list[Any]]:
    text, parameters = "received_at_ns >= ? AND received_at_ns < ?", [scope.since_ns, scope.until_ns]
    everything: list[Any] = [*parameters]
    for column, allowed in (("cluster", scope.clusters), ("node", scope.nodes)):
        if allowed:
            text += f" AND {column} IN ({', '.join('?' for _ in allowed)})"
            everything += allowed
    if scope.reason:
        text += " AND contains(lower(refused_because), lower(?))"
        everything.append(scope.reason)
    if not scope.replayed:
        text += " AND replayed_at_ns IS NULL"
    return text, everything


def _place_from(cursor: str) -> tuple[int, int, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None or abs(int(found[1])) > _INT64_MAX:
        raise Reject("this cursor is none of the quarantine's: begin without one")
    return int(found[1]), int(found[2] == "b"), int(found[3])


def _slices(ask: Ask, numbers: Sequence[int]) -> list[SetAside]:
    if not numbers:
        return []
    rows = ask(
        f"""
        SELECT {", ".join(_ABOUT)}, {", ".join(SLICE_COLUMNS)} FROM quarantine
        WHERE quarantine_id IN (SELECT unnest(?::BIGINT[]))
        """,
        [numbers],
    )
    return [
        _entry(row, is_batch=False, row=slice_of(dict(zip(SLICE_COLUMNS, row[len(_ABOUT) :], strict=True))))
        for row in rows
    ]


def _batches(ask: Ask, numbers: Sequence[int]) -> list[SetAside]:
    if not numbers:
        return []
    rows = ask(
        f"""
        SELECT {", ".join(_ABOUT)}, coalesce(message_bytes, octet_length(message)) FROM malformed_batches
        WHERE quarantine_id IN (SELECT unnest(?::BIGINT[]))
        """,
        [numbers],
    )
    return [_entry(row, is_batch=True, message_bytes=row[-1]) for row in rows]


def _entry(values: Sequence[Any], *, is_batch: bool, **own: Any) -> SetAside:
    number, cluster, node, epoch, sequence_number, received_at_ns, reason, tried, replayed = values[
        : len(_ABOUT)
    ]
    return SetAside(
        QuarantineId(is_batch, number),
        AgentId(NodeId(cluster, node), epoch),
        sequence_number,
        received_at_ns,
        reason,
        tried_at_ns=tried,
        replayed_at_ns=replayed,
        **own,
    )
