"""What every store promises; a test class for an engine inherits it and gives a fixture ``store``."""

import random
from dataclasses import replace
from typing import Any

import pytest
from gpucost.cost_slice import Cost, CostSlice, GpuTime, Measures, Price
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HOST, REMAINDER, UNATTRIBUTED, Device, Holder, HolderKind, NodeId, unobserved
from gpucost.trouble import Reject

from contracts.ledger_rows import (
    AGENT,
    EVERYTHING,
    GPU,
    MIG,
    MINUTE_NS,
    NODE,
    POD,
    START_NS,
    a_batch,
    a_free_slice,
    a_slice,
)
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.rows import (
    AgentId,
    CommitReport,
    Dimension,
    Durable,
    Malformed,
    QuarantineTotals,
    Refused,
    Scope,
)

_OTHER_NODE = NodeId("west", "node-2")


def _a_fleet() -> list[CostSlice]:
    """Slices that differ in each part of a key, in the order of the ledger."""
    first, second = GPU.gpu_uuid, MIG.gpu_uuid
    devices = [
        Device(first),
        Device(second, 1, 0, "3g.40gb", 4),
        Device(second, 1, 1, "3g.40gb", 4),
        Device(second, 1, None, "3g.40gb", 4),
        Device(second, 2, 0, "1g.10gb", 0),
        Device(second, 2, 0, "2g.20gb", 0),
        Device(second, 2, 0, "2g.20gb", 2),
        Device(second, profile=REMAINDER),
    ]
    holders = [
        Holder(HolderKind.CONTAINER, "a", "p", "u", "c"),
        Holder(HolderKind.CONTAINER, "a", "p", "u", "d"),
        Holder(HolderKind.CONTAINER, "a", "p", "v", "c"),
        Holder(HolderKind.CONTAINER, "a", "q", "", "c"),
        Holder(HolderKind.CONTAINER, "b\N{LATIN SMALL LETTER E WITH ACUTE}", "p", "u", "c"),
        HOST,
        UNATTRIBUTED,
        unobserved("kubelet_away"),
        unobserved("node_starting"),
    ]
    return [
        a_slice(window, node=node, device=device, holder=holder)
        for window in (0, 1)
        for node in (NODE, NodeId("east", "node-10"), _OTHER_NODE)
        for device in devices
        for holder in holders
    ]


def _counts(report: CommitReport) -> tuple[int, int, int]:
    return report.written, report.duplicates, report.conflicts


def _all_pages(store: Store, scope: Scope, limit: int) -> list[CostSlice]:
    found: list[CostSlice] = []
    cursor = None
    while True:
        page = store.slices(scope, cursor, limit)
        assert len(page.slices) <= limit
        found += page.slices
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


class StoreContract:
    """Inherit it; every test gets a fresh ``store``."""

    def test_identity_is_one_value(self, store: Store) -> None:
        assert store.identity() == store.identity()
        assert store.identity().store_id
        assert store.identity().generation >= 1

    def test_empty(self, store: Store) -> None:
        assert store.totals(EVERYTHING, []) == []
        assert store.totals(EVERYTHING, [Dimension.NAMESPACE]) == []
        assert store.slices(EVERYTHING, None, 10).slices == ()
        assert store.progress() == []
        assert store.workloads(EVERYTHING) == {}
        assert store.gpus() == {}
        assert store.namespaces(()) == []
        assert store.first_window_ns(()) is None
        assert store.durable(AGENT) is None
        assert store.quarantined(EVERYTHING) == QuarantineTotals()
        assert store.conflicts() == 0

    def test_names_of_namespaces_and_the_beginning_are_of_the_clusters_asked_for(self, store: Store) -> None:
        store.commit([a_batch(1, *_a_fleet(), a_slice(7, node=NodeId("south", "node-1")))])
        assert store.namespaces(()) == ["a", "b\N{LATIN SMALL LETTER E WITH ACUTE}", "research"]
        assert store.namespaces(("south", "none")) == ["research"]
        assert store.namespaces(("none",)) == []
        assert store.first_window_ns(()) == START_NS
        assert store.first_window_ns(("south",)) == START_NS + 7 * MINUTE_NS
        assert store.first_window_ns(("none",)) is None

    def test_a_slice_comes_back_as_it_was(self, store: Store) -> None:
        rows = [
            a_slice(),
            replace(a_slice(1), price=Price(), cost=Cost(), measures=Measures()),
            replace(a_slice(2, device=MIG), measures=Measures(1, 2, 3, 4, 5, 6), weight=(3, 7)),
            replace(a_slice(3), measures=Measures(0, 0, 0, 0, 0, 0)),
        ]
        store.commit([a_batch(1, *rows)])
        assert list(store.slices(EVERYTHING, None, 10).slices) == rows

    def test_a_resent_batch_counts_once(self, store: Store) -> None:
        batch = a_batch(1, a_slice(0), a_slice(1))
        assert _counts(store.commit([batch])) == (2, 0, 0)
        before = store.totals(EVERYTHING, [])
        assert _counts(store.commit([batch, batch])) == (0, 4, 0)
        assert store.totals(EVERYTHING, []) == before

    def test_a_key_counts_once_within_a_commit(self, store: Store) -> None:
        report = store.commit([a_batch(1, a_slice()), a_batch(2, a_slice(), a_free_slice())])
        assert _counts(report) == (2, 1, 0)

    @pytest.mark.parametrize("together", [True, False])
    def test_the_first_content_of_a_key_wins(self, store: Store, together: bool) -> None:
        first, other = a_slice(used_ns=MINUTE_NS), a_slice(used_ns=1)
        batches = [a_batch(1, first), a_batch(2, other)]
        reports = [store.commit(batches)] if together else [store.commit([batch]) for batch in batches]
        assert sum(report.conflicts for report in reports) == 1
        assert sum(report.duplicates for report in reports) == 0
        assert store.slices(EVERYTHING, None, 10).slices == (first,)
        assert store.conflicts() == 1

    def test_the_same_conflict_again_is_no_other(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice()), a_batch(2, a_slice(used_ns=1))])
        report = store.commit([a_batch(3, a_slice(used_ns=1), a_slice(used_ns=2))])
        assert _counts(report) == (0, 1, 1)
        assert store.conflicts() == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"length_ns": 1},
            {"time": GpuTime(MINUTE_NS, 0, 0, MINUTE_NS)},
            {"price": Price(3_600_000_000, "override", "2026-11-02")},
            {"price": Price()},
            {"measures": Measures(memory_held_bytes_max=None, energy_uj=17)},
            {"flags": ("carried",)},
            {"policy_version": ""},
        ],
    )
    def test_each_part_of_the_content_tells_apart(self, store: Store, change: dict[str, Any]) -> None:
        report = store.commit([a_batch(1, a_slice())])
        report = store.commit([a_batch(2, replace(a_slice(), **change))])
        assert _counts(report) == (0, 0, 1)

    def test_each_part_of_the_key_tells_apart(self, store: Store) -> None:
        fleet = _a_fleet()
        assert store.commit([a_batch(1, *fleet)]).written == len(fleet)
        assert store.commit([a_batch(2, *fleet)]).duplicates == len(fleet)

    def test_order_of_arrival_changes_nothing(self, store: Store) -> None:
        fleet = _a_fleet()
        shuffled = random.Random(7).sample(fleet, len(fleet))
        store.commit([a_batch(1, *shuffled[:100])])
        store.commit([a_batch(2, *shuffled[50:])])
        assert _all_pages(store, EVERYTHING, 1_000) == fleet

    @pytest.mark.parametrize("limit", [1, 7, 432, 433])
    def test_pages_hold_every_slice_once_and_in_order(self, store: Store, limit: int) -> None:
        fleet = _a_fleet()
        assert len(fleet) == 432
        store.commit([a_batch(1, *fleet)])
        assert _all_pages(store, EVERYTHING, limit) == fleet

    def test_pages_stand_while_others_write(self, store: Store) -> None:
        fleet = _a_fleet()
        store.commit([a_batch(1, *fleet[::2])])
        first = store.slices(EVERYTHING, None, 100)
        store.commit([a_batch(2, *fleet[1::2])])
        rest = []
        page = first
        while page.next_cursor is not None:
            page = store.slices(EVERYTHING, page.next_cursor, 100)
            rest += page.slices
        place = fleet.index(first.slices[-1])
        assert rest == fleet[place + 1 :]

    @pytest.mark.parametrize("cursor", ["", "x", "bm8=", "e30=", "\N{SNOWMAN}", "WyIxIl0=", "WyIwIiwgMV0="])
    def test_a_foreign_cursor_is_rejected(self, store: Store, cursor: str) -> None:
        with pytest.raises(Reject):
            store.slices(EVERYTHING, cursor, 10)

    def test_scope(self, store: Store) -> None:
        elsewhere = a_slice(1, node=_OTHER_NODE)
        store.commit([a_batch(1, a_slice(0), a_slice(1), a_free_slice(1), elsewhere)])
        cut = Scope(START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS)
        assert set(store.slices(cut, None, 10).slices) == {a_slice(1), a_free_slice(1), elsewhere}
        assert store.slices(replace(cut, clusters=("west",)), None, 10).slices == (elsewhere,)
        (total,) = store.totals(replace(cut, clusters=("east", "x"), namespaces=("research",)), [])
        assert total.sums.charged_ns == MINUTE_NS
        assert store.totals(Scope(START_NS, START_NS), []) == []

    def test_totals_by_every_dimension(self, store: Store) -> None:
        fleet = _a_fleet()
        store.commit([a_batch(1, *fleet)])
        (whole,) = store.totals(EVERYTHING, [])
        assert whole.key == ()
        for dimension in Dimension:
            totals = store.totals(EVERYTHING, [dimension])
            assert sum(total.sums.charged_ns for total in totals) == whole.sums.charged_ns, dimension
            assert sum(total.sums.cost_nanodollars for total in totals) == whole.sums.cost_nanodollars
            assert [total.key for total in totals] == sorted({total.key for total in totals})
            assert all(isinstance(text, str) for total in totals for text in total.key)
        assert [total.key for total in store.totals(EVERYTHING, [Dimension.PLACEMENT])] == [
            ("",),
            ("0",),
            ("2",),
            ("4",),
        ]

    def test_totals_keep_the_order_of_dimensions(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(), a_slice(node=_OTHER_NODE))])
        totals = store.totals(EVERYTHING, [Dimension.NAMESPACE, Dimension.CLUSTER])
        assert [total.key for total in totals] == [("research", "east"), ("research", "west")]

    def test_totals_tell_times_and_flags(self, store: Store) -> None:
        rows = [a_slice(0, used_ns=5), a_slice(1, used_ns=5), a_slice(2, used_ns=0), a_free_slice(3)]
        store.commit([a_batch(1, *rows)])
        used, free = store.totals(EVERYTHING, [Dimension.HOLDER_KIND])
        assert (used.first_ns, used.last_ns) == (START_NS, START_NS + 3 * MINUTE_NS)
        assert used.last_used_ns == START_NS + 2 * MINUTE_NS
        assert used.flags == ("carried", "resolution_1s")
        assert free.last_used_ns is None
        assert (free.sums.used_ns, free.sums.idle_ns) == (0, MINUTE_NS)

    def test_who_is_a_shadow_now_and_a_holder_then_is_two_groups(self, store: Store) -> None:
        def row(window: int, reserved_ns: int, *flags: str) -> CostSlice:
            time = GpuTime(reserved_ns, window + 1, 0, 0)
            return replace(a_slice(window), time=time, cost=Cost(window + 1), flags=flags)

        rows = [
            row(0, 0, "shadow"),
            row(1, MINUTE_NS, "carried"),
            row(2, 0, "carried", "shadow", "resolution_1s"),
            row(3, MINUTE_NS, "shadow"),  # given to it for a part of the window
            row(4, 0, "overshadowed"),
            row(5, 0),
        ]
        store.commit([a_batch(1, *rows)])
        given, shadow = store.totals(EVERYTHING, [Dimension.POD, Dimension.SHADOW])
        assert (given.key, shadow.key) == ((POD.pod, ""), (POD.pod, "shadow"))
        assert (shadow.sums.used_ns, shadow.sums.cost_nanodollars) == (1 + 3, 1 + 3)
        assert (given.sums.used_ns, given.sums.cost_nanodollars) == (2 + 4 + 5 + 6, 2 + 4 + 5 + 6)
        assert (shadow.sums.reserved_ns, given.sums.reserved_ns) == (0, 2 * MINUTE_NS)
        assert (shadow.first_ns, shadow.last_used_ns) == (START_NS, START_NS + 3 * MINUTE_NS)
        assert given.flags == ("carried", "overshadowed", "shadow")

    def test_unpriced_time_is_apart(self, store: Store) -> None:
        unpriced = replace(a_slice(1), price=Price(), cost=Cost())
        free = replace(a_slice(2), price=Price(0, "override"), cost=Cost())
        store.commit([a_batch(1, a_slice(0), unpriced, free)])
        (total,) = store.totals(EVERYTHING, [])
        assert total.sums.unpriced_ns == MINUTE_NS
        assert total.sums.charged_ns == 3 * MINUTE_NS

    def test_sums_pass_64_bits(self, store: Store) -> None:
        most = (1 << 63) - 1
        rows = [
            replace(a_slice(window), time=GpuTime(most, most, 0, 0), cost=Cost(most, 0, 0, most))
            for window in range(3)
        ]
        store.commit([a_batch(1, *rows)])
        (total,) = store.totals(EVERYTHING, [])
        assert total.sums.cost_nanodollars == total.sums.used_ns == 3 * most

    def test_durable_is_the_greatest_number(self, store: Store) -> None:
        store.commit([a_batch(2, a_slice(2)), a_batch(1, a_slice(1))])
        assert store.durable(AGENT) == Durable(2, (2).to_bytes(32))
        store.commit([a_batch(1, a_slice(1))])
        assert store.durable(AGENT) == Durable(2, (2).to_bytes(32))
        store.commit([a_batch(7)])
        assert store.durable(AGENT) == Durable(7, (7).to_bytes(32))
        assert store.durable(AgentId(NODE, "epoch-2")) is None

    def test_progress_never_goes_back(self, store: Store) -> None:
        store.commit([a_batch(5)])
        store.commit([a_batch(3), a_batch(4)])
        (progress,) = store.progress()
        assert progress.closed_through_ns == START_NS + 5 * MINUTE_NS
        assert (progress.node, progress.boot_id, progress.window_ns) == (NODE, "boot-1", MINUTE_NS)

    def test_progress_of_the_newest_boot(self, store: Store) -> None:
        elsewhere = AgentId(_OTHER_NODE, "epoch-9")
        store.commit([a_batch(5), a_batch(1, agent=elsewhere)])
        store.commit([a_batch(6, boot_id="boot-2", closed_through_ns=START_NS)])
        mine, others = store.progress()
        assert (mine.boot_id, mine.closed_through_ns) == ("boot-2", START_NS)
        assert others.node == _OTHER_NODE

    def test_facts_are_the_latest(self, store: Store) -> None:
        def facts(since: int, team: str) -> WorkloadFacts:
            labels = {"team": team, "\N{SNOWMAN}": '"'}
            return WorkloadFacts(
                POD.namespace, POD.pod, POD.pod_uid, since, labels, {"a": "b"}, "Job", "train"
            )

        nobodys = WorkloadFacts("x", "y", "z", 1)
        board = GpuFacts(GPU.gpu_uuid, "NVIDIA H100", 80 << 30, "p5", "us-east-1", 3)
        store.commit([a_batch(1, a_slice(), workloads=(facts(5, "new"), nobodys), gpus=(board,))])
        again = (facts(3, "old"), facts(5, "new"), facts(5, "new"))
        store.commit(
            [a_batch(2, workloads=again, gpus=(board, replace(board, memory_bytes=None, valid_from_ns=4)))]
        )
        assert store.workloads(EVERYTHING) == {("east", POD.namespace, POD.pod, POD.pod_uid): facts(5, "new")}
        assert store.workloads(Scope(0, 1)) == {}
        assert store.gpus() == {("east", GPU.gpu_uuid): replace(board, memory_bytes=None, valid_from_ns=4)}

    def test_of_two_facts_of_one_instant_the_later_counts(self, store: Store) -> None:
        pod = WorkloadFacts(POD.namespace, POD.pod, POD.pod_uid, 1, {"team": "a"})
        store.commit([a_batch(1, a_slice(), workloads=(pod,))])
        store.commit([a_batch(2, workloads=(replace(pod, labels={"team": "b"}),))])
        (facts,) = store.workloads(EVERYTHING).values()
        assert facts.labels == {"team": "b"}

    def test_quarantine_is_apart_and_each_slice_is_there_once(self, store: Store) -> None:
        bad = replace(a_slice(), time=GpuTime(0, -1, 5, 0))
        huge = replace(a_slice(1), cost=Cost((1 << 63) - 1, (1 << 63) - 1, 0, 0))
        batch = a_batch(
            1, refused=(Refused(bad, "negative"), Refused(huge, "huge"), Refused(bad, "negative"))
        )
        store.commit([batch])
        store.commit([replace(batch, agent=AgentId(NODE, "epoch-2"))])
        assert store.totals(EVERYTHING, []) == []
        assert store.quarantined(EVERYTHING) == QuarantineTotals(
            2, 4 + MINUTE_NS, MINUTE_NS // 1_000 + 2 * ((1 << 63) - 1), {"negative": 1, "huge": 1}
        )
        assert store.quarantined(Scope(0, START_NS)) == QuarantineTotals()

    def test_a_malformed_batch_counts_by_its_number_alone(self, store: Store) -> None:
        batch = a_batch(4, malformed=Malformed(b"\x00\xff", "no table"))
        assert _counts(store.commit([batch, batch])) == (0, 0, 0)
        durable = store.durable(AGENT)
        assert durable is not None
        assert durable.sequence_number == 4

    def test_nothing_to_commit(self, store: Store) -> None:
        assert _counts(store.commit([])) == (0, 0, 0)
