"""
Lost time in the embedded store: which arriving slices it was closed for, and what is left of it.

Everything here runs inside the transaction of a commit. Lost time is rare, so what concerns it may ask several times;
what every commit asks is one join with a small table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
from gpucost.cost_slice import SYNTHETIC, CostSlice, SliceKey
from gpucost.window import Interval

from gpucost_aggregator.store.closed_rows import Adjustment, AdjustmentReason
from gpucost_aggregator.store.duckdb_adjustments import write_adjustments
from gpucost_aggregator.store.duckdb_arriving import arriving
from gpucost_aggregator.store.lost_time import (
    Claims,
    Group,
    differences,
    group_of,
    interval_of,
    is_synthetic,
    span_of,
)
from gpucost_aggregator.store.rows import AcceptedBatch
from gpucost_aggregator.store.slice_columns import (
    SLICE_COLUMNS,
    Array,
    numbers,
    slice_arrays,
    slice_of,
    texts,
)

_IS_SYNTHETIC = f"""(
    holder_kind = 'unobserved' AND gi IS NULL AND profile = '' AND used_ns + idle_ns = 0
    AND unmeasured_ns = length_ns AND contains(' ' || flags || ' ', ' {SYNTHETIC} ')
)"""
"""The same as `is_synthetic`."""

_WITHIN = """
    x.cluster = g.cluster AND x.node = g.node AND x.gpu_uuid = g.gpu_uuid
    AND x.window_start_ns >= g.aligned_ns AND x.window_start_ns < g.end_ns
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A slice and the batch that brought it."""

    row: CostSlice
    batch: AcceptedBatch
    reason: str = ""

    @property
    def group(self) -> Group:
        """The GPU and the window that it is of."""
        return group_of(self.row, self.batch.window_ns)


@dataclass(frozen=True, slots=True)
class LostTime:
    """The groups of a commit that have lost time, and when the true slices of the commit were."""

    window_ns: int
    groups: frozenset[Group] = frozenset()
    spans: Mapping[tuple[Group, int], Interval] = field(default_factory=dict)


def find_lost_time(connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival]) -> LostTime:
    """What *arrivals*, which are the table ``arriving``, have to do with lost time."""
    window_ns = arrivals[0].batch.window_ns
    rows = connection.execute(
        """
        SELECT DISTINCT cluster, node, gpu_uuid, aligned_ns
        FROM arriving SEMI JOIN synthetic USING (cluster, node, gpu_uuid, aligned_ns)
        """
    ).fetchall()
    groups = {Group(*row) for row in rows}
    groups |= {each.group for each in arrivals if is_synthetic(each.row)}
    return LostTime(window_ns, frozenset(groups), _spans(arrivals, groups))


def late_places(
    connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival], lost: LostTime
) -> list[int]:
    """Places of the true slices among *arrivals* whose time was closed as lost, or is in the same commit."""
    if not lost.groups:
        return []
    synthetic = {(row.key, row.length_ns): row for row, _ in synthetic_slices(connection, lost.groups)}
    synthetic |= {(each.row.key, each.row.length_ns): each.row for each in arrivals if is_synthetic(each.row)}
    closed: dict[Group, list[Interval]] = {}
    for row in synthetic.values():
        closed.setdefault(group_of(row, lost.window_ns), []).append(interval_of(row))
    found = []
    for place, each in enumerate(arrivals):
        span = lost.spans.get((each.group, each.row.key.window_start_ns))
        if span is None or is_synthetic(each.row):
            continue
        if any(span.cut(interval) for interval in closed.get(each.group, ())):
            found.append(place)
    return found


def keep_lost_time(
    connection: duckdb.DuckDBPyConnection, new: Sequence[Arrival], late: Sequence[Arrival], lost: LostTime
) -> None:
    """Write down what the slices that are *new* say of lost time, the *late* ones among them; and settle it."""
    _write_partial_windows(connection, lost, {(each.group, each.row.key.window_start_ns) for each in new})
    if not lost.groups:
        return
    write_adjustments(
        connection,
        [Adjustment(each.row, AdjustmentReason.LATE, each.batch.received_at_ns) for each in late],
    )
    _write_synthetic(connection, [each for each in new if is_synthetic(each.row)])
    made_at_ns = max((each.batch.received_at_ns for each in new), default=0)
    if new:
        _settle(connection, lost, made_at_ns)


def true_windows(
    connection: duckdb.DuckDBPyConnection, groups: Iterable[Group], window_ns: int
) -> dict[Group, dict[int, Interval]]:
    """When true slices cover *groups*, by the starts of their windows."""
    with arriving(connection, _group_columns(groups, window_ns), "lost_groups"):
        rows = connection.execute(
            f"""
            WITH starts AS (
                SELECT aligned_ns AS start FROM lost_groups
                UNION SELECT x.window_start_ns FROM partial_windows x JOIN lost_groups g ON {_WITHIN}
            ),
            watched AS (
                SELECT DISTINCT g.cluster, g.node, g.gpu_uuid, g.aligned_ns, x.window_start_ns
                FROM (
                    SELECT cluster, node, gpu_uuid, window_start_ns FROM slices
                    WHERE window_start_ns IN (SELECT start FROM starts) AND NOT {_IS_SYNTHETIC}
                    UNION ALL
                    SELECT cluster, node, gpu_uuid, window_start_ns FROM adjustments
                    WHERE adjustment_reason = '{AdjustmentReason.LATE}'
                ) x JOIN lost_groups g ON {_WITHIN}
            )
            SELECT w.cluster, w.node, w.gpu_uuid, w.aligned_ns, w.window_start_ns,
                coalesce(p.start_ns, w.window_start_ns), coalesce(p.end_ns, w.aligned_ns + ?)
            FROM watched w LEFT JOIN partial_windows p USING (cluster, node, gpu_uuid, window_start_ns)
            """,
            [window_ns],
        ).fetchall()
    found: dict[Group, dict[int, Interval]] = {}
    for *group, window_start_ns, start_ns, end_ns in rows:
        found.setdefault(Group(*group), {})[window_start_ns] = Interval(start_ns, end_ns)
    return found


def synthetic_slices(
    connection: duckdb.DuckDBPyConnection, groups: Iterable[Group]
) -> list[tuple[CostSlice, Group]]:
    """Every slice of lost time in *groups*, with its group."""
    with arriving(connection, _group_columns(groups, 0), "lost_groups"):
        rows = connection.execute(
            f"""
            SELECT {", ".join(SLICE_COLUMNS)}, aligned_ns
            FROM synthetic SEMI JOIN lost_groups USING (cluster, node, gpu_uuid, aligned_ns)
            """
        ).fetchall()
    found = zip(_slices([row[:-1] for row in rows]), (row[-1] for row in rows), strict=True)
    return [
        (each, Group(each.key.node.cluster, each.key.node.node, each.key.device.gpu_uuid, aligned_ns))
        for each, aligned_ns in found
    ]


def _spans(arrivals: Sequence[Arrival], groups: Iterable[Group]) -> dict[tuple[Group, int], Interval]:
    """When each GPU of true *arrivals* was watched: of windows that are not full, and of all in *groups*."""
    wanted, wanted_groups = set(), set(groups)
    for each in arrivals:
        row, window_ns = each.row, each.batch.window_ns
        is_full = row.length_ns == window_ns and not row.key.window_start_ns % window_ns
        if not is_full or (wanted_groups and each.group in wanted_groups):
            wanted.add((each.group, row.key.window_start_ns))
    if not wanted:
        return {}
    members: dict[tuple[Group, int], list[Arrival]] = {}
    for each in arrivals:
        place = (each.group, each.row.key.window_start_ns)
        if place in wanted and not is_synthetic(each.row):
            members.setdefault(place, []).append(each)
    return {
        place: span_of(
            [each.row for each in found], found[0].batch.window_ns, found[0].batch.closed_through_ns
        )
        for place, found in members.items()
    }


def _settle(connection: duckdb.DuckDBPyConnection, lost: LostTime, made_at_ns: int) -> None:
    synthetic: dict[Group, list[CostSlice]] = {}
    for row, group in synthetic_slices(connection, lost.groups):
        synthetic.setdefault(group, []).append(row)
    with arriving(connection, _group_columns(lost.groups, lost.window_ns), "lost_groups"):
        adjusted: dict[SliceKey, list[CostSlice]] = {}
        for row in _rows_within(connection, "adjustments", "holder_kind = 'unobserved'"):
            adjusted.setdefault(row.key, []).append(row)
    true = true_windows(connection, lost.groups, lost.window_ns)
    found = [
        Adjustment(each, AdjustmentReason.REPLACED, made_at_ns)
        for group, rows in sorted(synthetic.items())
        for each in differences(Claims(list(true.get(group, {}).values()), rows, adjusted))
    ]
    write_adjustments(connection, found)


def _rows_within(connection: duckdb.DuckDBPyConnection, table: str, condition: str) -> list[CostSlice]:
    columns = ", ".join(f"x.{name}" for name in SLICE_COLUMNS)
    ordered = "ORDER BY x.number" if table == "adjustments" else ""
    return _slices(
        connection.execute(
            f"SELECT {columns} FROM {table} x JOIN lost_groups g ON {_WITHIN} WHERE {condition} {ordered}"
        ).fetchall()
    )


def _write_synthetic(connection: duckdb.DuckDBPyConnection, arrivals: Sequence[Arrival]) -> None:
    if not arrivals:
        return
    columns = slice_arrays([each.row for each in arrivals]) | {
        "aligned_ns": numbers([each.group.aligned_ns for each in arrivals]),
    }
    with arriving(connection, columns, "lost_slices"):
        connection.execute("INSERT INTO synthetic BY NAME FROM lost_slices")


def _write_partial_windows(
    connection: duckdb.DuckDBPyConnection, lost: LostTime, new: set[tuple[Group, int]]
) -> None:
    partial = [
        (*group[:3], start_ns, span.start_ns, span.end_ns)
        for (group, start_ns), span in lost.spans.items()
        if (group, start_ns) in new
        and (span.start_ns, span.end_ns) != (group.aligned_ns, group.aligned_ns + lost.window_ns)
    ]
    if not partial:
        return
    names = ("cluster", "node", "gpu_uuid", "window_start_ns", "start_ns", "end_ns")
    columns = {
        name: texts(column) if place < 3 else numbers(column)
        for place, (name, column) in enumerate(zip(names, zip(*partial, strict=True), strict=True))
    }
    with arriving(connection, columns, "partial"):
        connection.execute(
            f"""
            INSERT INTO partial_windows ({", ".join(names)}) SELECT {", ".join(names)}
            FROM partial ANTI JOIN partial_windows USING (cluster, node, gpu_uuid, window_start_ns)
            """
        )


def _group_columns(groups: Iterable[Group], window_ns: int) -> dict[str, Array]:
    listed = sorted(groups)
    return {
        "cluster": texts([group.cluster for group in listed]),
        "node": texts([group.node for group in listed]),
        "gpu_uuid": texts([group.gpu_uuid for group in listed]),
        "aligned_ns": numbers([group.aligned_ns for group in listed]),
        "end_ns": numbers([group.aligned_ns + window_ns for group in listed]),
    }


def _slices(rows: Sequence[tuple[Any, ...]]) -> list[CostSlice]:
    return [slice_of(dict(zip(SLICE_COLUMNS, row, strict=True))) for row in rows]
