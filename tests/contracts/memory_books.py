"""The part of the store in memory that concerns lost time, adjustments and GPUs that two nodes claim."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gpucost.cost_slice import CostSlice, SliceKey
from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.units import NS_PER_HOUR
from gpucost.window import Interval

from gpucost_aggregator.store.closed_rows import (
    Adjustment,
    AdjustmentPage,
    AdjustmentReason,
    BooksEnd,
    ClosedBooks,
    SharedGpu,
)
from gpucost_aggregator.store.held_time import beside_held
from gpucost_aggregator.store.lost_time import (
    SYNTHETIC,
    Claims,
    Group,
    by_price,
    differences,
    group_of,
    interval_of,
    is_synthetic,
    span_of,
)
from gpucost_aggregator.store.rows import CommitReport, NodeProgress, Scope

_PREFIX = "adjustments:"


class MemoryBooks:
    """Slices and what adjusts them."""

    def __init__(self) -> None:
        self.rows: dict[SliceKey, CostSlice] = {}
        self.late: dict[SliceKey, CostSlice] = {}
        self.differing: set[CostSlice] = set()
        self.adjusted: list[Adjustment] = []
        self.boots: dict[tuple[NodeId, str], NodeProgress] = {}
        self._spans: dict[Group, dict[int, Interval]] = {}
        self._synthetic: dict[Group, dict[SliceKey, CostSlice]] = {}
        self._shared: dict[tuple[str, NodeId, NodeId], set[int]] = {}

    def keep_rows(
        self,
        rows: Iterable[CostSlice],
        window_ns: int,
        closed_through_ns: int,
        at_ns: int,
        held_before_ns: int = 0,
    ) -> CommitReport:
        """Keep slices as a commit does; other epochs may hold what is before *held_before_ns*."""
        rows = list(rows)
        held, rest = self._held(rows, window_ns, closed_through_ns, held_before_ns)
        fresh: dict[SliceKey, CostSlice] = {}
        duplicates = conflicts = 0
        for row in [*rows, *rest]:
            known = self.rows.get(row.key) or self.late.get(row.key) or fresh.get(row.key)
            is_held = (group_of(row, window_ns), row.key.window_start_ns) in held and not is_synthetic(row)
            if known is None and not is_held:
                fresh[row.key] = row
            elif known != row and row not in self.differing:
                self.differing.add(row)
                conflicts += 1
            else:
                duplicates += 1
        windows: dict[tuple[Group, int], list[CostSlice]] = {}
        for row in fresh.values():
            group = group_of(row, window_ns)
            if is_synthetic(row):
                self._synthetic.setdefault(group, {})[row.key] = row
            else:
                windows.setdefault((group, row.key.window_start_ns), []).append(row)
        for (group, start_ns), found in windows.items():
            span = span_of(found, window_ns, closed_through_ns)
            self._spans.setdefault(group, {}).setdefault(start_ns, span)
        late = [row for row in fresh.values() if self._is_late(row, window_ns)]
        self.late |= {row.key: row for row in late}
        self.rows |= {row.key: row for row in fresh.values() if row.key not in self.late}
        self._add(Adjustment(row, AdjustmentReason.LATE, at_ns) for row in late)
        shared = self._share(fresh.values())
        for group in sorted({group_of(row, window_ns) for row in fresh.values()} & self._synthetic.keys()):
            self._settle(group, at_ns)
        return CommitReport(len(fresh), duplicates, conflicts, len(late), shared)

    def net(self) -> list[CostSlice]:
        """Slices with what adjusts them, for each price; without those of which nothing is left."""
        keys: dict[SliceKey, list[CostSlice]] = {key: [row] for key, row in self.rows.items()}
        for each in self.adjusted:
            keys.setdefault(each.difference.key, []).append(each.difference)
        return [row for rows in keys.values() for row in (by_price(rows) if len(rows) > 1 else rows)]

    def adjustments(self, scope: Scope, cursor: str | None, limit: int) -> AdjustmentPage:
        after = 0
        if cursor is not None:
            number = cursor.removeprefix(_PREFIX)
            if number == cursor or not number.isdecimal():
                raise Reject("this cursor is none of this store's")
            after = int(number)
        found = [each for each in self.adjusted if each.number > after and is_within(each.difference, scope)]
        page = tuple(found[:limit])
        return AdjustmentPage(page, f"{_PREFIX}{page[-1].number}" if page and len(found) > limit else None)

    def adjust(self, adjustments: Sequence[Adjustment]) -> None:
        self._add(adjustments)

    def close_books(self, closed: Sequence[ClosedBooks]) -> CommitReport:
        written = duplicates = conflicts = late = 0
        for books in closed:
            through_ns, at_ns = books.closed_through_ns, books.closed_at_ns
            report = self.keep_rows(books.slices, books.window_ns, through_ns, at_ns)
            written += report.written
            duplicates += report.duplicates
            conflicts += report.conflicts
            late += report.late
            boot = self.boots.get((books.node, books.boot_id))
            if boot is not None:
                through_ns = max(through_ns, boot.closed_through_ns)
                gone_at_ns = at_ns if books.is_gone else boot.gone_at_ns
                self.boots[books.node, books.boot_id] = replace(
                    boot, closed_through_ns=through_ns, gone_at_ns=gone_at_ns
                )
        return CommitReport(written, duplicates, conflicts, late)

    def books_end(self, node: NodeId, boot_id: str) -> BooksEnd | None:
        boot = self.boots.get((node, boot_id))
        if boot is None:
            return None
        end_ns = boot.closed_through_ns
        begin_ns = end_ns - max(NS_PER_HOUR, boot.window_ns)
        rows = [
            row
            for row in (*self.rows.values(), *self.late.values())
            if row.key.node == node and begin_ns <= row.key.window_start_ns < end_ns
        ]
        last_ns = max((row.key.window_start_ns for row in rows), default=0)
        last = [row for row in rows if row.key.window_start_ns == last_ns]
        return BooksEnd(end_ns, boot.window_ns, {row.key.device.gpu_uuid: row.price for row in last})

    def shared_gpus(self) -> list[SharedGpu]:
        found = [
            SharedGpu(*key, min(windows), max(windows), len(windows)) for key, windows in self._shared.items()
        ]
        return sorted(found, key=lambda shared: (-shared.last_window_ns, shared))

    def _held(
        self, rows: Iterable[CostSlice], window_ns: int, closed_through_ns: int, held_before_ns: int
    ) -> tuple[set[tuple[Group, int]], list[CostSlice]]:
        """The windows of *rows* that other epochs told of, and what stands instead of their other parts."""
        windows: dict[tuple[Group, int], list[CostSlice]] = {}
        for row in rows:
            if row.key.window_start_ns < held_before_ns and not is_synthetic(row):
                windows.setdefault((group_of(row, window_ns), row.key.window_start_ns), []).append(row)
        found, rest = set(), []
        for (group, start_ns), told in windows.items():
            lost = [interval_of(each) for each in self._synthetic.get(group, {}).values()]
            instead = beside_held(told, window_ns, closed_through_ns, self._spans.get(group, {}), lost)
            if instead is not None:
                found.add((group, start_ns))
                rest += instead
        return found, rest

    def _is_late(self, row: CostSlice, window_ns: int) -> bool:
        group = group_of(row, window_ns)
        if is_synthetic(row) or group not in self._synthetic:
            return False
        span = self._spans[group][row.key.window_start_ns]
        return any(span.cut(interval_of(lost)) for lost in self._synthetic[group].values())

    def _settle(self, group: Group, at_ns: int) -> None:
        synthetic = self._synthetic[group]
        adjusted: dict[SliceKey, list[CostSlice]] = {}
        for each in self.adjusted:
            if each.difference.key in synthetic:
                adjusted.setdefault(each.difference.key, []).append(each.difference)
        spans = list(self._spans.get(group, {}).values())
        found = differences(Claims(spans, list(synthetic.values()), adjusted))
        self._add(Adjustment(each, AdjustmentReason.REPLACED, at_ns) for each in found)

    def _share(self, fresh: Iterable[CostSlice]) -> tuple[SharedGpu, ...]:
        holders: dict[tuple[str, int], set[NodeId]] = {}
        for key in (row.key for row in self.rows.values() if SYNTHETIC not in row.flags):
            holders.setdefault((key.device.gpu_uuid, key.window_start_ns), set()).add(key.node)
        new: dict[tuple[str, NodeId, NodeId], set[int]] = {}
        for row in (row for row in fresh if SYNTHETIC not in row.flags):
            uuid, start_ns = row.key.device.gpu_uuid, row.key.window_start_ns
            for node in holders.get((uuid, start_ns), set()) - {row.key.node}:
                first, second = sorted((node, row.key.node))
                new.setdefault((uuid, first, second), set()).add(start_ns)
        for pair, windows in new.items():
            self._shared.setdefault(pair, set()).update(windows)
        return tuple(sorted(SharedGpu(*pair, min(w), max(w), len(w)) for pair, w in new.items()))

    def _add(self, adjustments: Iterable[Adjustment]) -> None:
        for each in adjustments:
            self.adjusted.append(replace(each, number=len(self.adjusted) + 1))


def is_within(row: CostSlice, scope: Scope) -> bool:
    return (
        scope.start_ns <= row.key.window_start_ns < scope.end_ns
        and (not scope.clusters or row.key.node.cluster in scope.clusters)
        and (not scope.namespaces or row.key.holder.namespace in scope.namespaces)
    )
