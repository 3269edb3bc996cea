"""Who is who on a node: container names, pod UIDs, container ids and processes to holders."""

from collections.abc import Collection
from dataclasses import dataclass

from gpucost.identity import HOST, Holder, HolderKind

from gpucost_agent.ledger.holdings import ContainerName
from gpucost_agent.readings import ClusterReading, Pod, ProcessIdentity

_FORGET_AFTER_NS = 3_600 * 1_000_000_000
"""Pods that were not seen for an hour are of no open window."""


@dataclass(slots=True)
class _Incarnation:
    """One pod of a name; a later pod of the same name has another UID."""

    uid: str
    first_seen_ns: int
    last_seen_ns: int
    gone_at_ns: int | None = None


class Directory:
    """What is known of names; it only learns, and forgets what no open window needs."""

    def __init__(self) -> None:
        self._incarnations: dict[tuple[str, str], list[_Incarnation]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._containers: dict[str, Holder] = {}

    def learn(self, reading: ClusterReading) -> None:
        """Take in what the API server says of this node's pods."""
        at = reading.read_at.wall_ns
        # Of two pods of one name that are heard of at once, the one that is gone came first.
        for pod in sorted(reading.pods, key=lambda pod: pod.deleted_at_ns is None):
            self.learn_pod(pod.namespace, pod.name, pod.uid, at)
            self._learn_containers(pod)
            if pod.deleted_at_ns is not None:
                self._part_with(pod, pod.deleted_at_ns)

    def learn_pod(self, namespace: str, pod: str, uid: str, at_ns: int) -> None:
        """The pod of this name has this UID at *at_ns*, whoever says so."""
        self._names[uid] = (namespace, pod)
        incarnations = self._incarnations.setdefault((namespace, pod), [])
        for incarnation in incarnations:
            if incarnation.uid == uid:
                incarnation.last_seen_ns = max(incarnation.last_seen_ns, at_ns)
                return
        incarnations.append(_Incarnation(uid, at_ns, at_ns))

    def learn_container(self, container_id: str, name: ContainerName, uid: str) -> None:
        """The container with this id, whoever says so."""
        self._containers[container_id] = Holder(
            HolderKind.CONTAINER, name.namespace, name.pod, uid, name.container
        )

    def knows(self, namespace: str, pod: str) -> bool:
        """Whether a UID is known for a pod of this name."""
        return (namespace, pod) in self._incarnations

    def holder(self, name: ContainerName, at_ns: int) -> Holder:
        """The container of this name at *at_ns*; its pod's UID is empty where nobody told it."""
        return Holder(
            HolderKind.CONTAINER,
            name.namespace,
            name.pod,
            self._uid(name.namespace, name.pod, at_ns),
            name.container,
        )

    def owner(self, process: ProcessIdentity, holders: Collection[Holder]) -> Holder:
        """
        Whose use a process is, on a device that *holders* hold.

        A container that holds nothing is a holder of its own, also beside one of its pod that does.
        A process without a pod is the host's.
        """
        if not (process.pod_uid or process.container_id):
            return HOST
        owner = self._containers.get(process.container_id)
        if owner is None:
            namespace, pod = self._names.get(process.pod_uid, ("", ""))
            # The start of its id stands in for a container whose name nobody told yet.
            container = "" if pod else process.container_id[:12]
            owner = Holder(HolderKind.CONTAINER, namespace, pod, process.pod_uid, container)
        if owner in holders:
            return owner
        # The same one, written before its UID was known; and a container without a name is the pod's holder.
        same = [
            holder
            for holder in holders
            if holder.kind is HolderKind.CONTAINER
            and (holder.namespace, holder.pod) == (owner.namespace, owner.pod)
            and holder.pod_uid in ("", owner.pod_uid)
            and owner.container in ("", holder.container)
        ]
        return min(same, key=lambda holder: holder.order, default=owner)

    def _part_with(self, pod: Pod, gone_at_ns: int) -> None:
        for incarnation in self._incarnations[pod.namespace, pod.name]:
            if incarnation.uid == pod.uid:
                incarnation.gone_at_ns = gone_at_ns

    def _learn_containers(self, pod: Pod) -> None:
        for container in pod.containers:
            if container.container_id:
                name = ContainerName(pod.namespace, pod.name, container.name)
                self.learn_container(container.container_id, name, pod.uid)

    def _uid(self, namespace: str, pod: str, at_ns: int) -> str:
        incarnations = self._incarnations.get((namespace, pod))
        if not incarnations:
            return ""
        for incarnation in reversed(incarnations):
            gone_at_ns = incarnation.gone_at_ns
            if incarnation.first_seen_ns <= at_ns and (gone_at_ns is None or at_ns < gone_at_ns):
                return incarnation.uid
        # Nobody hears of a pod before it exists, so one that is heard of later may be meant already.
        late = [incarnation for incarnation in incarnations if incarnation.first_seen_ns > at_ns]
        return (late[0] if late else incarnations[-1]).uid

    def forget(self, now_ns: int) -> None:
        """Drop pods that nobody told of for so long before *now_ns* that no open window needs them."""
        for key, incarnations in list(self._incarnations.items()):
            kept = [one for one in incarnations if now_ns - one.last_seen_ns < _FORGET_AFTER_NS]
            gone = {one.uid for one in incarnations} - {one.uid for one in kept}
            if not gone:
                continue
            if kept:
                self._incarnations[key] = kept
            else:
                del self._incarnations[key]
            for uid in gone:
                self._names.pop(uid, None)
            self._containers = {
                container_id: holder
                for container_id, holder in self._containers.items()
                if holder.pod_uid not in gone
            }
