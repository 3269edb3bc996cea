"""What the clusters' watchers say, in the embedded store: the latest of nodes, namespaces and waiting pods."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
from gpucost.facts import ClusterFacts, NamespaceFacts, NodeFacts, WaitingPod
from gpucost.identity import NodeId

from gpucost_aggregator.store.duckdb_arriving import arriving
from gpucost_aggregator.store.slice_columns import Array, numbers, texts

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_NODES = ("name", "uid", "labels", "created_at_ns", "deleted")
_NAMESPACES = ("name", "labels", "deleted")
_PODS = ("namespace", "pod", "pod_uid", "waiting_since_ns", "requests")
_NUMBERS = frozenset({"created_at_ns", "waiting_since_ns", "deleted"})


def write_cluster_facts(connection: duckdb.DuckDBPyConnection, cluster: str, facts: ClusterFacts) -> None:
    """
    Take in what *cluster*'s watcher says, in the transaction that is open on *connection*.

    Where it is everything that exists, what it does not name is deleted; but no cluster is without any node or
    namespace, so a watcher that names none may not read them.
    """
    if facts.complete:
        for table, named in (("cluster_nodes", facts.nodes), ("cluster_namespaces", facts.namespaces)):
            if named:
                connection.execute(f"UPDATE {table} SET deleted = true WHERE cluster = ?", [cluster])
        connection.execute("DELETE FROM waiting_pods WHERE cluster = ?", [cluster])
    nodes = [
        (each.name, each.uid, _text(each.labels), each.created_at_ns, each.deleted) for each in facts.nodes
    ]
    _put(connection, "cluster_nodes", (cluster, facts.seen_at_ns), (_NODES, ("name",)), nodes)
    namespaces = [(each.name, _text(each.labels), each.deleted) for each in facts.namespaces]
    _put(connection, "cluster_namespaces", (cluster, facts.seen_at_ns), (_NAMESPACES, ("name",)), namespaces)
    pods = [
        (each.namespace, each.pod, each.pod_uid, each.waiting_since_ns, _text(each.requests))
        for each in facts.waiting_pods
    ]
    key = ("namespace", "pod", "pod_uid")
    _put(connection, "waiting_pods", (cluster, facts.seen_at_ns), (_PODS, key), pods)
    connection.execute("DELETE FROM waiting_pods WHERE cluster = ? AND requests = '{}'", [cluster])
    connection.execute("DELETE FROM watched_clusters WHERE cluster = ?", [cluster])
    connection.execute("INSERT INTO watched_clusters VALUES (?, ?)", [cluster, facts.seen_at_ns])


def read_nodes(ask: Ask) -> dict[NodeId, NodeFacts]:
    """Every node that a watcher ever named."""
    rows = ask("SELECT cluster, name, uid, labels, created_at_ns, deleted FROM cluster_nodes", [])
    return {
        NodeId(cluster, name): NodeFacts(name, uid, json.loads(labels), created_at_ns, deleted)
        for cluster, name, uid, labels, created_at_ns, deleted in rows
    }


def read_namespaces(ask: Ask) -> dict[tuple[str, str], NamespaceFacts]:
    """Every namespace that a watcher ever named, by cluster and name."""
    rows = ask("SELECT cluster, name, labels, deleted FROM cluster_namespaces", [])
    return {
        (cluster, name): NamespaceFacts(name, json.loads(labels), deleted)
        for cluster, name, labels, deleted in rows
    }


def read_waiting_pods(ask: Ask) -> dict[str, list[WaitingPod]]:
    """Pods that wait for GPUs, by cluster, those that wait longest first."""
    rows = ask(
        f"SELECT cluster, {', '.join(_PODS)} FROM waiting_pods "
        "ORDER BY cluster, waiting_since_ns, namespace, pod, pod_uid",
        [],
    )
    found: dict[str, list[WaitingPod]] = {}
    for cluster, namespace, pod, uid, since_ns, requests in rows:
        waiting = WaitingPod(namespace, pod, uid, since_ns, json.loads(requests))
        found.setdefault(cluster, []).append(waiting)
    return found


def read_watched(ask: Ask) -> dict[str, int]:
    """When each cluster's watcher was heard last, in nanoseconds since 1970."""
    return dict(ask("SELECT cluster, seen_at_ns FROM watched_clusters", []))


def _put(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    told: tuple[str, int],
    shape: tuple[tuple[str, ...], tuple[str, ...]],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """*rows* with the columns and the key of *shape*; of one key the last counts."""
    names, key = shape
    places = [names.index(name) for name in key]
    latest = list({tuple(row[place] for place in places): row for row in rows}.values())
    if not latest:
        return
    cluster, seen_at_ns = told
    columns: dict[str, Array] = {
        name: numbers([int(value) for value in column]) if name in _NUMBERS else texts(column)
        for name, column in zip(names, zip(*latest, strict=True), strict=True)
    }
    columns["cluster"] = texts([cluster] * len(latest))
    columns["seen_at_ns"] = numbers([seen_at_ns] * len(latest))
    with arriving(connection, columns):
        same = " AND ".join(f"{table}.{name} = a.{name}" for name in ("cluster", *key))
        connection.execute(f"DELETE FROM {table} USING arriving a WHERE {same}")
        connection.execute(f"INSERT INTO {table} BY NAME FROM arriving")


def _text(values: Mapping[str, str] | Mapping[str, int]) -> str:
    return json.dumps(dict(values), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
