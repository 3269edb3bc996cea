"""The embedded store: one DuckDB file, one writer, readers beside it."""

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import duckdb
from gpucost.facts import ClusterFacts, GpuFacts, NamespaceFacts, NodeFacts, WaitingPod, WorkloadFacts
from gpucost.identity import NodeId
from gpucost.trouble import Reject, Retry

from gpucost_aggregator.store import duckdb_cluster as cluster_facts
from gpucost_aggregator.store import duckdb_quarantine as quarantine
from gpucost_aggregator.store import duckdb_reading as reading
from gpucost_aggregator.store.backup_rows import Backup, BackupOrder
from gpucost_aggregator.store.closed_rows import (
    Adjustment,
    AdjustmentPage,
    BooksEnd,
    ClosedBooks,
    SharedGpu,
)
from gpucost_aggregator.store.duckdb_adjustments import write_adjustments
from gpucost_aggregator.store.duckdb_backup import make_backup
from gpucost_aggregator.store.duckdb_facts import LabelSets
from gpucost_aggregator.store.duckdb_held_time import read_epochs
from gpucost_aggregator.store.duckdb_opening import FILE_NAME, StoreOptions, database_trouble, open_store
from gpucost_aggregator.store.duckdb_shared_gpus import SHARED_GPUS, read_shared_gpus
from gpucost_aggregator.store.duckdb_writing import write_batches, write_closed_books
from gpucost_aggregator.store.message_shelf import MessageShelf
from gpucost_aggregator.store.paging import (
    cursor_after,
    cursor_after_number,
    number_from_cursor,
    place_from_cursor,
)
from gpucost_aggregator.store.quarantine_rows import (
    QuarantineId,
    QuarantinePage,
    QuarantineScope,
    Replay,
    SetAside,
)
from gpucost_aggregator.store.rows import (
    AcceptedBatch,
    AgentId,
    CommitReport,
    Dimension,
    Durable,
    NodeProgress,
    QuarantineTotals,
    Scope,
    SlicePage,
    StoreIdentity,
    Total,
)


class DuckDBStore:
    """
    The `Store` of one aggregator in a folder of its own.

    ``commit`` holds the one writing connection; two writers at once would count a row twice without an error.
    Every reading thread has a cursor of its own, and every query is fetched to its end:
    the database streams, and a remainder that nobody fetches blocks its connection.
    """

    def __init__(self, folder: Path, options: StoreOptions | None = None) -> None:
        """
        Open the store in *folder*; make it where there is none.

        Raises:
            Stop: It can not be written (exit code 4), or is locked, newer than this program or no store (5).
        """
        self._folder = folder
        self._path = folder / FILE_NAME
        self._options = options or StoreOptions()
        self._connection, self._identity = open_store(folder, self._options)
        self._writing = threading.Lock()
        self._backing_up = threading.Lock()
        self._local = threading.local()
        self._cursors: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
        rows = self._connection.execute("SELECT content, label_set_id FROM label_sets").fetchall()
        self._label_sets = LabelSets(dict(rows))
        self._epochs = read_epochs(self._connection)
        self._shelf = MessageShelf(folder)

    def identity(self) -> StoreIdentity:
        """Which store this is."""
        return self._identity

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        """
        Keep *batches* in one transaction; it is on the disk when this returns.

        Raises:
            Retry: Less than the reserve is free on the disk, or the database was short of something.
            Stop: The database gave up; open it again in a new process.
        """
        if not batches:
            return CommitReport(0, 0, 0)

        def write() -> CommitReport:
            report = write_batches(self._connection, batches, self._label_sets, self._epochs)
            if any(batch.refused or batch.malformed for batch in batches):
                quarantine.number_new(self._connection)
            return report

        if messages := [batch.malformed.message for batch in batches if batch.malformed]:
            self._see_room()
            # Before the batches, so that whatever they name is there.
            self._shelf.keep(messages)
        return self._in_transaction(write)

    def durable(self, agent: AgentId) -> Durable | None:
        """How far *agent* is held; None if it was never heard."""
        rows = self._ask(
            "SELECT sequence_number, sha256 FROM agents WHERE cluster = ? AND node = ? AND epoch = ?",
            [agent.node.cluster, agent.node.node, agent.epoch],
        )
        return Durable(*rows[0]) if rows else None

    def totals(self, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
        """Sums of the slices in *scope* by *by*, in the order of their keys."""
        return reading.totals(self._ask, scope, by)

    def slices(self, scope: Scope, cursor: str | None, limit: int) -> SlicePage:
        """
        At most *limit* slices behind *cursor*; one that is written meanwhile is on a later page or on none.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        after = None if cursor is None else place_from_cursor(cursor)
        found = reading.slices(self._ask, scope, after, limit + 1)
        page = tuple(found[:limit])
        return SlicePage(page, cursor_after(page[-1].key) if page and len(found) > limit else None)

    def adjustments(self, scope: Scope, cursor: str | None, limit: int) -> AdjustmentPage:
        """
        At most *limit* adjustments behind *cursor*, in the order in which they were made.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        after = 0 if cursor is None else number_from_cursor(cursor)
        found = reading.adjustments(self._ask, scope, after, limit + 1)
        page = tuple(found[:limit])
        more = page and len(found) > limit
        return AdjustmentPage(page, cursor_after_number(page[-1].number) if more else None)

    def adjust(self, adjustments: Sequence[Adjustment]) -> None:
        """Keep *adjustments* in one transaction; raises as ``commit`` does."""

        def write() -> CommitReport:
            write_adjustments(self._connection, adjustments)
            return CommitReport(len(adjustments), 0, 0)

        self._in_transaction(write)

    def close_books(self, closed: Sequence[ClosedBooks]) -> CommitReport:
        """Keep books that the aggregator closes itself, in one transaction; raises as ``commit`` does."""
        return self._in_transaction(lambda: write_closed_books(self._connection, closed))

    def books_end(self, node: NodeId, boot_id: str) -> BooksEnd | None:
        """Where the books of *boot_id* of *node* end; None if it was never heard."""
        return reading.books_end(self._ask, node, boot_id)

    def keep_cluster_facts(self, cluster: str, facts: ClusterFacts) -> None:
        """Take in what *cluster*'s watcher says, in one transaction; raises as ``commit`` does."""

        def write() -> CommitReport:
            cluster_facts.write_cluster_facts(self._connection, cluster, facts)
            return CommitReport(0, 0, 0)

        self._in_transaction(write)

    def nodes(self) -> Mapping[NodeId, NodeFacts]:
        """Every node that a cluster's watcher ever named."""
        return cluster_facts.read_nodes(self._ask)

    def namespace_facts(self) -> Mapping[tuple[str, str], NamespaceFacts]:
        """Every namespace that a cluster's watcher ever named, by cluster and name."""
        return cluster_facts.read_namespaces(self._ask)

    def waiting_pods(self) -> Mapping[str, Sequence[WaitingPod]]:
        """Pods that wait for GPUs, by cluster, those that wait longest first."""
        return cluster_facts.read_waiting_pods(self._ask)

    def watched_clusters(self) -> Mapping[str, int]:
        """When each cluster's watcher was heard last, in nanoseconds since 1970."""
        return cluster_facts.read_watched(self._ask)

    def shared_gpus(self) -> list[SharedGpu]:
        """GPUs that two nodes have slices of in the same windows, the latest first."""
        return read_shared_gpus(self._ask(SHARED_GPUS, []))

    def workloads(self, scope: Scope) -> Mapping[tuple[str, str, str, str], WorkloadFacts]:
        """Latest facts by (cluster, namespace, pod, pod UID) of the pods that have slices in *scope*."""
        return reading.workloads(self._ask, scope)

    def gpus(self) -> Mapping[tuple[str, str], GpuFacts]:
        """Latest facts by (cluster, GPU UUID)."""
        return reading.gpus(self._ask)

    def progress(self) -> list[NodeProgress]:
        """How far every node is, newest boot only."""
        return reading.progress(self._ask)

    def namespaces(self, clusters: Sequence[str]) -> list[str]:
        """Every namespace that ever held something in *clusters* (empty: in any), in order."""
        return reading.namespaces(self._ask, clusters)

    def first_window_ns(self, clusters: Sequence[str]) -> int | None:
        """When the books of *clusters* (empty: of all) begin; None where they are empty."""
        return reading.first_window_ns(self._ask, clusters)

    def quarantined(self, scope: Scope) -> QuarantineTotals:
        """What is set aside in *scope*."""
        return reading.quarantined(self._ask, scope)

    def set_aside(self, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
        """
        One page of what is set aside, the oldest first.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        return quarantine.set_aside(self._ask, scope, cursor, limit)

    def set_aside_by_id(self, ids: Sequence[QuarantineId]) -> list[SetAside]:
        """Those of *ids* that were ever set aside, in the order of their ids."""
        return quarantine.by_id(self._ask, ids)

    def malformed_message(self, wanted: QuarantineId) -> bytes | None:
        """The message of a malformed batch as it came; None where there is none."""
        return quarantine.message_of(self._ask, self._shelf, wanted.number) if wanted.is_batch else None

    def replay(self, replays: Sequence[Replay], at_ns: int) -> CommitReport:
        """Keep what *replays* accept and mark them, in one transaction; raises as ``commit`` does."""
        return self._in_transaction(
            lambda: quarantine.write_replays(self._connection, replays, self._label_sets, at_ns)
        )

    def conflicts(self) -> int:
        """How many slices came with a known key and other content, ever."""
        return int(self._ask("SELECT count(*) FROM conflicts", [])[0][0])

    def backup(self, order: BackupOrder) -> Backup:
        """
        Copy everything to where *order* says, while others read and write.

        Raises:
            Reject: A file is there already, it is no place for one, or another backup is being made.
            Retry: There is no room.
        """
        if not self._backing_up.acquire(blocking=False):
            raise Reject("another backup is being made: wait until it is there")
        try:
            cursor = self._connection.cursor()
            try:
                return make_backup(cursor, self._shelf, self._folder, order, self._options)
            finally:
                cursor.close()
        finally:
            self._backing_up.release()

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        with self._writing:
            for cursor in list(self._cursors):
                cursor.close()
            self._connection.close()
            self._shelf.close()

    def _in_transaction(self, write: Callable[[], CommitReport]) -> CommitReport:
        self._see_room()
        with self._writing, database_trouble(self._path):
            self._connection.execute("BEGIN")
            try:
                report = write()
                self._connection.execute("COMMIT")
            except BaseException:
                self._label_sets.drop()
                self._roll_back()
                raise
            self._label_sets.keep()
        return report

    def _see_room(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._options.reserve_bytes:
            raise Retry(
                f"{self._folder}: {free >> 20} MiB are free on its disk, "
                f"and {self._options.reserve_bytes >> 20} MiB are kept as a reserve: make room"
            )

    def _ask(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with database_trouble(self._path):
            return self._cursor().execute(query, parameters).fetchall()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._connection.cursor()
            self._cursors.add(cursor)
        return cursor

    def _roll_back(self) -> None:
        # Where the failure that led here ended the transaction already, it is the one to tell.
        with suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")
