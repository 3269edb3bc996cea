"""What every store promises about time that two spools of a node tell of; inherit it and give a fixture ``store``."""

from dataclasses import replace

from gpucost.cost_slice import Cost, CostSlice, GpuTime
from gpucost.identity import unobserved

from contracts.ledger_rows import AGENT, EVERYTHING, GPU, MINUTE_NS, NODE, START_NS, a_batch, a_slice
from contracts.lost_time_contract import a_part, lost, sums_by_reason
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.held_time import SPOOL_CLONED
from gpucost_aggregator.store.rows import AgentId, Dimension

CLONE = AgentId(NODE, "epoch-2")
_HALF_NS = MINUTE_NS // 2
_OTHER = replace(GPU, gpu_uuid="GPU-00000000-0000-0000-0000-000000000009")


def unseen(row: CostSlice, reason: str = "agent_gap") -> CostSlice:
    """The time of *row*, of which nobody knows who had it."""
    length = row.length_ns
    return replace(
        row,
        key=replace(row.key, holder=unobserved(reason)),
        time=GpuTime(length, 0, 0, length),
        cost=Cost(0, 0, length // 1_000, length // 1_000),
        flags=(),
    )


class HeldTimeContract:
    """Inherit it; every test gets a fresh ``store``."""

    def test_what_a_clone_does_not_know_counts_once(self, store: Store) -> None:
        store.commit([a_batch(1 + window, a_slice(window)) for window in range(3)])
        before = store.totals(EVERYTHING, list(Dimension))
        # The copy was made after minute 0, and the next agent begins within minute 3.
        clone = [a_batch(1, a_slice(0), agent=CLONE)]
        clone += [a_batch(1 + window, unseen(a_slice(window)), agent=CLONE) for window in range(1, 3)]
        first = store.commit(clone)
        assert (first.written, first.duplicates, first.conflicts) == (0, 1, 2)
        assert store.totals(EVERYTHING, list(Dimension)) == before
        assert store.conflicts() == 2
        again = store.commit(clone)
        assert (again.written, again.duplicates, again.conflicts) == (0, 3, 0)
        assert store.commit([a_batch(4, a_slice(3), agent=CLONE)]).written == 1
        durable = store.durable(CLONE)
        assert durable is not None
        assert durable.sequence_number == 4

    def test_windows_that_were_cut_elsewhere_count_once(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(0))])
        parts = [a_part(0, _HALF_NS), a_part(_HALF_NS, MINUTE_NS, _HALF_NS)]
        ends = [START_NS + _HALF_NS, START_NS + MINUTE_NS]
        batches = [
            a_batch(1 + place, unseen(part), agent=CLONE, closed_through_ns=end_ns)
            for place, (part, end_ns) in enumerate(zip(parts, ends, strict=True))
        ]
        assert store.commit(batches).conflicts == 2
        assert sums_by_reason(store).keys() == {""}

    def test_the_rest_of_a_window_that_is_held_in_part_is_lost(self, store: Store) -> None:
        store.commit([a_batch(1, a_part(0, _HALF_NS), closed_through_ns=START_NS + _HALF_NS)])
        batch = a_batch(1, a_slice(0), unseen(a_slice(0)), agent=CLONE)
        report = store.commit([batch])
        assert (report.written, report.conflicts) == (1, 2)
        found = sums_by_reason(store)
        assert found[""].charged_ns == found[SPOOL_CLONED].charged_ns == _HALF_NS
        assert sum(sums.cost_nanodollars for sums in found.values()) == MINUTE_NS // 1_000
        (rest,) = [row for row in store.slices(EVERYTHING, None, 9).slices if row.key.holder.reason]
        assert (rest.key.window_start_ns, rest.flags) == (START_NS + _HALF_NS, ("synthetic",))
        assert store.commit([batch]).written == 0
        # The first spool goes on after all.
        late = a_part(_HALF_NS, MINUTE_NS, _HALF_NS)
        assert store.commit([a_batch(2, late, closed_through_ns=START_NS + MINUTE_NS)]).late == 1
        assert sums_by_reason(store).keys() == {""}

    def test_of_three_spools_each_adds_what_nobody_told(self, store: Store) -> None:
        third = MINUTE_NS // 3
        for agent, end_ns in zip(
            (AGENT, CLONE, AgentId(NODE, "epoch-3")), (third, 2 * third, 3 * third), strict=True
        ):
            store.commit([a_batch(1, a_part(0, end_ns), agent=agent, closed_through_ns=START_NS + end_ns)])
        found = sums_by_reason(store)
        assert (found[""].charged_ns, found[SPOOL_CLONED].charged_ns) == (third, 2 * third)

    def test_true_slices_of_another_epoch_replace_lost_time(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(0)), a_batch(3, *lost(MINUTE_NS, 2 * MINUTE_NS), a_slice(2))])
        assert store.commit([a_batch(1, unseen(a_slice(1)), agent=CLONE)]).late == 1
        assert sums_by_reason(store).keys() == {"", "agent_gap"}

    def test_a_hole_is_filled_by_whoever_knows(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(0)), a_batch(3, a_slice(2))])
        batch = a_batch(1, a_slice(1), a_slice(2, device=_OTHER), agent=CLONE)
        assert store.commit([batch]).written == 2

    def test_a_window_that_a_clock_made_shorter_is_held_whole(self, store: Store) -> None:
        store.commit([a_batch(1, a_part(_HALF_NS, MINUTE_NS), closed_through_ns=START_NS + MINUTE_NS)])
        assert store.commit([a_batch(1, unseen(a_slice(0)), agent=CLONE)]).conflicts == 1
        assert sums_by_reason(store)[""].charged_ns == _HALF_NS
        assert sums_by_reason(store).keys() == {""}

    def test_a_clone_in_the_same_commit_comes_second(self, store: Store) -> None:
        mine, clones = a_batch(1, a_slice(0)), a_batch(1, unseen(a_slice(0)), agent=CLONE)
        assert store.commit([mine, clones, a_batch(2, a_slice(1))]).written == 2
        assert sums_by_reason(store).keys() == {""}

    def test_within_an_epoch_keys_alone_decide(self, store: Store) -> None:
        store.commit(
            [a_batch(1, a_slice(0)), a_batch(1, a_slice(5), agent=AgentId(NODE, "e"), boot_id="other")]
        )
        assert store.commit([a_batch(2, unseen(a_slice(1)), a_slice(1))]).written == 2
        assert store.commit([a_batch(3, a_slice(6), agent=AgentId(NODE, "f"), boot_id="third")]).written == 1
