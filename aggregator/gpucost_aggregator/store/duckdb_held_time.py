"""
Time that another spool's books hold, in the embedded store: what of an arriving batch is told a second time.

Books go on where they end, so that a batch that begins before that is told twice, or late. Only such a batch costs
more than one look at two small tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
from gpucost.identity import NodeId
from gpucost.window import Interval

from gpucost_aggregator.store.duckdb_arriving import agent_columns, arriving
from gpucost_aggregator.store.duckdb_lost_time import Arrival, synthetic_slices, true_windows
from gpucost_aggregator.store.held_time import beside_held
from gpucost_aggregator.store.lost_time import Group, interval_of, is_synthetic
from gpucost_aggregator.store.rows import AcceptedBatch
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


def find_held_time(connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch]) -> HeldTime:
    """What of *batches*, in which no node has two epochs, was told by another epoch before."""
    ends = _ends_of_books(connection, batches)
    if not ends:
        return HeldTime()
    windows: dict[tuple[Group, int], list[Arrival]] = {}
    for batch in batches:
        end_ns = ends.get((batch.agent.node, batch.boot_id))
        if end_ns is None:
            continue
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
    """How far the boots of *batches* are closed, on those nodes of which another epoch was heard."""
    firsts = list({(batch.agent, batch.boot_id): batch for batch in batches}.values())
    columns = agent_columns([batch.agent for batch in firsts]) | {
        "boot_id": texts([batch.boot_id for batch in firsts])
    }
    with arriving(connection, columns):
        rows = connection.execute(
            """
            SELECT DISTINCT p.cluster, p.node, p.boot_id, p.closed_through_ns
            FROM arriving a
            JOIN agents s ON s.cluster = a.cluster AND s.node = a.node AND s.epoch <> a.epoch
            JOIN progress p ON p.cluster = a.cluster AND p.node = a.node AND p.boot_id = a.boot_id
            """
        ).fetchall()
    return {(NodeId(cluster, node), boot_id): end_ns for cluster, node, boot_id, end_ns in rows}
