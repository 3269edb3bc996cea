"""The embedded store: one DuckDB file, one writer, readers beside it."""

import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import duckdb
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.trouble import Retry

from gpucost_aggregator.store import duckdb_reading as reading
from gpucost_aggregator.store.duckdb_facts import LabelSets
from gpucost_aggregator.store.duckdb_opening import FILE_NAME, StoreOptions, database_trouble, open_store
from gpucost_aggregator.store.duckdb_writing import write_batches
from gpucost_aggregator.store.paging import cursor_after, place_from_cursor
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
        self._local = threading.local()
        self._cursors: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
        rows = self._connection.execute("SELECT content, label_set_id FROM label_sets").fetchall()
        self._label_sets = LabelSets(dict(rows))

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
        free = shutil.disk_usage(self._folder).free
        if free < self._options.reserve_bytes:
            raise Retry(
                f"{self._folder}: {free >> 20} MiB are free on its disk, "
                f"and {self._options.reserve_bytes >> 20} MiB are kept as a reserve: make room"
            )
        with self._writing, database_trouble(self._path):
            self._connection.execute("BEGIN")
            try:
                report = write_batches(self._connection, batches, self._label_sets)
                self._connection.execute("COMMIT")
            except BaseException:
                self._label_sets.drop()
                self._roll_back()
                raise
            self._label_sets.keep()
        return report

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

    def conflicts(self) -> int:
        """How many slices came with a known key and other content, ever."""
        return int(self._ask("SELECT count(*) FROM conflicts", [])[0][0])

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        with self._writing:
            for cursor in list(self._cursors):
                cursor.close()
            self._connection.close()

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
