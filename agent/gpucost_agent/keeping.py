"""Closed windows into the spool, each with what is new about its pods and GPUs."""

from collections.abc import Mapping

from gpucost.prices import GpuContext, override_trouble
from gpucost.wire import MAX_MESSAGE_BYTES, BatchContent, WindowSlices, batch_to_bytes

from gpucost_agent.abridging import abridging
from gpucost_agent.ledger.books import ClosedWindow
from gpucost_agent.loops.room import Room
from gpucost_agent.news import News
from gpucost_agent.quoting import Quoting
from gpucost_agent.spool import Spool

LARGEST_BATCH = MAX_MESSAGE_BYTES - (64 << 10)
"""What fits into a message of the stream: a hundred times a very busy node's window."""


class Keeping:
    """Keeps windows for the aggregator. *news* is what it does not know yet."""

    def __init__(self, room: Room, spool: Spool, quoting: Quoting) -> None:
        self._room, self._spool, self.quoting = room, spool, quoting
        self.news = News()
        self._told_trouble = ""

    def keep(self, closed: ClosedWindow) -> None:
        """Put a closed window into the spool."""
        room, interval = self._room, closed.interval
        cluster = room.cluster_now()
        contexts = self.quoting.contexts(room)
        workloads = self.news.of(closed.slices, cluster.pods if cluster else (), interval.start_ns)
        gpu_facts = self.news.of_gpus(room.books.gpus(), contexts, interval.start_ns)

        def encode(sequence_number: int) -> bytes:
            content = BatchContent(
                sequence_number,
                WindowSlices(interval.start_ns, interval.length_ns, closed.slices),
                workloads,
                gpu_facts,
                interval.end_ns,
                self.quoting.prices.at(interval.start_ns).book.version,
            )
            whole = batch_to_bytes(content)
            if len(whole) <= LARGEST_BATCH:
                return whole
            room.log.error(
                "window_too_large",
                size=len(whole),
                slices=len(closed.slices),
                what="no stream takes it: what its GPUs cost is kept, and who held them is not",
            )
            return abridging(room.books.node)(whole)

        self._spool.append(encode, closed.checkpoint.to_json(), room.clock.now().wall_ns)
        self._complain_of_annotation(contexts)
        self.show_spool()

    def show_spool(self) -> None:
        """What waits in the spool, on /metrics."""
        fill, metrics = self._spool.fill(), self._room.metrics
        metrics.spool_batches.set(fill.waiting_batches)
        metrics.spool_bytes.set(fill.waiting_bytes)
        metrics.spool_lost.set(fill.lost_windows)
        metrics.spool_on_disk.set(fill.on_disk)

    def _complain_of_annotation(self, contexts: Mapping[str, GpuContext]) -> None:
        trouble = next((words for words in map(override_trouble, contexts.values()) if words), "")
        if trouble != self._told_trouble:
            self._told_trouble = trouble
            if trouble:
                self._room.log.warning("price_annotation_ignored", reason=trouble)
