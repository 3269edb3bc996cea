"""What happens in a cluster's API over time: pods come, run, end and are deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from simnode.kube_store import Store
from simnode.manifests import ENDED, PENDING, RUNNING, Manifests
from simnode.world import Cluster, Node, Pod


@dataclass(frozen=True)
class Moment:
    at_ns: int
    ends: bool
    node: Node
    pod: Pod


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

    def _apply(self, moment: Moment) -> None:
        node, pod = moment.node, moment.pod
        if not moment.ends:
            self._store.put("pods", self._manifests.pod(node, pod, PENDING))
            self._store.put("pods", self._manifests.pod(node, pod, RUNNING))
            return
        # A Job's pod completes by itself, the others end because somebody deletes them.
        completes = pod.owner is not None and pod.owner.kind == "Job"
        if not completes:
            self._store.put("pods", self._manifests.pod(node, pod, RUNNING, leaving=True))
        self._store.put("pods", self._manifests.pod(node, pod, ENDED, leaving=not completes))
        self._store.remove("pods", pod.namespace, pod.name)


def moments(cluster: Cluster) -> list[Moment]:
    """Beginnings and ends by time; at one instant the ends come first, since a name may be used again."""
    found = []
    for node in cluster.nodes:
        for pod in node.pods:
            found.append(Moment(pod.start_ns, False, node, pod))
            if pod.end_ns is not None:
                found.append(Moment(pod.end_ns, True, node, pod))
    return sorted(found, key=lambda moment: (moment.at_ns, not moment.ends))
