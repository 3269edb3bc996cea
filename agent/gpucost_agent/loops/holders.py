"""The kubelet: who holds what, asked each second or two, and at once when something happened on the node."""

from typing import Protocol

from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_agent.ledger.books import Books
from gpucost_agent.loops.room import Complaint, Room
from gpucost_agent.readings import ContainerNamed, HoldingReading, PodNamed
from gpucost_agent.sources.driver.mig import mig_devices
from gpucost_agent.sources.host.host_files import HostFiles
from gpucost_agent.sources.kubelet.device_ids import KnownGpus

PODS_KEPT_NS = 120 * NS_PER_SECOND
"""Pods that nobody told of since so long before the open window are of none that is still to be closed."""

HOLDERS_PERIOD_S = 1.0
"""A release lies between two answers, so a second bounds how wrong its instant can be."""

TOLD_PERIOD_S = 2.0
"""So often where the API server tells of pods: it dates their ends, and whatever it tells is asked about at once."""

FIRST_LOOKS_S = 5.0
"""An id of a partitioned GPU means a device once the GPU was looked at; one that hangs is not waited for longer."""

_LOOKED_S = 0.05

_GLANCE_S = 0.5
"""So often it is looked whether the kubelet wrote an allocation down, which its file dates; a look is one stat."""


class HolderSource(Protocol):
    """The kubelet; ``read`` blocks for seconds at most."""

    def read(self) -> HoldingReading:
        """Its answer. Raises Retry where it does not answer."""
        ...

    @property
    def changed(self) -> bool:
        """Whether it wrote an allocation down since the last answer. One look at a file."""
        ...


def known_gpus(books: Books) -> KnownGpus:
    """What the driver shows now, to find devices by their ids."""
    mig = [mig_devices(uuid, partition) for uuid, partition in books.partitions().items()]
    return KnownGpus(books.gpus(), {uuid: device for devices in mig for uuid, device in devices.items()})


def watch_holders(room: Room, source: HolderSource, files: HostFiles) -> None:
    """Thread of the holders: the kubelet's answers, and who the pods are that it names."""
    complaint, told = Complaint(room, "pod_resources"), Told(room)
    of_pods = Complaint(room, "pods")
    _await_first_looks(room)
    while not room.stop.is_set():
        if (trouble_of_pods := room.cluster.trouble if room.cluster is not None else None) is not None:
            of_pods.failing(trouble_of_pods)
        else:
            of_pods.works()
        told_of, layouts, period_s = room.cluster_now(), room.books.partitions(), HOLDERS_PERIOD_S
        try:
            reading = source.read()
        except Retry as trouble:
            complaint.failing(str(trouble))
            _learn_ends(room)
        else:
            complaint.works()
            unmapped = _learn(room, reading, files)
            told.answer(unmapped, reading.claims_hidden)
            if told_of is not None and trouble_of_pods is None:
                period_s = TOLD_PERIOD_S
        for _ in range(max(1, round(room.left_s(period_s) / _GLANCE_S))):
            if room.wait(_GLANCE_S) or source.changed:
                break
            if room.cluster_now() is not told_of or room.books.partitions() != layouts:
                break


def _await_first_looks(room: Room) -> None:
    there = {gpu.uuid for gpu in room.books.gpus() if gpu.index >= 0}
    for _ in range(round(FIRST_LOOKS_S / _LOOKED_S)):
        if there <= room.last_read_ns.keys() or room.stop.wait(_LOOKED_S):
            return


class Told:
    """Says what the kubelet's answers leave open, once when it changes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._unmapped: tuple[str, ...] = ()
        self._claims_hidden = False

    def answer(self, unmapped: tuple[str, ...], claims_hidden: bool) -> None:
        """The kubelet answered; *unmapped* are ids of which nobody can say which GPU they mean."""
        room = self._room
        room.metrics.unmapped.set(len(unmapped))
        if unmapped != self._unmapped:
            room.log.warning("device_ids_unmapped", ids=unmapped[:8], count=len(unmapped))
            self._unmapped = unmapped
        if claims_hidden != self._claims_hidden:
            self._claims_hidden = claims_hidden
            if claims_hidden:
                room.log.warning(
                    "claims_hidden",
                    what="pods hold GPUs by resource claims, and this kubelet does not list them; it does so since"
                    " Kubernetes 1.34, or with the feature gate KubeletPodResourcesDynamicResources",
                )


def _learn_ends(room: Room) -> None:
    """Pods end also while the kubelet does not answer, and windows close meanwhile."""
    cluster = room.cluster_now()
    if cluster is not None:
        room.take(cluster)


def _learn(room: Room, reading: HoldingReading, files: HostFiles) -> tuple[str, ...]:
    """Take it into the books; the ids that they have no GPU for."""
    cluster = room.cluster_now()
    at_ns = reading.read_at.wall_ns
    with room.lock:
        directory = room.books.directory
        if cluster is not None:
            room.take_locked(cluster)
        else:
            _learn_containers(room, files, at_ns)
        for allocation in reading.allocations:
            # Without the API server nobody else tells of a later pod of the same name.
            if allocation.devices and (
                cluster is None or not directory.knows(allocation.namespace, allocation.pod)
            ):
                uid = files.pod_uid(allocation.namespace, allocation.pod)
                if uid:
                    room.take_locked(PodNamed(allocation.namespace, allocation.pod, uid, at_ns))
        directory.forget_before(room.books.closed_through_ns - PODS_KEPT_NS)
        room.take_locked(reading)
        return room.books.unmapped_ids(at_ns)


def _learn_containers(room: Room, files: HostFiles, at_ns: int) -> None:
    """Where nobody else tells whose a container is, the names of its logs do."""
    for container_id, (namespace, pod, container) in files.containers.items():
        uid = files.pod_uid(namespace, pod)
        if uid is not None:
            room.take_locked(PodNamed(namespace, pod, uid, at_ns))
            # What was learned of a container stays: a later pod of its pod's name has another UID.
            if not room.books.directory.knows_container(container_id):
                room.take_locked(ContainerNamed(container_id, namespace, pod, container, uid))


def watch_nobody(room: Room) -> None:
    """Thread of the holders where there is no kubelet: nobody holds anything, so all time without use is free."""
    while True:
        with room.lock:
            room.books.read_holders(HoldingReading(room.clock.now(), (), None))
        if room.wait(HOLDERS_PERIOD_S):
            return
