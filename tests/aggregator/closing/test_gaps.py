"""Gaps in an agent's numbers become lost time, within a boot and up to the next batch's first window."""

from dataclasses import replace

import pytest
from gpucost.cost_slice import Cost, GpuTime

from contracts.ledger_rows import AGENT, EVERYTHING, GPU, MINUTE_NS, NODE, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.closing.gaps import LONGEST_NS, commit_closing_gaps
from gpucost_aggregator.store.closed_rows import ClosedGap, SequenceGap
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Dimension

_GAP = SequenceGap(2, 4)
_OTHER = replace(GPU, gpu_uuid="GPU-00000000-0000-0000-0000-000000000007")


def lost_ns(store: MemoryStore) -> dict[str, int]:
    totals = store.totals(EVERYTHING, [Dimension.GPU_UUID, Dimension.REASON])
    return {total.key[0]: total.sums.unmeasured_ns for total in totals if total.key[1] == "store_lost"}


def after(batch: AcceptedBatch, *following: AcceptedBatch) -> tuple[MemoryStore, tuple[ClosedGap, ...]]:
    store = MemoryStore()
    commit_closing_gaps(store, [batch])
    return store, commit_closing_gaps(store, following).gaps


def test_the_time_of_missing_numbers_is_lost_on_every_gpu() -> None:
    first = a_batch(1, a_slice(0), a_slice(0, device=_OTHER), closed_through_ns=START_NS + MINUTE_NS)
    store, gaps = after(first, a_batch(5, a_slice(4), gap=_GAP))
    assert lost_ns(store) == {GPU.gpu_uuid: 3 * MINUTE_NS, _OTHER.gpu_uuid: 3 * MINUTE_NS}
    assert gaps == (ClosedGap(NODE, 2, 4, START_NS + MINUTE_NS, START_NS + 4 * MINUTE_NS, 2, 6),)


def test_batches_of_one_commit_count_in_their_order() -> None:
    first = a_batch(1, a_slice(0), closed_through_ns=START_NS + MINUTE_NS)
    second = a_batch(2, a_slice(1), closed_through_ns=START_NS + 2 * MINUTE_NS)
    store, gaps = after(first, second, a_batch(5, a_slice(4), gap=SequenceGap(3, 4)))
    assert lost_ns(store) == {GPU.gpu_uuid: 2 * MINUTE_NS}
    assert len(gaps) == 1


def test_a_life_that_begins_within_a_window_is_no_loss() -> None:
    half = MINUTE_NS // 2
    row = a_slice(2)
    late = replace(row, length_ns=half, time=GpuTime(half, half, 0, 0), cost=Cost(half // 1_000))
    first = a_batch(1, a_slice(0), closed_through_ns=START_NS + MINUTE_NS)
    fresh = AgentId(NODE, "epoch-2")
    batch = a_batch(1, late, agent=fresh, closed_through_ns=START_NS + 3 * MINUTE_NS, gap=SequenceGap(1, 0))
    store, (gap,) = after(first, batch)
    assert lost_ns(store) == {GPU.gpu_uuid: MINUTE_NS + half}
    assert (gap.first_missing, gap.last_missing) == (1, 0)


@pytest.mark.parametrize(
    "batch",
    [
        a_batch(2, a_slice(1)),
        a_batch(2, a_slice(1), gap=_GAP),
        a_batch(9, a_slice(0), gap=_GAP),
        a_batch(9, a_slice(8), gap=_GAP, boot_id="boot-2"),
        a_batch(9, a_slice(8), boot_id="boot-1"),
        a_batch(9, gap=_GAP, closed_through_ns=0),
    ],
)
def test_no_loss(batch: AcceptedBatch) -> None:
    first = a_batch(1, a_slice(0), closed_through_ns=START_NS + MINUTE_NS)
    store, gaps = after(first, batch)
    assert (lost_ns(store), gaps) == ({}, ())


def test_of_a_long_gap_the_end_is_closed() -> None:
    windows = LONGEST_NS // MINUTE_NS
    first = a_batch(1, a_slice(0), closed_through_ns=START_NS + MINUTE_NS)
    store, _ = after(first, a_batch(5, a_slice(windows + 100), gap=_GAP))
    assert lost_ns(store) == {GPU.gpu_uuid: LONGEST_NS}


def test_a_commit_that_is_tried_again_closes_it_once() -> None:
    first = a_batch(1, a_slice(0), closed_through_ns=START_NS + MINUTE_NS)
    batch = a_batch(5, a_slice(4), gap=_GAP, agent=AGENT)
    store, _ = after(first, batch)
    commit_closing_gaps(store, [batch])
    assert lost_ns(store) == {GPU.gpu_uuid: 3 * MINUTE_NS}
