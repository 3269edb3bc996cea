"""The part of the store in memory that keeps what the clusters' watchers say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from gpucost.facts import ClusterFacts, NamespaceFacts, NodeFacts, WaitingPod
from gpucost.identity import NodeId

Key = TypeVar("Key")
Facts = TypeVar("Facts", NodeFacts, NamespaceFacts)


class MemoryCluster:
    def __init__(self) -> None:
        self.cluster_nodes: dict[NodeId, NodeFacts] = {}
        self.cluster_namespaces: dict[tuple[str, str], NamespaceFacts] = {}
        self.pods_waiting: dict[tuple[str, str, str, str], WaitingPod] = {}
        self.watched: dict[str, int] = {}

    def keep_cluster_facts(self, cluster: str, facts: ClusterFacts) -> None:
        self.watched[cluster] = facts.seen_at_ns
        if facts.complete:
            if facts.nodes:
                mine = (node for node in self.cluster_nodes if node.cluster == cluster)
                self.cluster_nodes |= _deleted(self.cluster_nodes, mine)
            if facts.namespaces:
                named = (each for each in self.cluster_namespaces if each[0] == cluster)
                self.cluster_namespaces |= _deleted(self.cluster_namespaces, named)
            self.pods_waiting = {key: pod for key, pod in self.pods_waiting.items() if key[0] != cluster}
        self.cluster_nodes |= {NodeId(cluster, node.name): node for node in facts.nodes}
        self.cluster_namespaces |= {(cluster, each.name): each for each in facts.namespaces}
        for pod in facts.waiting_pods:
            key = (cluster, pod.namespace, pod.pod, pod.pod_uid)
            self.pods_waiting.pop(key, None)
            if pod.requests:
                self.pods_waiting[key] = pod

    def nodes(self) -> Mapping[NodeId, NodeFacts]:
        return dict(self.cluster_nodes)

    def namespace_facts(self) -> Mapping[tuple[str, str], NamespaceFacts]:
        return dict(self.cluster_namespaces)

    def waiting_pods(self) -> Mapping[str, Sequence[WaitingPod]]:
        found: dict[str, list[WaitingPod]] = {}
        for (cluster, *_), pod in sorted(
            self.pods_waiting.items(), key=lambda each: (each[0][0], each[1].waiting_since_ns, each[0])
        ):
            found.setdefault(cluster, []).append(pod)
        return found

    def watched_clusters(self) -> Mapping[str, int]:
        return dict(self.watched)


def _deleted(known: Mapping[Key, Facts], keys: Iterable[Key]) -> dict[Key, Facts]:
    return {key: replace(known[key], deleted=True) for key in keys}
