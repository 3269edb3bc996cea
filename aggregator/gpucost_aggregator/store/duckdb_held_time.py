"""
Time that another spool's books hold, in the embedded store: what of an arriving batch is told a second time.

Books go on where they end, so that only a batch that begins before that is told twice, or late; and only a node of
which several epochs were heard is looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
from gpucost.identity import NodeId
from gpucost.window import Interval

from gpucost_aggregator.store.duckdb_arriving import arriving
from gpucost_aggregator.store.duckdb_lost_time import Arrival, synthetic_slices, true_windows
from gpucost_aggregator.store.held_time import beside_held
from gpucost_aggregator.store.lost_time import Group, interval_of, is_synthetic
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId
from gpucost_aggregator.store.slice_columns import texts


@dataclass(frozen=True, slots=True)
class HeldTime:
    """Windows of GPUs that are held already, whole or in part; *rest* is what stands instead of the other parts."""

    windows: frozenset[tuple[Group, int]] = frozenset()
    rest: tuple[Arrival, ...] = ()

    def covers(self, arrival: Arrival) -> bool:
        """Whether *arrival* is told a second time."""
        place = (arrival.group, arrival.row.key.window_start_ns)
        return place in self.windows and not is_synthetic(arrival.row)


class Epochs:
    """
    The epochs that were ever heard of each node.

    One that is known of a commit that failed is one too many, which costs a look and no more.
    """

    def __init__(self, known: Iterable[AgentId] = ()) -> None:
        self._of: dict[NodeId, set[str]] = {}
        for agent in known:
            self._of.setdefault(agent.node, set()).add(agent.epoch)

    def not_alone(self, batches: Sequence[AcceptedBatch]) -> list[AcceptedBatch]:
        """Those of *batches* whose node was heard under another epoch too; all of them are known from now on."""
        for batch in batches:
            self._of.setdefault(batch.agent.node, set()).add(batch.agent.epoch)
        return [batch for batch in batches if len(self._of[batch.agent.node]) > 1]


def read_epochs(connection: duckdb.DuckDBPyConnection) -> Epochs:
    """Those of every agent that the store holds something of."""
    rows = connection.execute("SELECT cluster, node, epoch FROM agents").fetchall()
    return Epochs(AgentId(NodeId(cluster, node), epoch) for cluster, node, epoch in rows)


def find_held_time(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch], epochs: Epochs
) -> HeldTime:
    """What of *batches*, in which no node has two epochs, was told by another epoch before."""
    batches = epochs.not_alone(batches)
    ends = _ends_of_books(connection, batches) if batches else {}
    windows: dict[tuple[Group, int], list[Arrival]] = {}
    for batch in batches:
        end_ns = ends.get((batch.agent.node, batch.boot_id), 0)
        for row in batch.slices:
            if row.key.window_start_ns < end_ns and not is_synthetic(row):
                arrival = Arrival(row, batch)
                windows.setdefault((arrival.group, row.key.window_start_ns), []).append(arrival)
    if not windows:
        return HeldTime()
    groups = {group for group, _ in windows}
    held = true_windows(connection, groups, batches[0].window_ns)
    lost: dict[Group, list[Interval]] = {}
    for row, group in synthetic_slices(connection, groups):
        lost.setdefault(group, []).append(interval_of(row))
    found, rest = set(), []
    for place, members in windows.items():
        batch, group = members[0].batch, place[0]
        instead = beside_held(
            [each.row for each in members],
            batch.window_ns,
            batch.closed_through_ns,
            held.get(group, {}),
            lost.get(group, ()),
        )
        if instead is not None:
            found.add(place)
            rest += [Arrival(row, batch) for row in instead]
    return HeldTime(frozenset(found), tuple(rest))


def _ends_of_books(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]
) -> Mapping[tuple[NodeId, str], int]:
    """How far the boots of *batches* are closed; one that is new is not there."""
    boots = sorted({(batch.agent.node, batch.boot_id) for batch in batches})
    columns = {
        "cluster": texts([node.cluster for node, _ in boots]),
        "node": texts([node.node for node, _ in boots]),
        "boot_id": texts([boot_id for _, boot_id in boots]),
    }
    with arriving(connection, columns):
        rows = connection.execute(
            """
            SELECT cluster, node, boot_id, closed_through_ns
            FROM progress SEMI JOIN arriving USING (cluster, node, boot_id)
            """
        ).fetchall()
    return {(NodeId(cluster, node), boot_id): end_ns for cluster, node, boot_id, end_ns in rows}
