"""What every store promises about lost time and adjustments; inherit it and give a fixture ``store``."""

from dataclasses import replace

import pytest
from gpucost.cost_slice import Cost, CostSlice, GpuTime, Price
from gpucost.facts import WorkloadFacts
from gpucost.identity import UNALLOCATED, NodeId, unobserved
from gpucost.trouble import Reject
from gpucost.window import Interval

from contracts.ledger_rows import (
    AGENT,
    EVERYTHING,
    GPU,
    MINUTE_NS,
    NODE,
    POD,
    PRICE,
    START_NS,
    a_batch,
    a_slice,
)
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import Adjustment, AdjustmentReason, ClosedBooks, SharedGpu
from gpucost_aggregator.store.lost_time import STORE_LOST, lost_slices, negated
from gpucost_aggregator.store.rows import AgentId, Dimension, Scope, Sums

_HALF_NS = MINUTE_NS // 2


def lost(start_ns: int, end_ns: int, reason: str = STORE_LOST) -> tuple[CostSlice, ...]:
    """Synthetic slices of the one GPU, from minute 0 on."""
    interval = Interval(START_NS + start_ns, START_NS + end_ns)
    return tuple(lost_slices(NODE, {GPU.gpu_uuid: PRICE}, interval, MINUTE_NS, reason))


def a_part(start_ns: int, end_ns: int, window: int = 0) -> CostSlice:
    """Somebody's time from *start_ns* to *end_ns* of minute 0, under a key that begins at *window*."""
    length = end_ns - start_ns
    row = a_slice()
    return replace(
        row,
        key=replace(row.key, window_start_ns=START_NS + window),
        length_ns=length,
        time=GpuTime(length, length, 0, 0),
        cost=Cost(length // 1_000, 0, 0, length // 1_000),
    )


def sums_by_reason(store: Store) -> dict[str, Sums]:
    return {total.key[0]: total.sums for total in store.totals(EVERYTHING, [Dimension.REASON])}


class LostTimeContract:
    """Inherit it; every test gets a fresh ``store``."""

    def test_a_true_slice_takes_lost_time_away_once(self, store: Store) -> None:
        store.commit([a_batch(1, *lost(0, 3 * MINUTE_NS))])
        true = a_batch(2, a_slice(1, used_ns=7))
        assert store.commit([true]).late == 1
        before = store.totals(EVERYTHING, list(Dimension))
        assert store.commit([true, replace(true, agent=AgentId(NODE, "epoch-2"))]).duplicates == 2
        assert store.totals(EVERYTHING, list(Dimension)) == before
        found = sums_by_reason(store)
        assert found[STORE_LOST].unmeasured_ns == found[STORE_LOST].reserved_ns == 2 * MINUTE_NS
        assert found[STORE_LOST].cost_nanodollars == 2 * MINUTE_NS // 1_000
        assert (found[""].used_ns, found[""].idle_ns) == (7, MINUTE_NS - 7)
        # The slices themselves stay as they came.
        assert store.slices(EVERYTHING, None, 10).slices == lost(0, 3 * MINUTE_NS)
        late, replaced = store.adjustments(EVERYTHING, None, 10).adjustments
        assert (late.reason, late.difference) == (AdjustmentReason.LATE, a_slice(1, used_ns=7))
        assert (replaced.reason, replaced.difference.key) == (
            AdjustmentReason.REPLACED,
            lost(0, 3 * MINUTE_NS)[1].key,
        )
        assert replaced.difference.length_ns == -MINUTE_NS
        assert replaced.made_at_ns == true.received_at_ns

    def test_lost_time_that_came_after_its_true_slice_is_taken_away_at_once(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(0))])
        store.commit([a_batch(2, *lost(0, 2 * MINUTE_NS))])
        assert sums_by_reason(store)[STORE_LOST].charged_ns == MINUTE_NS
        assert sums_by_reason(store)[""].charged_ns == MINUTE_NS

    def test_what_was_taken_away_tells_neither_times_nor_flags(self, store: Store) -> None:
        store.commit([a_batch(1, *lost(0, 2 * MINUTE_NS))])
        store.commit([a_batch(2, a_slice(0))])
        (gone,) = store.totals(EVERYTHING, [Dimension.REASON])[1:]
        assert (gone.first_ns, gone.last_ns) == (START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS)
        store.commit([a_batch(3, a_slice(1))])
        (left,) = store.totals(EVERYTHING, [Dimension.REASON])
        assert left.key == ("",)
        assert "synthetic" not in left.flags

    def test_a_window_that_was_closed_early_takes_away_its_own_part(self, store: Store) -> None:
        store.commit([a_batch(1, *lost(0, MINUTE_NS))])
        store.commit([a_batch(2, a_part(0, _HALF_NS), closed_through_ns=START_NS + _HALF_NS)])
        found = sums_by_reason(store)
        assert found[STORE_LOST].charged_ns == found[""].charged_ns == _HALF_NS
        rest = a_part(_HALF_NS, MINUTE_NS, _HALF_NS)
        store.commit([a_batch(3, rest, closed_through_ns=START_NS + MINUTE_NS)])
        assert sums_by_reason(store).keys() == {""}
        assert sums_by_reason(store)[""].charged_ns == MINUTE_NS

    @pytest.mark.parametrize("lost_first", [True, False])
    def test_a_life_that_begins_in_a_window_covers_its_end(self, store: Store, lost_first: bool) -> None:
        batches = [
            a_batch(1, *lost(0, _HALF_NS)),
            a_batch(2, a_part(_HALF_NS, MINUTE_NS), closed_through_ns=START_NS + MINUTE_NS),
        ]
        for batch in batches if lost_first else reversed(batches):
            assert store.commit([batch]).late == 0
        found = sums_by_reason(store)
        assert found[STORE_LOST].charged_ns == found[""].charged_ns == _HALF_NS

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_two_accounts_of_one_loss_the_agents_counts(self, store: Store, order: int) -> None:
        accounts = [lost(0, MINUTE_NS, "spool_full"), lost(_HALF_NS, 2 * MINUTE_NS, "node_gone")]
        for number, rows in enumerate(accounts[::order]):
            store.commit([a_batch(number + 1, *rows)])
        found = sums_by_reason(store)
        assert found["spool_full"].charged_ns == found["node_gone"].charged_ns == MINUTE_NS
        assert sum(sums.cost_nanodollars for sums in found.values()) == 2 * MINUTE_NS // 1_000

    def test_others_lose_nothing(self, store: Store) -> None:
        elsewhere = a_slice(0, node=NodeId("west", NODE.node))
        store.commit([a_batch(1, *lost(0, MINUTE_NS))])
        assert store.commit([a_batch(1, elsewhere, a_slice(1), agent=AGENT)]).late == 0
        assert sums_by_reason(store)[STORE_LOST].charged_ns == MINUTE_NS

    def test_a_late_slice_with_other_content_is_a_conflict(self, store: Store) -> None:
        store.commit([a_batch(1, *lost(0, MINUTE_NS)), a_batch(2, a_slice(0))])
        assert store.commit([a_batch(3, a_slice(0, used_ns=1))]).conflicts == 1
        assert sums_by_reason(store)[""].used_ns == MINUTE_NS

    def test_late_slices_are_found_like_others(self, store: Store) -> None:
        facts = WorkloadFacts(POD.namespace, POD.pod, POD.pod_uid, 1, {"team": "a"})
        store.commit([a_batch(1, *lost(0, MINUTE_NS)), a_batch(2, a_slice(0), workloads=(facts,))])
        assert store.namespaces(()) == [POD.namespace]
        assert list(store.workloads(EVERYTHING)) == [("east", POD.namespace, POD.pod, POD.pod_uid)]
        assert store.first_window_ns(()) == START_NS
        scope = Scope(START_NS, START_NS + MINUTE_NS, ("east",), (POD.namespace,))
        assert store.totals(scope, [])[0].sums.charged_ns == MINUTE_NS
        assert len(store.adjustments(scope, None, 10).adjustments) == 1

    def test_a_flag_alone_makes_no_lost_time(self, store: Store) -> None:
        held = replace(a_slice(0), flags=("synthetic",))
        carried = replace(
            a_slice(0), key=replace(a_slice(0).key, holder=unobserved("agent_gap")), flags=("synthetic",)
        )
        assert store.commit([a_batch(1, held, carried)]).late == 0
        assert (
            store.commit([a_batch(2, replace(a_slice(0), key=replace(held.key, holder=UNALLOCATED)))]).late
            == 0
        )
        assert store.adjustments(EVERYTHING, None, 10).adjustments == ()

    def test_adjustments_come_page_by_page(self, store: Store) -> None:
        store.commit([a_batch(1, *lost(0, 5 * MINUTE_NS))])
        for window in range(5):
            store.commit([a_batch(2 + window, a_slice(window))])
        whole = store.adjustments(EVERYTHING, None, 100)
        assert [each.number for each in whole.adjustments] == list(range(1, 11))
        found, cursor = [], None
        while True:
            page = store.adjustments(EVERYTHING, cursor, 3)
            found += page.adjustments
            if (cursor := page.next_cursor) is None:
                break
        assert tuple(found) == whole.adjustments
        with pytest.raises(Reject):
            store.adjustments(EVERYTHING, "x", 3)

    def test_a_new_price_moves_a_sum_from_one_price_to_the_other(self, store: Store) -> None:
        unpriced = replace(a_slice(0), price=Price(), cost=Cost())
        store.commit([a_batch(1, unpriced, a_slice(1))])
        priced = replace(
            a_slice(0), price=Price(7_200_000_000, "book:lab", "2026-11-01"), cost=Cost(1, 2, 3, 4)
        )
        store.adjust([Adjustment(row, AdjustmentReason.REPRICED, 5) for row in (negated(unpriced), priced)])
        found = {total.key[0]: total.sums for total in store.totals(EVERYTHING, [Dimension.PRICE_SOURCE])}
        assert found.keys() == {"override", "book:lab"}
        assert found["book:lab"].cost_nanodollars == 6
        (whole,) = store.totals(EVERYTHING, [])
        assert (whole.sums.charged_ns, whole.sums.unpriced_ns) == (2 * MINUTE_NS, 0)

    def test_books_end_with_the_gpus_of_their_last_window(self, store: Store) -> None:
        other = replace(GPU, gpu_uuid="GPU-00000000-0000-0000-0000-000000000009")
        store.commit([a_batch(1, a_slice(0), a_slice(0, device=other)), a_batch(2, a_slice(1))])
        end = store.books_end(NODE, "boot-1")
        assert end is not None
        assert (end.closed_through_ns, end.window_ns) == (START_NS + 2 * MINUTE_NS, MINUTE_NS)
        assert end.prices == {GPU.gpu_uuid: PRICE}
        assert store.books_end(NODE, "boot-2") is None
        assert store.books_end(NodeId("west", "x"), "boot-1") is None

    def test_closed_books_are_open_again_when_they_go_on(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(0))])
        rows = lost(MINUTE_NS, 2 * MINUTE_NS, "node_gone")
        closed = ClosedBooks(NODE, "boot-1", MINUTE_NS, START_NS + 2 * MINUTE_NS, START_NS * 2, rows)
        assert store.close_books([closed]).written == 1
        assert store.close_books([closed]).duplicates == 1
        (gone,) = store.progress()
        assert (gone.closed_through_ns, gone.gone_at_ns) == (START_NS + 2 * MINUTE_NS, START_NS * 2)
        assert gone.last_heard_ns < START_NS * 2
        store.commit([a_batch(2, a_slice(1))])
        (back,) = store.progress()
        assert back.gone_at_ns is None
        assert sums_by_reason(store).keys() == {""}

    def test_one_gpu_on_two_nodes_is_told(self, store: Store) -> None:
        twin = NodeId("west", "twin")
        report = store.commit([a_batch(1, a_slice(0), a_slice(1)), a_batch(9, a_slice(3))])
        assert report.shared == ()
        batch = a_batch(1, a_slice(1, node=twin), a_slice(2, node=twin), agent=AgentId(twin, "e"))
        first_ns = START_NS + MINUTE_NS
        assert store.commit([batch]).shared == (SharedGpu(GPU.gpu_uuid, NODE, twin, first_ns, first_ns, 1),)
        assert store.commit([batch]).shared == ()
        store.commit([a_batch(2, a_slice(3, node=twin), agent=AgentId(twin, "e"))])
        assert store.shared_gpus() == [
            SharedGpu(GPU.gpu_uuid, NODE, twin, first_ns, START_NS + 3 * MINUTE_NS, 2)
        ]
