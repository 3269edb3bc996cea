"""What the embedded store is asked, as SQL. Parameters travel beside the text, never in it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gpucost.cost_slice import CostSlice, Price
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import NodeId
from gpucost.units import NS_PER_HOUR

from gpucost_aggregator.store.closed_rows import Adjustment, BooksEnd
from gpucost_aggregator.store.duckdb_adjustments import (
    SUMMED,
    Ask,
    adjusted_slices,
    has_adjustments,
    read_adjustments,
)
from gpucost_aggregator.store.paging import ORDER, Place
from gpucost_aggregator.store.rows import (
    SHADOW,
    Dimension,
    NodeProgress,
    QuarantineTotals,
    Scope,
    Sums,
    Total,
)
from gpucost_aggregator.store.slice_columns import SLICE_COLUMNS, slice_of

MAX_REASONS = 20
"""Reasons of the quarantine that are told one by one; they quote numbers, so there may be very many."""

_NUMBERS = frozenset({Dimension.GI, Dimension.CI, Dimension.PLACEMENT})
_SHADOW = (
    f"CASE WHEN reserved_ns = 0 AND contains(' ' || flags || ' ', ' {SHADOW} ') THEN '{SHADOW}' ELSE '' END"
)


def totals(ask: Ask, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
    """Sums by *by*, with what adjusts them; a sum of 64-bit integers is 128 bits wide here, and any size outside."""
    where, parameters = _where(scope)
    table = "slices"
    if has_adjustments(ask, (where, parameters)):
        table, more = adjusted_slices((where, parameters))
        parameters = [*more, *parameters]
    keys = ", ".join(_key(dimension) for dimension in by)
    group = f"GROUP BY {', '.join(str(place + 1) for place in range(len(by)))}" if by else ""
    rows = ask(
        f"""
        SELECT {keys + "," if keys else ""}
            {", ".join(f"sum({name})" for name in SUMMED)},
            coalesce(sum(used_ns::HUGEINT + idle_ns + unmeasured_ns)
                FILTER (WHERE price_nanodollars_per_hour IS NULL), 0),
            min(window_start_ns),
            max(window_start_ns + length_ns),
            max(window_start_ns + length_ns) FILTER (WHERE used_ns > 0),
            list(DISTINCT flags) FILTER (WHERE flags <> '')
        FROM {table} WHERE {where} {group} HAVING count(*) > 0
        """,
        parameters,
    )
    found = []
    for row in sorted(rows, key=lambda row: row[: len(by)]):
        *amounts, first_ns, last_ns, last_used_ns, flags = row[len(by) :]
        together = sorted({flag for text in flags or () for flag in text.split(" ")})
        found.append(Total(row[: len(by)], Sums(*amounts), first_ns, last_ns, last_used_ns, tuple(together)))
    return found


def slices(ask: Ask, scope: Scope, after: Place | None, limit: int) -> list[CostSlice]:
    """The first *limit* slices of *scope* behind *after*, in their order."""
    where, parameters = _where(scope)
    if after is not None:
        where += f" AND window_start_ns >= ? AND ({', '.join(sql for sql, _ in ORDER)}) > "
        where += f"({', '.join('?' for _ in after)})"
        parameters = [*parameters, after[0], *after]
    rows = ask(
        f"""
        SELECT {", ".join(SLICE_COLUMNS)} FROM slices WHERE {where}
        ORDER BY {", ".join(sql for sql, _ in ORDER)} LIMIT ?
        """,
        [*parameters, limit],
    )
    return [slice_of(dict(zip(SLICE_COLUMNS, row, strict=True))) for row in rows]


def adjustments(ask: Ask, scope: Scope, after: int, limit: int) -> list[Adjustment]:
    """The first *limit* adjustments of slices in *scope* behind the number *after*."""
    return read_adjustments(ask, _where(scope), after, limit)


def workloads(ask: Ask, scope: Scope) -> Mapping[tuple[str, str, str, str], WorkloadFacts]:
    """Latest facts of the pods with slices in *scope*; of two from one instant, those that came later."""
    where, parameters = _where(scope)
    rows = ask(
        f"""
        SELECT w.cluster, w.namespace, w.pod, w.pod_uid, w.valid_from_ns,
            l.content, a.content, w.owner_kind, w.owner_name
        FROM (
            FROM workloads
            SEMI JOIN (
                SELECT DISTINCT cluster, namespace, pod, pod_uid FROM slices
                WHERE {where} AND holder_kind = 'container'
                UNION SELECT cluster, namespace, pod, pod_uid FROM adjustments
                WHERE {where} AND holder_kind = 'container'
            ) USING (cluster, namespace, pod, pod_uid)
            QUALIFY row_number() OVER (
                PARTITION BY cluster, namespace, pod, pod_uid
                ORDER BY valid_from_ns DESC, received_at_ns DESC, workloads.rowid DESC
            ) = 1
        ) w
        JOIN label_sets l ON l.label_set_id = w.labels_id
        JOIN label_sets a ON a.label_set_id = w.annotations_id
        """,
        [*parameters, *parameters],
    )
    read: dict[str, Mapping[str, str]] = {}
    for row in rows:
        for content in row[5:7]:
            if content not in read:
                read[content] = json.loads(content)
    return {
        (cluster, namespace, pod, uid): WorkloadFacts(
            namespace, pod, uid, since, read[labels], read[annotations], owner_kind, owner_name
        )
        for cluster, namespace, pod, uid, since, labels, annotations, owner_kind, owner_name in rows
    }


def gpus(ask: Ask) -> Mapping[tuple[str, str], GpuFacts]:
    """Latest facts of every GPU."""
    rows = ask(
        """
        SELECT cluster, gpu_uuid, model, memory_bytes, instance_type, region, valid_from_ns FROM gpus
        QUALIFY row_number() OVER (
            PARTITION BY cluster, gpu_uuid ORDER BY valid_from_ns DESC, received_at_ns DESC, rowid DESC
        ) = 1
        """,
        [],
    )
    return {row[:2]: GpuFacts(*row[1:]) for row in rows}


def progress(ask: Ask) -> list[NodeProgress]:
    """The boot of every node that was heard last."""
    rows = ask(
        """
        SELECT cluster, node, boot_id, window_ns, closed_through_ns, last_heard_ns, gone_at_ns FROM progress
        QUALIFY row_number() OVER (PARTITION BY cluster, node ORDER BY last_heard_ns DESC, rowid DESC) = 1
        ORDER BY cluster, node
        """,
        [],
    )
    return [NodeProgress(NodeId(cluster, node), *rest) for cluster, node, *rest in rows]


def books_end(ask: Ask, node: NodeId, boot_id: str) -> BooksEnd | None:
    """Where the books of a boot end, with the GPUs of the last window before and their prices; None if unheard."""
    who = [node.cluster, node.node]
    ends = ask(
        "SELECT closed_through_ns, window_ns FROM progress WHERE cluster = ? AND node = ? AND boot_id = ?",
        [*who, boot_id],
    )
    if not ends:
        return None
    end_ns, window_ns = ends[0]
    within = "cluster = ? AND node = ? AND window_start_ns >= ? AND window_start_ns < ?"
    columns = "gpu_uuid, window_start_ns, price_nanodollars_per_hour, price_source, price_date"
    bounds = [*who, end_ns - max(NS_PER_HOUR, window_ns), end_ns]
    rows = ask(
        f"""
        SELECT DISTINCT ON (gpu_uuid) gpu_uuid, price_nanodollars_per_hour, price_source, price_date FROM (
            SELECT {columns} FROM slices WHERE {within}
            UNION ALL SELECT {columns} FROM adjustments WHERE {within} AND length_ns > 0
        )
        QUALIFY window_start_ns = max(window_start_ns) OVER ()
        ORDER BY gpu_uuid
        """,
        [*bounds, *bounds],
    )
    return BooksEnd(end_ns, window_ns, {uuid: Price(*price) for uuid, *price in rows})


def namespaces(ask: Ask, clusters: Sequence[str]) -> list[str]:
    """Every namespace of a container; reads the whole table, so it is for questions that are rarely asked."""
    where, parameters = _any_time("namespace <> ''", clusters)
    query = " UNION ".join(
        f"SELECT namespace FROM {table} WHERE {where}" for table in ("slices", "adjustments")
    )
    return sorted(name for (name,) in ask(query, [*parameters, *parameters]))


def first_window_ns(ask: Ask, clusters: Sequence[str]) -> int | None:
    """The earliest window."""
    where, parameters = _any_time("true", clusters)
    query = " UNION ALL ".join(
        f"SELECT min(window_start_ns) FROM {table} WHERE {where}" for table in ("slices", "adjustments")
    )
    return min(
        (first for (first,) in ask(query, [*parameters, *parameters]) if first is not None), default=None
    )


def quarantined(ask: Ask, scope: Scope) -> QuarantineTotals:
    """What is set aside; past MAX_REASONS, the rarer reasons are one: (other)."""
    where, parameters = _where(scope)
    rows = ask(
        f"""
        SELECT refused_because, count(*),
            sum(used_ns::HUGEINT + idle_ns + unmeasured_ns), sum(cost_nanodollars)
        FROM quarantine WHERE {where} AND replayed_at_ns IS NULL GROUP BY 1 ORDER BY 2 DESC, 1
        """,
        parameters,
    )
    reasons = {reason: count for reason, count, _, _ in rows[:MAX_REASONS]}
    if others := sum(row[1] for row in rows[MAX_REASONS:]):
        reasons["(other)"] = others
    count, charged_ns, cost = (
        (sum(column) for column in list(zip(*rows, strict=True))[1:]) if rows else (0, 0, 0)
    )
    return QuarantineTotals(count, charged_ns, cost, reasons, _unreadable_batches(ask, scope))


def _unreadable_batches(ask: Ask, scope: Scope) -> int:
    """Batches that may belong to *scope*: they came in it or later, however long they waited in a spool."""
    if scope.namespaces:
        return 0  # Nobody knows whose they are.
    came, clusters = _any_time("replayed_at_ns IS NULL AND received_at_ns >= ?", scope.clusters)
    rows = ask(f"SELECT count(*) FROM malformed_batches WHERE {came}", [scope.start_ns, *clusters])
    return int(rows[0][0])


def _where(scope: Scope) -> tuple[str, list[Any]]:
    text = "window_start_ns >= ? AND window_start_ns < ?"
    parameters: list[Any] = [scope.start_ns, scope.end_ns]
    for column, allowed in (("cluster", scope.clusters), ("namespace", scope.namespaces)):
        text += _one_of(column, allowed)
        parameters += allowed
    return text, parameters


def _any_time(condition: str, clusters: Sequence[str]) -> tuple[str, list[Any]]:
    return condition + _one_of("cluster", clusters), [*clusters]


def _one_of(column: str, allowed: Sequence[str]) -> str:
    return f" AND {column} IN ({', '.join('?' for _ in allowed)})" if allowed else ""


def _key(dimension: Dimension) -> str:
    if dimension is Dimension.SHADOW:
        return _SHADOW
    column = Dimension(dimension).value
    return f"coalesce({column}::VARCHAR, '')" if dimension in _NUMBERS else column
