"""
The store sums, the reports interpret.

May know gpucost and a database; knows no report, no face and no stream.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpucost.facts import ClusterFacts, GpuFacts, NamespaceFacts, NodeFacts, WaitingPod, WorkloadFacts
from gpucost.identity import NodeId

from gpucost_aggregator.store.closed_rows import (
    Adjustment,
    AdjustmentPage,
    BooksEnd,
    ClosedBooks,
    SharedGpu,
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


class Store(Protocol):
    """
    Slices of all clusters, and how far every agent's are durable.

    Every call may block on the disk. ``commit`` is called by one thread at a time, the others by any.
    All raise ``Retry`` where the disk is full or busy, and ``Stop`` where the store can not be used at all.
    """

    def identity(self) -> StoreIdentity:
        """Which store this is."""
        ...

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        """
        Keep *batches*, durably, in one transaction with their sequence numbers.

        A key that is there already counts once: the first content wins, other content is a conflict.
        Slices of time that was closed as lost go in as adjustments, and take the lost time away by others.
        Of time that another epoch of the node told of before, slices count as known keys do, whatever their keys;
        what a window has beyond that time becomes lost time.
        """
        ...

    def durable(self, agent: AgentId) -> Durable | None:
        """How far *agent* is held; None if it was never heard."""
        ...

    def totals(self, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
        """Sums of slices in *scope* and what adjusts them, a row for each combination of *by* that occurs, in order."""
        ...

    def slices(self, scope: Scope, cursor: str | None, limit: int) -> SlicePage:
        """
        One page of the slices themselves.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        ...

    def adjustments(self, scope: Scope, cursor: str | None, limit: int) -> AdjustmentPage:
        """
        One page of what adjusts slices in *scope*, in the order in which it was made.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        ...

    def adjust(self, adjustments: Sequence[Adjustment]) -> None:
        """Keep *adjustments*, durably, in one transaction; called as ``commit`` is."""
        ...

    def close_books(self, closed: Sequence[ClosedBooks]) -> CommitReport:
        """
        Keep books that the aggregator closes itself, durably, in one transaction; called as ``commit`` is.

        Slices count as those of a batch do. Books that go on after all are open again.
        """
        ...

    def books_end(self, node: NodeId, boot_id: str) -> BooksEnd | None:
        """Where the books of *boot_id* of *node* end; None if it was never heard."""
        ...

    def keep_cluster_facts(self, cluster: str, facts: ClusterFacts) -> None:
        """
        Take in what *cluster*'s watcher says, durably; called as ``commit`` is.

        Where it is everything that exists, what it does not name is deleted.
        """
        ...

    def nodes(self) -> Mapping[NodeId, NodeFacts]:
        """Every node that a cluster's watcher ever named."""
        ...

    def namespace_facts(self) -> Mapping[tuple[str, str], NamespaceFacts]:
        """Every namespace that a cluster's watcher ever named, by cluster and name."""
        ...

    def waiting_pods(self) -> Mapping[str, Sequence[WaitingPod]]:
        """Pods that wait for GPUs, by cluster, those that wait longest first."""
        ...

    def watched_clusters(self) -> Mapping[str, int]:
        """When each cluster's watcher was heard last, in nanoseconds since 1970."""
        ...

    def shared_gpus(self) -> list[SharedGpu]:
        """GPUs that two nodes have slices of in the same windows, the latest first."""
        ...

    def workloads(self, scope: Scope) -> Mapping[tuple[str, str, str, str], WorkloadFacts]:
        """Latest facts by (cluster, namespace, pod, pod UID) of the pods that have slices in *scope*, where known."""
        ...

    def gpus(self) -> Mapping[tuple[str, str], GpuFacts]:
        """Latest facts by (cluster, GPU UUID)."""
        ...

    def progress(self) -> list[NodeProgress]:
        """How far every node is, newest boot only."""
        ...

    def namespaces(self, clusters: Sequence[str]) -> list[str]:
        """Every namespace that ever held something in *clusters* (empty: in any), in order."""
        ...

    def first_window_ns(self, clusters: Sequence[str]) -> int | None:
        """When the books of *clusters* (empty: of all) begin; None where they are empty."""
        ...

    def quarantined(self, scope: Scope) -> QuarantineTotals:
        """What is set aside in *scope*."""
        ...

    def set_aside(self, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
        """
        One page of what is set aside, the oldest first.

        Raises:
            Reject: *cursor* is none of this store's.
        """
        ...

    def set_aside_by_id(self, ids: Sequence[QuarantineId]) -> list[SetAside]:
        """Those of *ids* that were ever set aside, whether they wait or not, in the order of their ids."""
        ...

    def malformed_message(self, wanted: QuarantineId) -> bytes | None:
        """The message of a malformed batch as it came; None where there is none."""
        ...

    def replay(self, replays: Sequence[Replay], at_ns: int) -> CommitReport:
        """
        Keep what *replays* accept and mark them, durably, in one transaction; called as ``commit`` is.

        What was replayed before is left alone, so that it counts once however often it is asked for.
        """
        ...

    def conflicts(self) -> int:
        """How many slices came with a known key and other content, ever."""
        ...

    def close(self) -> None:
        """Give everything back; calls after it are errors."""
        ...
