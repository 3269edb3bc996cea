"""
The agent's loops: what each thread does, over and over, until the agent ends.

Sources are read into the books, due windows are closed into the spool. One lock guards the books;
no loop holds it while it waits for the outside.
"""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gpucost.clock import Clock
from gpucost.cost_slice import Price, breaches
from gpucost.prices import GpuContext, Prices, override_trouble
from gpucost.trouble import Retry, Stop
from gpucost.units import NS_PER_SECOND, POLICY_VERSION
from gpucost.wire import BatchContent, WindowSlices, batch_to_message
from structlog.typing import FilteringBoundLogger

from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.metrics import Metrics
from gpucost_agent.news import News
from gpucost_agent.readings import ClusterReading, Gpu, GpuReading, HoldingReading, Node, ProcessIdentity
from gpucost_agent.sources.host_files import HostFiles
from gpucost_agent.spool import Spool

GPU_PERIOD_S = 1.0
"""The driver's ring holds ten seconds; a second loses nothing and sees most processes before they end."""

HOLDERS_PERIOD_S = 1.0
"""A change of holders lies between two answers, so a second bounds how wrong its instant can be."""

CLOSING_PERIOD_S = 0.5

_BLIND_LOOKS = 5
"""Looks in a row in which no process was found, before that is called blindness."""


class GpuSource(Protocol):
    """One GPU; ``read`` may block for ever where the driver hangs."""

    def read(self) -> GpuReading:
        """A look. Raises Retry where it may work later, Stop where it never will."""
        ...


class HolderSource(Protocol):
    """The kubelet; ``read`` blocks for seconds at most."""

    def read(self) -> HoldingReading:
        """Its answer. Raises Retry where it does not answer."""
        ...


class ProcessSource(Protocol):
    """Host processes; does not block."""

    def identify(self, pid: int) -> ProcessIdentity | None:
        """Who a process is; None if that can not be found out."""
        ...

    def blindness(self, pids: Collection[int]) -> str | None:
        """Why none of *pids*, which the driver names, can be found, in words; None if one can."""
        ...


class ClusterSource(Protocol):
    """The API server, followed by a thread of its own."""

    def latest(self) -> ClusterReading | None:
        """What was last known. Never blocks."""
        ...


@dataclass
class Room:
    """
    What the loops share. *began_ns* and *last_read_ns*, by GPU, are monotonic.

    *lock* guards the books. Whoever closes windows holds *closing* until they are in the spool, so that they lie
    there in their order, and the last checkpoint is the newest.
    """

    books: Books
    spool: Spool
    clock: Clock
    metrics: Metrics
    log: FilteringBoundLogger
    prices: Prices
    cluster: ClusterSource | None
    stop: threading.Event
    began_ns: int
    news: News = field(default_factory=News)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Lock = field(default_factory=threading.Lock)
    last_read_ns: dict[str, int] = field(default_factory=dict)
    failed: list[Stop] = field(default_factory=list)
    told_trouble: str = ""

    def fail(self, trouble: Stop) -> None:
        """A thread met something that only a person can mend: the agent ends."""
        self.failed.append(trouble)
        self.stop.set()


class Complaint:
    """Says that a source fails once when it begins to, and once when it works again."""

    def __init__(self, room: Room, source: str) -> None:
        self._room, self._source, self._reason = room, source, ""

    def failing(self, reason: str) -> None:
        """It failed."""
        self._room.metrics.troubles.labels(self._source, "read").inc()
        if reason != self._reason:
            self._room.log.warning("source_fails", source=self._source, reason=reason)
            self._reason = reason

    def works(self) -> None:
        """It worked."""
        if self._reason:
            self._room.log.info("source_works_again", source=self._source)
            self._reason = ""


class Sight:
    """Says when the host's processes can not be named at all; one that just ended is no sign of that."""

    def __init__(self, room: Room, processes: ProcessSource) -> None:
        self._complaint = Complaint(room, "host_processes")
        self._processes = processes
        self._blind_looks = 0

    def look(self, pids: Collection[int]) -> None:
        """The driver names *pids* as running now."""
        blindness = self._processes.blindness(pids) if pids else None
        if blindness is None:
            self._blind_looks = 0
            if pids:
                self._complaint.works()
            return
        self._blind_looks += 1
        if self._blind_looks >= _BLIND_LOOKS:
            self._complaint.failing(f"{blindness}; use on shared GPUs stays unattributed")


def watch_gpu(room: Room, gpu: Gpu, source: GpuSource, processes: ProcessSource) -> None:
    """Thread of one GPU: its readings, with its processes identified while they still live."""
    complaint, sight = Complaint(room, f"nvml:{gpu.uuid}"), Sight(room, processes)
    while True:
        try:
            reading = source.read()
            _take(room, gpu, reading, processes)
            sight.look({process.pid for process in reading.processes or ()})
        except Retry as trouble:
            complaint.failing(str(trouble))
        except Stop as trouble:
            room.fail(trouble)
            return
        else:
            complaint.works()
        if room.stop.wait(GPU_PERIOD_S):
            return


def _take(room: Room, gpu: Gpu, reading: GpuReading, processes: ProcessSource) -> None:
    for name in reading.troubles:
        room.metrics.troubles.labels("nvml", name).inc()
    identities = {pid: processes.identify(pid) for pid in _pids(reading)}
    room.last_read_ns[gpu.uuid] = reading.read_at.monotonic_ns
    room.metrics.last_read.labels(gpu.uuid).set(reading.read_at.wall_ns / NS_PER_SECOND)
    with room.lock:
        room.books.read_gpu(reading, identities)


def watch_holders(room: Room, source: HolderSource, files: HostFiles) -> None:
    """Thread of the holders: the kubelet's answers, and who the pods are that it names."""
    complaint = Complaint(room, "pod_resources")
    told_unmapped: tuple[str, ...] = ()
    while True:
        try:
            reading = source.read()
        except Retry as trouble:
            complaint.failing(str(trouble))
        else:
            complaint.works()
            _learn(room, reading, files)
            held = room.books.holdings.latest
            unmapped = tuple(raw for _, raw in held.unmapped) if held else ()
            room.metrics.unmapped.set(len(unmapped))
            if unmapped != told_unmapped:
                room.log.warning("device_ids_unmapped", ids=unmapped[:8], count=len(unmapped))
                told_unmapped = unmapped
        if room.stop.wait(HOLDERS_PERIOD_S):
            return


def _learn(room: Room, reading: HoldingReading, files: HostFiles) -> None:
    cluster = room.cluster.latest() if room.cluster is not None else None
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


def close_windows(room: Room) -> None:
    """Thread that settles: windows that are over go into the spool."""
    while not room.stop.wait(CLOSING_PERIOD_S):
        close_due(room)
        _show_spool(room)


def close_due(room: Room) -> None:
    """Close every window that is due now."""
    while True:
        with room.closing:
            with room.lock:
                now = room.clock.now()
                room.books.tick(now)
                closed = room.books.close_next(now.wall_ns)
            if closed is None:
                return
            keep(room, closed)


def close_for_good(room: Room) -> None:
    """The agent ends: the open window is closed short, here and now."""
    with room.closing:
        with room.lock:
            now = room.clock.now()
            room.books.tick(now)
            windows = room.books.close_short(now.wall_ns)
        for closed in windows:
            keep(room, closed)


def keep(room: Room, closed: ClosedWindow) -> None:
    """Put a closed window into the spool, with what is new about its pods and GPUs."""
    _check(room, closed)
    cluster = room.cluster.latest() if room.cluster is not None else None
    gpus = room.books.gpus()
    contexts = {gpu.uuid: gpu_context(room.books, gpu, cluster.node if cluster else None) for gpu in gpus}
    interval = closed.interval
    workloads = room.news.of(closed.slices, cluster.pods if cluster else (), interval.start_ns)
    gpu_facts = room.news.of_gpus(gpus, contexts, interval.start_ns)

    def encode(sequence_number: int) -> bytes:
        content = BatchContent(
            sequence_number,
            WindowSlices(interval.start_ns, interval.length_ns, closed.slices),
            workloads,
            gpu_facts,
            interval.end_ns,
            room.prices.book.version,
        )
        # Deterministic, so that both ends know a batch by one hash.
        return batch_to_message(content).SerializeToString(deterministic=True)

    room.spool.append(encode, closed.checkpoint.to_json(), room.clock.now().wall_ns)
    room.metrics.holders.add(closed.slices, interval.end_ns)
    room.metrics.windows.inc()
    unpriced = {row.key.device.gpu_uuid for row in closed.slices if row.price.nanodollars_per_hour is None}
    room.metrics.unpriced_gpus.set(len(unpriced))
    _complain_of_annotation(room, contexts)
    room.log.debug("window_closed", start_ns=interval.start_ns, slices=len(closed.slices))


def quote(room: Room, gpu_uuid: str, at_ns: int) -> Price:
    """The price of a GPU for the window that begins at *at_ns*."""
    cluster = room.cluster.latest() if room.cluster is not None else None
    gpu = next(gpu for gpu in room.books.gpus() if gpu.uuid == gpu_uuid)
    return room.prices.quote(gpu_context(room.books, gpu, cluster.node if cluster else None), gpu_uuid, at_ns)


def gpu_context(books: Books, gpu: Gpu, node: Node | None) -> GpuContext:
    """What the price of *gpu* depends on, as far as the node's object is known."""
    return gpu_context_of(books.node.cluster, gpu, books.gpus(), node)


def gpu_context_of(cluster: str, gpu: Gpu, gpus: tuple[Gpu, ...], node: Node | None) -> GpuContext:
    """What the price of *gpu* depends on; *gpus* are all that were seen on its node since the boot."""
    return GpuContext(
        cluster,
        node.labels if node else {},
        node.annotations if node else {},
        gpu.model,
        tuple(each.uuid for each in gpus),
    )


def _check(room: Room, closed: ClosedWindow) -> None:
    for row in closed.slices:
        for words in breaches(row):
            room.metrics.law_breaches.labels("slice").inc()
            room.log.error("law_broken", law="slice", what=words, policy=POLICY_VERSION)
    for law, words in window_breaches(closed.slices, closed.lives, closed.lengths_ns):
        room.metrics.law_breaches.labels(law).inc()
        room.log.error("law_broken", law=law, what=words, policy=POLICY_VERSION)


def _complain_of_annotation(room: Room, contexts: Mapping[str, GpuContext]) -> None:
    trouble = next((words for words in map(override_trouble, contexts.values()) if words), "")
    if trouble != room.told_trouble:
        room.told_trouble = trouble
        if trouble:
            room.log.warning("price_annotation_ignored", reason=trouble)


def _show_spool(room: Room) -> None:
    fill = room.spool.fill()
    room.metrics.spool_batches.set(fill.waiting_batches)
    room.metrics.spool_bytes.set(fill.waiting_bytes)
    room.metrics.spool_lost.set(fill.lost_windows)
    room.metrics.spool_on_disk.set(fill.on_disk)


def _pids(reading: GpuReading) -> set[int]:
    pids = {process.pid for process in reading.processes or ()}
    if reading.process_window is not None:
        pids |= {use.pid for use in reading.process_window.uses}
    return pids
