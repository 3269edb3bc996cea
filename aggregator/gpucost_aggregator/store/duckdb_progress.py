"""How far agents and nodes are: sequence numbers and closed windows, in the transaction of their rows."""

from collections.abc import Sequence

import duckdb
from gpucost.identity import NodeId

from gpucost_aggregator.store.closed_rows import ClosedBooks
from gpucost_aggregator.store.duckdb_arriving import agent_columns, arriving, same
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, NodeProgress
from gpucost_aggregator.store.slice_columns import numbers, texts


def write_sequence_numbers(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> None:
    """The greatest number of every agent in *batches*, where it passes the one that is there."""
    last: dict[AgentId, AcceptedBatch] = {}
    for batch in batches:
        if batch.agent not in last or last[batch.agent].sequence_number < batch.sequence_number:
            last[batch.agent] = batch
    columns = agent_columns(list(last)) | {
        "sequence_number": numbers([batch.sequence_number for batch in last.values()]),
        "sha256": texts([batch.sha256 for batch in last.values()]),
    }
    same_agent = same(("cluster", "node", "epoch"))
    with arriving(connection, columns):
        connection.execute(
            f"""
            UPDATE agents s SET sequence_number = a.sequence_number, sha256 = a.sha256 FROM arriving a
            WHERE {same_agent} AND a.sequence_number > s.sequence_number
            """
        )
        connection.execute(
            f"INSERT INTO agents BY NAME FROM arriving a WHERE NOT EXISTS (FROM agents s WHERE {same_agent})"
        )


def write_closed(connection: duckdb.DuckDBPyConnection, closed: Sequence[ClosedBooks]) -> None:
    """How far the aggregator closed books, and which are of nodes that are gone; a boot never heard has none."""
    for books in closed:
        connection.execute(
            """
            UPDATE progress SET
                closed_through_ns = greatest(closed_through_ns, ?),
                gone_at_ns = CASE WHEN ? THEN ? ELSE gone_at_ns END
            WHERE cluster = ? AND node = ? AND boot_id = ?
            """,
            [
                books.closed_through_ns,
                books.is_gone,
                books.closed_at_ns,
                books.node.cluster,
                books.node.node,
                books.boot_id,
            ],
        )


def write_progress(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> None:
    """How far every boot in *batches* is closed, and when it was heard; neither ever goes back."""
    latest: dict[tuple[NodeId, str], NodeProgress] = {}
    for batch in batches:
        boot = (batch.agent.node, batch.boot_id)
        before = latest.get(boot)
        latest[boot] = NodeProgress(
            batch.agent.node,
            batch.boot_id,
            batch.window_ns,
            max(batch.closed_through_ns, before.closed_through_ns if before else 0),
            max(batch.received_at_ns, before.last_heard_ns if before else 0),
        )
    rows = list(latest.values())
    columns = {
        "cluster": texts([row.node.cluster for row in rows]),
        "node": texts([row.node.node for row in rows]),
        "boot_id": texts([row.boot_id for row in rows]),
        "window_ns": numbers([row.window_ns for row in rows]),
        "closed_through_ns": numbers([row.closed_through_ns for row in rows]),
        "last_heard_ns": numbers([row.last_heard_ns for row in rows]),
    }
    same_boot = same(("cluster", "node", "boot_id"))
    with arriving(connection, columns):
        connection.execute(
            f"""
            UPDATE progress s SET
                closed_through_ns = greatest(s.closed_through_ns, a.closed_through_ns),
                last_heard_ns = greatest(s.last_heard_ns, a.last_heard_ns),
                gone_at_ns = NULL
            FROM arriving a WHERE {same_boot}
            """
        )
        connection.execute(
            f"""
            INSERT INTO progress BY NAME
            FROM arriving a WHERE NOT EXISTS (FROM progress s WHERE {same_boot})
            """
        )
