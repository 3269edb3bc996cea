"""What happens in a cluster's API over time: pods come, run, end and are deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from simnode.kube_store import Store
from simnode.manifests import Manifests
from simnode.pod_life import begins_ns, ends_ns
from simnode.world import Cluster, Node, Pod


@dataclass(frozen=True)
class Moment:
    """Something of a pod changes, or without a pod, what the node has to give out."""

    at_ns: int
    ends: bool
    node: Node
    pod: Pod | None


class ClusterLife:
    """Writes a cluster's objects into a store, instant by instant.

    Everything up to an instant is written in the scenario's order, also when several instants are caught up
    at once: resource versions depend on the scenario alone, not on when the process was started.
    """

    def __init__(
        self, cluster: Cluster, store: Store, manifests: Manifests, boot_ids: Mapping[str, str]
    ) -> None:
        self._store = store
        self._manifests = manifests
        self._boot_ids = boot_ids
        self._nodes = cluster.nodes
        self._moments = deque(moments(cluster))
        for namespace in sorted(cluster.namespaces, key=lambda namespace: namespace.name):
            store.put("namespaces", manifests.namespace(namespace))
        for node in cluster.nodes:
            store.put("nodes", manifests.node(node, boot_ids[node.name]))
            for pod in node.pods:
                if (replica_set := manifests.replica_set(pod)) is not None:
                    metadata = replica_set["metadata"]
                    if store.get("replicasets", metadata["namespace"], metadata["name"]) is None:
                        store.put("replicasets", replica_set)

    @property
    def next_ns(self) -> int | None:
        return self._moments[0].at_ns if self._moments else None

    def update(self, now_ns: int) -> None:
        """Writes all that has happened up to an instant."""
        while self._moments and self._moments[0].at_ns <= now_ns:
            self._apply(self._moments.popleft())

    def delete_node(self, name: str) -> bool:
        """Takes a node's object away, and its pods' with it; nothing comes to it any more. False if it is not there."""
        if self._store.get("nodes", "", name) is None:
            return False
        self._moments = deque(moment for moment in self._moments if moment.node.name != name)
        for pod in self._pods_of(name):
            self._store.remove("pods", pod.namespace, pod.name)
        self._store.remove("nodes", "", name)
        return True

    def _pods_of(self, node: str) -> list[Pod]:
        return [
            pod
            for each in self._nodes
            if each.name == node
            for pod in each.pods
            if self._store.get("pods", pod.namespace, pod.name) is not None
        ]

    def _apply(self, moment: Moment) -> None:
        node, pod, at_ns = moment.node, moment.pod, moment.at_ns
        if pod is None:
            boot_id = self._boot_ids[node.name]
            self._store.put("nodes", self._manifests.node(node, boot_id, at_ns))
        elif moment.ends:
            self._end(node, pod, at_ns)
        else:
            if at_ns == pod.start_ns:
                self._store.put("pods", self._manifests.pod(node, pod, None))
            self._store.put("pods", self._manifests.pod(node, pod, at_ns))

    def _end(self, node: Node, pod: Pod, at_ns: int) -> None:
        if pod.finished_ns is None:
            # A Job's pod completes by itself, the others end because somebody deletes them.
            completes = pod.owner is not None and pod.owner.kind == "Job"
            if not completes:
                self._store.put("pods", self._manifests.pod(node, pod, at_ns - 1, leaving=True))
            self._store.put("pods", self._manifests.pod(node, pod, at_ns, leaving=not completes))
        self._store.remove("pods", pod.namespace, pod.name)


def moments(cluster: Cluster) -> list[Moment]:
    """What happens by time; at one instant the ends come first, since a name may be used again."""
    found = []
    for node in cluster.nodes:
        layouts = {layout.at_ns for gpu in node.gpus for layout in gpu.layouts}
        found += [Moment(at, False, node, None) for at in sorted(layouts) if at > 0]
        for pod in node.pods:
            found += [Moment(at, False, node, pod) for at in _changes(pod)]
            if pod.end_ns is not None:
                found.append(Moment(pod.end_ns, True, node, pod))
    return sorted(found, key=lambda moment: (moment.at_ns, not moment.ends))


def _changes(pod: Pod) -> list[int]:
    """When the API has something new to say of a pod, from its start on, before its end."""
    found = {pod.start_ns, pod.finished_ns}
    for container in pod.containers:
        found |= {begins_ns(pod, container), ends_ns(pod, container)}
    return sorted(at for at in found if at is not None and (pod.end_ns is None or at < pod.end_ns))
