"""
GPUs that two nodes have slices of in one window: a machine with another's name, or one disk in two machines.

At most one of the two is right, and nobody can say which from here; both are kept, counted and shown.
"""

from collections.abc import Sequence

import duckdb
from gpucost.cost_slice import SYNTHETIC
from gpucost.identity import NodeId

from gpucost_aggregator.store.closed_rows import SharedGpu

_NAMES = "gpu_uuid, cluster, node, other_cluster, other_node, first_window_ns, last_window_ns, windows"


def write_shared_gpus(connection: duckdb.DuckDBPyConnection, known: Sequence[int]) -> tuple[SharedGpu, ...]:
    """
    Those among the table ``arriving`` but for the places *known*; looks at its windows only, after it was inserted.
    """
    rows = connection.execute(
        f"""
        SELECT a.gpu_uuid, a.cluster, a.node, s.cluster, s.node,
            min(a.window_start_ns), max(a.window_start_ns), count(DISTINCT a.window_start_ns)
        FROM (
            SELECT DISTINCT gpu_uuid, window_start_ns, cluster, node FROM arriving
            WHERE place NOT IN (SELECT unnest(?::BIGINT[])) AND NOT contains(flags, '{SYNTHETIC}')
        ) a JOIN slices s ON s.gpu_uuid = a.gpu_uuid AND s.window_start_ns = a.window_start_ns
            AND (s.cluster <> a.cluster OR s.node <> a.node)
        WHERE s.window_start_ns IN (SELECT DISTINCT window_start_ns FROM arriving)
            AND NOT contains(s.flags, '{SYNTHETIC}')
        GROUP BY ALL
        """,
        [[*known]],
    ).fetchall()
    # Where both came together, each is found beside the other.
    found: dict[tuple[str, NodeId, NodeId], SharedGpu] = {}
    for gpu_uuid, cluster, node, other_cluster, other_node, *rest in rows:
        first, second = sorted((NodeId(cluster, node), NodeId(other_cluster, other_node)))
        found.setdefault((gpu_uuid, first, second), SharedGpu(gpu_uuid, first, second, *rest))
    for shared in found.values():
        _add(connection, shared)
    return tuple(sorted(found.values()))


def read_shared_gpus(rows: Sequence[tuple[str, str, str, str, str, int, int, int]]) -> list[SharedGpu]:
    """What rows of the table say, the latest first."""
    found = [
        SharedGpu(gpu_uuid, NodeId(*first), NodeId(*second), *rest)
        for gpu_uuid, first, second, rest in ((row[0], row[1:3], row[3:5], row[5:]) for row in rows)
    ]
    return sorted(found, key=lambda shared: (-shared.last_window_ns, shared))


SHARED_GPUS = f"SELECT {_NAMES} FROM shared_gpus"


def _add(connection: duckdb.DuckDBPyConnection, shared: SharedGpu) -> None:
    key = [shared.gpu_uuid, shared.node.cluster, shared.node.node, shared.other.cluster, shared.other.node]
    same = "gpu_uuid = ? AND cluster = ? AND node = ? AND other_cluster = ? AND other_node = ?"
    times = [shared.first_window_ns, shared.last_window_ns, shared.windows]
    ((changed,),) = connection.execute(
        f"""
        UPDATE shared_gpus SET first_window_ns = least(first_window_ns, ?),
            last_window_ns = greatest(last_window_ns, ?), windows = windows + ?
        WHERE {same}
        """,
        [*times, *key],
    ).fetchall()
    if not changed:
        connection.execute(
            f"INSERT INTO shared_gpus ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [*key, *times]
        )
