"""Reads a scenario file, refuses what it does not know, and draws what the file leaves to the seed.

load() is the way in; all values are re-exported here, so that `from simnode.scenario import ...` is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from simnode import draws
from simnode.document import ScenarioError, Value, read
from simnode.lives import Process, entries, living, processes
from simnode.nodes import ClusterDraft, read_node
from simnode.overlaps import check_pod_names
from simnode.world import (
    Bursts,
    Cgroup,
    Cluster,
    Constant,
    Container,
    Driver,
    Duty,
    Gpu,
    Hold,
    Namespace,
    Node,
    Nothing,
    Owner,
    Pod,
    ProcessSpec,
    Random,
    Scenario,
)

__all__ = [
    "Bursts",
    "Cgroup",
    "Cluster",
    "Constant",
    "Container",
    "Driver",
    "Duty",
    "Gpu",
    "Hold",
    "Namespace",
    "Node",
    "Nothing",
    "Owner",
    "Pod",
    "Process",
    "ProcessSpec",
    "Random",
    "Scenario",
    "ScenarioError",
    "entries",
    "living",
    "load",
    "processes",
]


def load(file: str | Path, seed: int | None = None) -> Scenario:
    """The scenario in a file; a seed given here wins over the file's. Raises ScenarioError."""
    root = read(file)
    fields = root.section("the scenario", ("name", "window_seconds", "seed", "clusters"))
    for key in ("name", "clusters"):
        if key not in fields:
            root.fail(f"the scenario needs `{key}`")
    window = 10
    if "window_seconds" in fields:
        window = fields["window_seconds"].integer("window_seconds", 1, 3600)
        if 3600 % window:
            fields["window_seconds"].fail(
                f"window_seconds must divide 3600, and {window} does not; 10 and 60 do"
            )
    own_seed = fields["seed"].integer("seed", 0, 2**63 - 1) if "seed" in fields else 1
    used_seed = own_seed if seed is None else seed
    uuids: dict[str, Value] = {}
    clusters: list[Cluster] = []
    for entry in fields["clusters"].items("clusters", 1):
        clusters.append(_cluster(entry, used_seed, [c.name for c in clusters], uuids))
    return Scenario(str(file), fields["name"].name("name"), window, used_seed, tuple(clusters))


def _cluster(entry: Value, seed: int, names: Iterable[str], uuids: dict[str, Value]) -> Cluster:
    fields = entry.section("a cluster", ("name", "uid", "namespaces", "nodes"))
    for key in ("name", "nodes"):
        if key not in fields:
            entry.fail(f"a cluster needs `{key}`")
    name = fields["name"].name("a cluster's name")
    if name in names:
        fields["name"].fail(f"there is a cluster {name} already; names of clusters must differ")
    path = f"clusters/{name}"
    uid = fields["uid"].text("a cluster's uid") if "uid" in fields else draws.lower_uuid(seed, path, "uid")
    draft = ClusterDraft(seed, name, path, uuids)
    nodes = [read_node(node, draft) for node in fields["nodes"].items("nodes", 1)]
    check_pod_names((pod for node in nodes for pod in node.pods), draft.pods)
    pods_in = sorted({pod.namespace for node in nodes for pod in node.pods})
    return Cluster(path, name, uid, _namespaces(fields, path, seed, uid, pods_in), tuple(nodes))


def _namespaces(
    fields: dict[str, Value], path: str, seed: int, uid: str, used: list[str]
) -> tuple[Namespace, ...]:
    found: dict[str, Namespace] = {}

    def uid_of(name: str) -> str:
        return uid if name == "kube-system" else draws.lower_uuid(seed, f"{path}/namespaces/{name}", "uid")

    for entry in fields["namespaces"].items("namespaces") if "namespaces" in fields else []:
        parts = entry.section("a namespace", ("name", "labels"))
        if "name" not in parts:
            entry.fail("a namespace needs `name`")
        name = parts["name"].name("a namespace's name")
        if name in found:
            parts["name"].fail(f"there is a namespace {name} already; keep one")
        labels = parts["labels"].text_map("labels") if "labels" in parts else MappingProxyType({})
        found[name] = Namespace(name, uid_of(name), labels)
    for name in [*used, "kube-system"]:
        found.setdefault(name, Namespace(name, uid_of(name), MappingProxyType({})))
    return tuple(found.values())
