"""The kubelet: who holds what, asked each second, and at once when it has written an allocation down."""

from typing import Protocol

from gpucost.trouble import Retry

from gpucost_agent.ledger.books import Books
from gpucost_agent.loops.room import Complaint, Room
from gpucost_agent.readings import HoldingReading
from gpucost_agent.sources.device_ids import KnownGpus
from gpucost_agent.sources.host_files import HostFiles
from gpucost_agent.sources.mig import mig_devices

HOLDERS_PERIOD_S = 1.0
"""A release lies between two answers, so a second bounds how wrong its instant can be."""

_GLANCES = 5
"""So often in a period it is looked whether the kubelet wrote an allocation down; a look is one stat."""


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
    while not room.stop.is_set():
        try:
            reading = source.read()
        except Retry as trouble:
            complaint.failing(str(trouble))
        else:
            complaint.works()
            _learn(room, reading, files)
            told.answer(reading)
        for _ in range(_GLANCES):
            if room.stop.wait(HOLDERS_PERIOD_S / _GLANCES) or source.changed:
                break


class Told:
    """Says what the kubelet's answers leave open, once when it changes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._unmapped: tuple[str, ...] = ()
        self._claims_hidden = False

    def answer(self, reading: HoldingReading) -> None:
        """The kubelet answered."""
        room = self._room
        unmapped = tuple(
            sorted(
                {each.raw for given in reading.allocations for each in given.devices if each.device is None}
            )
        )
        room.metrics.unmapped.set(len(unmapped))
        if unmapped != self._unmapped:
            room.log.warning("device_ids_unmapped", ids=unmapped[:8], count=len(unmapped))
            self._unmapped = unmapped
        if reading.claims_hidden != self._claims_hidden:
            self._claims_hidden = reading.claims_hidden
            if reading.claims_hidden:
                room.log.warning(
                    "claims_hidden",
                    what="pods hold GPUs by resource claims, and this kubelet does not list them; it does so since"
                    " Kubernetes 1.34, or with the feature gate KubeletPodResourcesDynamicResources",
                )


def _learn(room: Room, reading: HoldingReading, files: HostFiles) -> None:
    cluster = room.cluster_now()
    at_ns = reading.read_at.wall_ns
    with room.lock:
        directory = room.books.directory
        if cluster is not None:
            directory.learn(cluster)
        for allocation in reading.allocations:
            # Without the API server nobody else tells of a later pod of the same name.
            if allocation.devices and (
                cluster is None or not directory.knows(allocation.namespace, allocation.pod)
            ):
                uid = files.pod_uid(allocation.namespace, allocation.pod)
                if uid:
                    directory.learn_pod(allocation.namespace, allocation.pod, uid, at_ns)
        directory.forget(at_ns if cluster is None else cluster.read_at.wall_ns)
        room.books.read_holders(reading)


def watch_nobody(room: Room) -> None:
    """Thread of the holders where there is no kubelet: nobody holds anything, so all time without use is free."""
    while True:
        with room.lock:
            room.books.read_holders(HoldingReading(room.clock.now(), (), None))
        if room.stop.wait(HOLDERS_PERIOD_S):
            return
