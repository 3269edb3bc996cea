"""
Time between what the store holds and the first batch after a gap: nobody has its books any more.

A gap is one in an agent's numbers, or the beginning of a new epoch of its spool; it matters only within one boot, as
a node that was off has no slices. An agent that was merely restarted closes its own gap and leaves none.
"""

from collections.abc import Sequence
from dataclasses import replace

from gpucost.units import NS_PER_DAY
from gpucost.window import Interval, window_of

from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import BooksEnd, ClosedGap
from gpucost_aggregator.store.lost_time import STORE_LOST, lost_slices, span_of
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport, together

LONGEST_NS = 7 * NS_PER_DAY
"""Of a longer gap the end alone is closed: the spool's bound, past which an agent does not look back either."""


def commit_closing_gaps(store: Store, batches: Sequence[AcceptedBatch]) -> CommitReport:
    """
    Commit *batches*, each that follows a gap together with the lost time before it. Raises what ``commit`` raises.
    """
    reports: list[CommitReport] = []
    waiting: list[AcceptedBatch] = []
    gaps: list[ClosedGap] = []
    for batch in batches:
        kept = batch
        if batch.gap is not None:
            if any(each.agent.node == batch.agent.node for each in waiting):
                # Where the books end is known only once these are in.
                reports.append(store.commit(waiting))
                waiting = []
            end = store.books_end(batch.agent.node, batch.boot_id)
            kept = with_lost_time(batch, end) if end is not None else batch
            if kept is not batch and end is not None:
                gaps.append(_told(kept, batch, end))
        waiting.append(kept)
    reports.append(store.commit(waiting))
    return replace(together(reports), gaps=tuple(gaps))


def with_lost_time(batch: AcceptedBatch, end: BooksEnd) -> AcceptedBatch:
    """*batch* with a synthetic slice for each GPU and window between *end* and its own first window. Pure."""
    windows: dict[tuple[str, int], list[int]] = {}
    for place, row in enumerate(batch.slices):
        windows.setdefault((row.key.device.gpu_uuid, row.key.window_start_ns), []).append(place)
    begins: dict[str, int] = {}
    for (uuid, _), places in windows.items():
        rows = [batch.slices[place] for place in places]
        begin_ns = span_of(rows, batch.window_ns, batch.closed_through_ns).start_ns
        begins[uuid] = min(begin_ns, begins.get(uuid, begin_ns))
    first_ns = min(begins.values(), default=_start_of_last(batch))
    lost = [
        row
        for uuid, price in sorted(end.prices.items())
        if (until_ns := begins.get(uuid, first_ns)) > end.closed_through_ns
        for row in lost_slices(
            batch.agent.node,
            {uuid: price},
            Interval(max(end.closed_through_ns, until_ns - LONGEST_NS), until_ns),
            batch.window_ns,
            STORE_LOST,
        )
    ]
    return replace(batch, slices=(*batch.slices, *lost)) if lost else batch


def _start_of_last(batch: AcceptedBatch) -> int:
    return window_of(max(0, batch.closed_through_ns - 1), batch.window_ns).start_ns


def _told(kept: AcceptedBatch, batch: AcceptedBatch, end: BooksEnd) -> ClosedGap:
    lost = kept.slices[len(batch.slices) :]
    gap = batch.gap
    assert gap is not None  # noqa: S101  # only such batches come here
    return ClosedGap(
        batch.agent.node,
        gap.first_missing,
        gap.last_missing,
        end.closed_through_ns,
        max(row.key.window_start_ns + row.length_ns for row in lost),
        len({row.key.device.gpu_uuid for row in lost}),
        len(lost),
    )
