"""What every store promises of its quarantine; a test class for an engine inherits it and gives a ``store``."""

import dataclasses
from dataclasses import replace

import pytest
from gpucost.cost_slice import Cost, GpuTime
from gpucost.facts import WorkloadFacts
from gpucost.identity import NodeId
from gpucost.trouble import Reject

from contracts.ledger_rows import AGENT, EVERYTHING, MINUTE_NS, POD, START_NS, a_batch, a_slice
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.quarantine_rows import QuarantineId, QuarantineScope, Replay
from gpucost_aggregator.store.rows import AgentId, Malformed, QuarantineTotals, Refused, Scope

_EVERY = QuarantineScope()
_OTHER = AgentId(NodeId("west", "node-9"), "epoch-1")
S1, S2, B1 = QuarantineId(False, 1), QuarantineId(False, 2), QuarantineId(True, 1)


def _a_refusal(window: int = 0, reason: str = "is from the future") -> Refused:
    return Refused(a_slice(window), reason)


def _fill(store: Store) -> None:
    store.commit([a_batch(1, refused=(_a_refusal(1), _a_refusal(2, "Charged too much")))])
    store.commit([a_batch(2, malformed=Malformed(b"\x00\xff", "no table"))])
    row = a_slice(3, node=_OTHER.node)
    store.commit([a_batch(3, refused=(Refused(row, "is from the future"),), agent=_OTHER)])


def _ids(store: Store, scope: QuarantineScope = _EVERY) -> list[str]:
    return [str(each.id) for each in store.set_aside(scope, None, 100).entries]


class QuarantineContract:
    """Inherit it beside the store's own contract."""

    def test_an_empty_quarantine(self, store: Store) -> None:
        assert _ids(store) == []
        assert store.set_aside_by_id([S1, B1]) == []
        assert store.malformed_message(B1) is None
        assert dataclasses.astuple(store.replay([], 1))[:3] == (0, 0, 0)

    def test_what_is_set_aside_comes_back_as_it_was(self, store: Store) -> None:
        huge = replace(a_slice(1), cost=Cost((1 << 63) - 1, (1 << 63) - 1, 0, 0), time=GpuTime(0, -1, 5))
        store.commit([a_batch(1, refused=(Refused(huge, "too much"),))])
        (entry,) = store.set_aside(_EVERY, None, 10).entries
        assert (entry.id, entry.row, entry.reason) == (S1, huge, "too much")
        assert (entry.agent, entry.sequence_number) == (AGENT, 1)
        assert (entry.tried_at_ns, entry.replayed_at_ns, entry.message_bytes) == (None, None, None)
        assert store.set_aside_by_id([S1]) == [entry]

    def test_a_malformed_batch_comes_back_as_it_was(self, store: Store) -> None:
        store.commit([a_batch(7, malformed=Malformed(b"\x00\xff", "no table"))])
        (entry,) = store.set_aside(_EVERY, None, 10).entries
        assert (entry.id, entry.row, entry.reason, entry.message_bytes) == (B1, None, "no table", 2)
        assert store.malformed_message(B1) == b"\x00\xff"
        assert store.malformed_message(S1) is None

    def test_filters(self, store: Store) -> None:
        _fill(store)
        assert _ids(store) == ["s1", "s2", "b1", "s3"]
        assert _ids(store, QuarantineScope(clusters=("west",))) == ["s3"]
        assert _ids(store, QuarantineScope(nodes=("node-1",))) == ["s1", "s2", "b1"]
        assert _ids(store, QuarantineScope(reason="charged")) == ["s2"]
        assert _ids(store, QuarantineScope(clusters=("west",), reason="FUTURE")) == ["s3"]
        second = START_NS + 2 * MINUTE_NS
        assert _ids(store, QuarantineScope(since_ns=second)) == ["b1", "s3"]
        assert _ids(store, QuarantineScope(until_ns=second)) == ["s1", "s2"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4])
    def test_pages_hold_everything_once_and_stand_while_it_is_replayed(
        self, store: Store, limit: int
    ) -> None:
        _fill(store)
        found: list[str] = []
        cursor = None
        while True:
            page = store.set_aside(_EVERY, cursor, limit)
            assert len(page.entries) <= limit
            found += [str(each.id) for each in page.entries]
            store.replay([Replay(each.id, None) for each in page.entries], 1)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == ["s1", "s2", "b1", "s3"]

    @pytest.mark.parametrize("cursor", ["", "x", "q1-", "q1-1-x3"])
    def test_a_foreign_cursor(self, store: Store, cursor: str) -> None:
        with pytest.raises(Reject):
            store.set_aside(_EVERY, cursor, 1)

    def test_numbers_are_never_given_twice(self, store: Store) -> None:
        _fill(store)
        store.replay([Replay(S2, a_batch(1, a_slice(2)))], 5)
        store.commit([a_batch(4, refused=(_a_refusal(9),))])
        assert _ids(store) == ["s1", "b1", "s3", "s4"]

    def test_a_replay_counts_once_however_often_it_is_asked_for(self, store: Store) -> None:
        _fill(store)
        before = store.quarantined(EVERYTHING)
        assert (before.slices, before.charged_ns, before.batches) == (3, 3 * MINUTE_NS, 1)
        replay = Replay(S1, a_batch(1, a_slice(1)))
        assert store.replay([replay], 77).written == 1
        assert dataclasses.astuple(store.replay([replay], 78))[:3] == (0, 0, 0)
        (total,) = store.totals(EVERYTHING, [])
        assert total.sums.charged_ns == MINUTE_NS
        assert store.quarantined(EVERYTHING).slices == 2
        assert _ids(store) == ["s2", "b1", "s3"]
        (entry,) = store.set_aside_by_id([S1])
        assert entry.replayed_at_ns == 77
        assert _ids(store, QuarantineScope(replayed=True)) == ["s1", "s2", "b1", "s3"]

    def test_what_was_replayed_and_is_sent_again_stays_out(self, store: Store) -> None:
        store.commit([a_batch(1, refused=(_a_refusal(1),))])
        store.replay([Replay(S1, a_batch(1, a_slice(1)))], 77)
        store.commit([a_batch(2, refused=(_a_refusal(1),))])
        store.commit([a_batch(3, a_slice(1))])
        assert _ids(store) == []
        (total,) = store.totals(EVERYTHING, [])
        assert total.sums.charged_ns == MINUTE_NS

    def test_what_is_known_already_is_no_second_slice(self, store: Store) -> None:
        store.commit([a_batch(1, a_slice(1), refused=(_a_refusal(2),))])
        assert store.replay([Replay(S1, a_batch(1, a_slice(1)))], 5).duplicates == 1
        assert store.replay([Replay(S1, a_batch(1, a_slice(2)))], 6).written == 0

    def test_what_does_not_pass_stays_and_says_why(self, store: Store) -> None:
        _fill(store)
        store.replay([Replay(S1, None, "still bad"), Replay(B1, a_batch(2, a_slice(8)), "one is bad")], 99)
        slice_, batch = store.set_aside_by_id([B1, S1])
        assert (slice_.reason, slice_.tried_at_ns, slice_.replayed_at_ns) == ("still bad", 99, None)
        assert (batch.reason, batch.tried_at_ns, batch.replayed_at_ns) == ("one is bad", 99, None)
        assert len(store.slices(EVERYTHING, None, 10).slices) == 1
        assert store.malformed_message(B1) == b"\x00\xff"

    def test_a_replayed_batch_brings_slices_refusals_and_facts(self, store: Store) -> None:
        _fill(store)
        facts = WorkloadFacts(POD.namespace, POD.pod, POD.pod_uid, 1, {"team": "a"})
        batch = a_batch(2, a_slice(8), refused=(_a_refusal(9, "no"),), workloads=(facts,))
        store.replay([Replay(B1, batch)], 5)
        assert len(store.workloads(EVERYTHING)) == 1
        assert _ids(store) == ["s1", "s2", "s4", "s3"]
        assert store.quarantined(EVERYTHING).batches == 0

    def test_a_replay_moves_no_number_and_no_progress(self, store: Store) -> None:
        _fill(store)
        before = (store.durable(AGENT), store.progress())
        store.replay([Replay(B1, a_batch(2_000, a_slice(8), boot_id="", closed_through_ns=1 << 61))], 5)
        assert (store.durable(AGENT), store.progress()) == before

    def test_a_batch_counts_where_it_may_belong(self, store: Store) -> None:
        _fill(store)
        came = START_NS + 2 * MINUTE_NS + 5_000_000_000
        assert store.quarantined(Scope(came, came + 1)).batches == 1
        assert store.quarantined(Scope(came + 1, came + 2)) == QuarantineTotals()
        assert store.quarantined(replace(EVERYTHING, clusters=("west",))).batches == 0
        assert store.quarantined(replace(EVERYTHING, namespaces=("research",))).batches == 0
