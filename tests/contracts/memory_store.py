"""A store in memory, honest: it passes the contract suite of the real one."""

from collections.abc import Mapping, Sequence

from gpucost.cost_slice import COLUMNS, CostSlice, SliceKey
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HolderKind, NodeId
from gpucost.trouble import Reject

from contracts.memory_books import MemoryBooks, is_within
from contracts.memory_cluster import MemoryCluster
from contracts.memory_quarantine import MemoryQuarantine
from gpucost_aggregator.store.closed_rows import SharedGpu
from gpucost_aggregator.store.quarantine_rows import (
    QuarantineId,
    QuarantinePage,
    QuarantineScope,
    Replay,
    SetAside,
)
from gpucost_aggregator.store.rows import (
    SHADOW,
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
    Sums,
    Total,
)

_PREFIX = "memory:"


class MemoryStore(MemoryBooks, MemoryCluster):
    """Keeps everything in lists and dictionaries; for tests of what stands above a store."""

    def __init__(self) -> None:
        MemoryBooks.__init__(self)
        MemoryCluster.__init__(self)
        self.agents: dict[AgentId, Durable] = {}
        self.aside = MemoryQuarantine()
        self.pods: dict[tuple[str, str, str, str], WorkloadFacts] = {}
        self.boards: dict[tuple[str, str], GpuFacts] = {}
        self._cursors: list[tuple[object, ...]] = []

    def identity(self) -> StoreIdentity:
        return StoreIdentity("memory", 1)

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        written = duplicates = conflicts = late = 0
        shared: list[SharedGpu] = []
        for batch in batches:
            report = self.keep_rows(
                batch.slices,
                batch.window_ns,
                batch.closed_through_ns,
                batch.received_at_ns,
                self._held_before_ns(batch),
            )
            written += report.written
            duplicates += report.duplicates
            conflicts += report.conflicts
            late += report.late
            shared += report.shared
            self.aside.put(batch)
            self._keep_facts(batch)
            self._keep_progress(batch)
        return CommitReport(written, duplicates, conflicts, late, tuple(shared))

    def durable(self, agent: AgentId) -> Durable | None:
        return self.agents.get(agent)

    def totals(self, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
        groups: dict[tuple[str, ...], list[CostSlice]] = {}
        for row in (row for row in self.net() if is_within(row, scope)):
            groups.setdefault(tuple(_text(row, dimension) for dimension in by), []).append(row)
        return [_total(key, rows) for key, rows in sorted(groups.items())]

    def slices(self, scope: Scope, cursor: str | None, limit: int) -> SlicePage:
        rows = self._within(scope)
        if cursor is not None:
            number = cursor.removeprefix(_PREFIX)
            if number == cursor or not number.isdecimal() or int(number) >= len(self._cursors):
                raise Reject("this cursor is none of this store's")
            rows = [row for row in rows if _order(row.key) > self._cursors[int(number)]]
        page = tuple(rows[:limit])
        if not page or len(rows) <= limit:
            return SlicePage(page, None)
        self._cursors.append(_order(page[-1].key))
        return SlicePage(page, f"{_PREFIX}{len(self._cursors) - 1}")

    def workloads(self, scope: Scope) -> Mapping[tuple[str, str, str, str], WorkloadFacts]:
        pods = {
            (key.node.cluster, key.holder.namespace, key.holder.pod, key.holder.pod_uid)
            for key in (row.key for row in self.net() if is_within(row, scope))
            if key.holder.kind is HolderKind.CONTAINER
        }
        return {pod: facts for pod, facts in self.pods.items() if pod in pods}

    def gpus(self) -> Mapping[tuple[str, str], GpuFacts]:
        return dict(self.boards)

    def progress(self) -> list[NodeProgress]:
        newest: dict[NodeId, NodeProgress] = {}
        for boot in self.boots.values():
            if boot.node not in newest or newest[boot.node].last_heard_ns <= boot.last_heard_ns:
                newest[boot.node] = boot
        return [newest[node] for node in sorted(newest)]

    def namespaces(self, clusters: Sequence[str]) -> list[str]:
        holders = {
            key.holder.namespace
            for key in (*self.rows, *self.late)
            if not clusters or key.node.cluster in clusters
        }
        return sorted(holders - {""})

    def first_window_ns(self, clusters: Sequence[str]) -> int | None:
        starts = [
            key.window_start_ns
            for key in (*self.rows, *self.late)
            if not clusters or key.node.cluster in clusters
        ]
        return min(starts, default=None)

    def quarantined(self, scope: Scope) -> QuarantineTotals:
        return self.aside.totals(scope)

    def set_aside(self, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
        return self.aside.page(scope, cursor, limit)

    def set_aside_by_id(self, ids: Sequence[QuarantineId]) -> list[SetAside]:
        return self.aside.by_id(ids)

    def malformed_message(self, wanted: QuarantineId) -> bytes | None:
        return self.aside.message_of(wanted)

    def replay(self, replays: Sequence[Replay], at_ns: int) -> CommitReport:
        reports = []

        def keep(batch: AcceptedBatch) -> None:
            reports.append(
                self.keep_rows(batch.slices, batch.window_ns, batch.closed_through_ns, batch.received_at_ns)
            )
            self._keep_facts(batch)

        self.aside.mark(replays, at_ns, keep)
        return CommitReport(
            sum(each.written for each in reports),
            sum(each.duplicates for each in reports),
            sum(each.conflicts for each in reports),
        )

    def conflicts(self) -> int:
        return len(self.differing)

    def close(self) -> None:
        pass

    def _within(self, scope: Scope) -> list[CostSlice]:
        rows = [row for row in self.rows.values() if is_within(row, scope)]
        return sorted(rows, key=lambda row: _order(row.key))

    def _held_before_ns(self, batch: AcceptedBatch) -> int:
        boot = self.boots.get((batch.agent.node, batch.boot_id))
        others = any(
            agent.node == batch.agent.node and agent.epoch != batch.agent.epoch for agent in self.agents
        )
        return boot.closed_through_ns if boot and others else 0

    def _keep_facts(self, batch: AcceptedBatch) -> None:
        cluster = batch.agent.node.cluster
        for pod in batch.workloads:
            place = (cluster, pod.namespace, pod.pod, pod.pod_uid)
            if place not in self.pods or self.pods[place].valid_from_ns <= pod.valid_from_ns:
                self.pods[place] = pod
        for board in batch.gpus:
            at = (cluster, board.gpu_uuid)
            if at not in self.boards or self.boards[at].valid_from_ns <= board.valid_from_ns:
                self.boards[at] = board

    def _keep_progress(self, batch: AcceptedBatch) -> None:
        held = self.agents.get(batch.agent)
        if held is None or held.sequence_number < batch.sequence_number:
            self.agents[batch.agent] = Durable(batch.sequence_number, batch.sha256)
        boot = (batch.agent.node, batch.boot_id)
        before = self.boots.pop(boot, None)
        self.boots[boot] = NodeProgress(
            batch.agent.node,
            batch.boot_id,
            before.window_ns if before else batch.window_ns,
            max(batch.closed_through_ns, before.closed_through_ns if before else 0),
            max(batch.received_at_ns, before.last_heard_ns if before else 0),
        )


def _text(row: CostSlice, dimension: Dimension) -> str:
    if dimension is Dimension.SHADOW:
        return SHADOW if SHADOW in row.flags and not row.time.reserved_ns else ""
    return COLUMNS[dimension](row)


def _order(key: SliceKey) -> tuple[object, ...]:
    return (
        key.window_start_ns,
        key.node.cluster,
        key.node.node,
        key.device.order,
        key.resource,
        key.holder.order,
    )


def _total(key: tuple[str, ...], rows: Sequence[CostSlice]) -> Total:
    ends = [row.key.window_start_ns + row.length_ns for row in rows]
    return Total(
        key,
        Sums(
            sum(row.time.reserved_ns for row in rows),
            sum(row.time.used_ns for row in rows),
            sum(row.time.idle_ns for row in rows),
            sum(row.time.unmeasured_ns for row in rows),
            sum(row.cost.used_nanodollars for row in rows),
            sum(row.cost.idle_nanodollars for row in rows),
            sum(row.cost.unmeasured_nanodollars for row in rows),
            sum(row.cost.reserved_nanodollars for row in rows),
            sum(row.time.charged_ns for row in rows if row.price.nanodollars_per_hour is None),
        ),
        min(row.key.window_start_ns for row in rows),
        max(ends),
        max((end for end, row in zip(ends, rows, strict=True) if row.time.used_ns), default=None),
        tuple(sorted({flag for row in rows for flag in row.flags})),
    )
