"""Who is who on a node: container names, pod UIDs, container ids and processes to holders."""

from collections.abc import Collection, Iterator

from gpucost.identity import HOST, Holder, HolderKind

from gpucost_agent.ledger.holdings import ContainerName
from gpucost_agent.ledger.pod_lives import PodLife
from gpucost_agent.readings import ClusterReading, Pod, ProcessIdentity

_REPLICAS_LABEL = "nvidia.com/gpu.replicas"


class Directory:
    """What is known of names; it only learns, and forgets what no open window needs."""

    def __init__(self, stand_alone: bool = False) -> None:
        """*stand_alone*: there is no Kubernetes, and whoever uses a GPU is told apart by container, unit or command."""
        self._stand_alone = stand_alone
        self._lives: dict[tuple[str, str], list[PodLife]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._static: dict[str, str] = {}
        self._containers: dict[str, Holder] = {}
        self._learned: ClusterReading | None = None
        self._forgot_ns = 0
        self.label_replicas: int | None = None
        """Into how many each shared GPU of the node is cut, as a label of the node says."""

    def learn(self, reading: ClusterReading) -> None:
        """Take in what the API server says of this node and its pods; the same reading again says nothing new."""
        if reading is self._learned:
            return
        self._learned = reading
        at = reading.read_at.wall_ns
        if reading.node is not None:
            label = reading.node.labels.get(_REPLICAS_LABEL, "")
            self.label_replicas = int(label) if label.isdecimal() else None
        # Of two pods of one name that are heard of at once, the one that is gone came first.
        for pod in sorted(reading.pods, key=lambda pod: pod.deleted_at_ns is None):
            self.learn_pod(pod.namespace, pod.name, pod.uid, at).learn(pod, at)
            if pod.static_uid:
                self._static[pod.static_uid] = pod.uid
            self._learn_containers(pod)

    def learn_pod(self, namespace: str, pod: str, uid: str, at_ns: int) -> PodLife:
        """The pod of this name has this UID at *at_ns*, whoever says so."""
        uid = self._static.get(uid, uid)
        self._names[uid] = (namespace, pod)
        lives = self._lives.setdefault((namespace, pod), [])
        for life in lives:
            if life.uid == uid:
                life.last_seen_ns = max(life.last_seen_ns, at_ns)
                return life
        lives.append(PodLife(uid, at_ns, at_ns))
        return lives[-1]

    def learn_container(self, container_id: str, name: ContainerName, uid: str) -> None:
        """The container with this id, whoever says so."""
        self._containers[container_id] = Holder(
            HolderKind.CONTAINER, name.namespace, name.pod, uid, name.container
        )

    def knows_container(self, container_id: str) -> bool:
        """Whether somebody said whose the container with this id is."""
        return container_id in self._containers

    def knows(self, namespace: str, pod: str) -> bool:
        """Whether a UID is known for a pod of this name."""
        return (namespace, pod) in self._lives

    def name_of(self, pod_uid: str) -> tuple[str, str] | None:
        """Namespace and name of a pod, by its UID or its id on the node; None where nobody told."""
        return self._names.get(self._static.get(pod_uid, pod_uid))

    def pods(self) -> Iterator[PodLife]:
        """Every pod that is remembered."""
        for lives in self._lives.values():
            yield from lives

    def lives(self, namespace: str, pod: str) -> tuple[PodLife, ...]:
        """The pods of this name, in the order in which they were heard of."""
        return tuple(self._lives.get((namespace, pod), ()))

    def life(self, name: ContainerName, at_ns: int) -> PodLife | None:
        """The pod that was meant by its name at *at_ns*; None where nobody told of one."""
        lives = self._lives.get((name.namespace, name.pod), [])
        uid = self._static.get(name.pod_uid, name.pod_uid)
        for life in reversed(lives):
            if life.uid == uid if uid else life.first_seen_ns <= at_ns < (life.gone_at_ns or at_ns + 1):
                return life
        # Nobody hears of a pod before it exists, so one that is heard of later may be meant already.
        late = [
            life for life in lives if life.first_seen_ns > at_ns and at_ns < (life.gone_at_ns or at_ns + 1)
        ]
        return (late[0] if late else lives[-1]) if lives and not uid else None

    def holder(self, name: ContainerName, at_ns: int) -> Holder:
        """The container of this name at *at_ns*; its pod's UID is empty where nobody told it."""
        life = self.life(name, at_ns)
        uid = life.uid if life is not None else self._static.get(name.pod_uid, name.pod_uid)
        return Holder(HolderKind.CONTAINER, name.namespace, name.pod, uid, name.container)

    def owner(self, process: ProcessIdentity, holders: Collection[Holder]) -> Holder:
        """
        Whose use a process is, on a device that *holders* hold.

        A container that holds nothing is a holder of its own, also beside one of its pod that does.
        A process without a pod is the host's.
        """
        if self._stand_alone:
            return _on_the_host(process)
        if not process.pod_uid and process.container_id not in self._containers:
            return HOST
        owner = self._containers.get(process.container_id)
        if owner is None:
            pod_uid = self._static.get(process.pod_uid, process.pod_uid)
            namespace, pod = self._names.get(pod_uid, ("", ""))
            # The start of its id stands in for a container whose name nobody told yet.
            container = "" if pod else process.container_id[:12]
            owner = Holder(HolderKind.CONTAINER, namespace, pod, pod_uid, container)
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

    def forget_before(self, instant_ns: int) -> None:
        """Drop pods of which nobody told after an instant."""
        if instant_ns == self._forgot_ns:
            return
        self._forgot_ns = instant_ns
        gone: set[str] = set()
        for key, lives in list(self._lives.items()):
            kept = [life for life in lives if life.last_seen_ns > instant_ns]
            gone |= {life.uid for life in lives} - {life.uid for life in kept}
            if kept:
                self._lives[key] = kept
            else:
                del self._lives[key]
        if not gone:
            return
        self._names = {uid: name for uid, name in self._names.items() if uid not in gone}
        self._static = {told: uid for told, uid in self._static.items() if uid not in gone}
        self._containers = {
            container_id: holder
            for container_id, holder in self._containers.items()
            if holder.pod_uid not in gone
        }

    def _learn_containers(self, pod: Pod) -> None:
        for container in pod.containers:
            if container.container_id:
                name = ContainerName(pod.namespace, pod.name, container.name)
                self.learn_container(container.container_id, name, pod.uid)


def _on_the_host(process: ProcessIdentity) -> Holder:
    """What people call a process by: its container, else the service that runs it, else its own name."""
    if process.container_id:
        return Holder(HolderKind.HOST, "container", process.pod_uid, "", process.container_id[:12])
    if process.unit.endswith(".service"):
        return Holder(HolderKind.HOST, "unit", "", "", process.unit)
    return Holder(HolderKind.HOST, "process", str(process.pid), "", process.command)
