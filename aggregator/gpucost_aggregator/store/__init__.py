"""
The store sums, the reports interpret.

May know gpucost and a database; knows no report, no face and no stream.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpucost.facts import GpuFacts, WorkloadFacts

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
        """
        ...

    def durable(self, agent: AgentId) -> Durable | None:
        """How far *agent* is held; None if it was never heard."""
        ...

    def totals(self, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
        """Sums of the slices in *scope*, one row for each combination of *by* that occurs, in its order."""
        ...

    def slices(self, scope: Scope, cursor: str | None, limit: int) -> SlicePage:
        """
        One page of the slices themselves.

        Raises:
            Reject: *cursor* is none of this store's.
        """
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

    def conflicts(self) -> int:
        """How many slices came with a known key and other content, ever."""
        ...

    def close(self) -> None:
        """Give everything back; calls after it are errors."""
        ...
