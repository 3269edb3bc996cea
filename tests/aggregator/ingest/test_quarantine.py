"""The quarantine as an operator works with it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from gpucost.cost_slice import GpuTime
from gpucost.trouble import Reject
from gpucost.units import NS_PER_DAY
from gpucost.v1 import stream_pb2

from contracts.agent_peer import a_message
from contracts.hand_clock import HandClock
from contracts.ledger_rows import EVERYTHING, MIG, MINUTE_NS, NODE, START_NS, a_batch, a_free_slice, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.ingest.bounds import FUTURE_NS, RETENTION_NS, slice_breaches
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import read_hello
from gpucost_aggregator.ingest.intake import take_batch
from gpucost_aggregator.ingest.quarantine import Quarantine, QuarantineParts
from gpucost_aggregator.ingest.writer import Writer, WriterParts
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.quarantine_rows import QuarantineId, QuarantineScope, Replay
from gpucost_aggregator.store.rows import CommitReport, Malformed, Refused

S1, S2, B1 = QuarantineId(False, 1), QuarantineId(False, 2), QuarantineId(True, 1)
LAWLESS = replace(a_free_slice(1), time=GpuTime(0, 0, 5, 0))


def ask(store: Store, now_ns: int, scene: Callable[[Quarantine], Awaitable[None]]) -> Counts:
    clock, counts, log = HandClock(now_ns), Counts(), structlog.get_logger()

    async def whole() -> None:
        with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as thread:
            writer = Writer(WriterParts(store, thread, clock, counts, log))
            await scene(Quarantine(QuarantineParts(store, readers, writer, clock, counts, log)))

    asyncio.run(whole())
    return counts


def a_store() -> MemoryStore:
    store = MemoryStore()
    refused = (Refused(a_slice(60), "is from the future"), Refused(LAWLESS, "breaks a law"))
    store.commit([a_batch(1, a_slice(0), refused=refused)])
    return store


def test_a_slice_from_the_future_passes_once_its_time_has_come() -> None:
    store = a_store()

    async def early(quarantine: Quarantine) -> None:
        done = await quarantine.replay([S1])
        assert (done.replayed, done.stayed) == (0, 1)
        assert done.kept_back == {"s1": "is from the future"}

    ask(store, START_NS, early)

    async def later(quarantine: Quarantine) -> None:
        explained = await quarantine.explain(S1)
        assert [breach.words for breach in explained.then] == ["is from the future"]
        assert explained.now == ()
        done = await quarantine.replay([S1, QuarantineId(False, 99)])
        assert (done.replayed, done.slices_written, done.unknown) == (1, 1, ["s99"])
        again = await quarantine.replay([S1])
        assert (again.replayed, again.already, again.slices_written) == (0, 1, 0)

    counts = ask(store, START_NS + 60 * MINUTE_NS, later)
    assert counts.slices_replayed == 1
    (total,) = store.totals(EVERYTHING, [])
    assert total.sums.charged_ns == 2 * MINUTE_NS
    assert store.quarantined(EVERYTHING).slices == 1


def test_all_of_it_and_only_some_of_it() -> None:
    store = a_store()

    async def scene(quarantine: Quarantine) -> None:
        none = await quarantine.replay_all(QuarantineScope(reason="nothing of the kind"))
        assert (none.replayed, none.stayed) == (0, 0)
        done = await quarantine.replay_all(QuarantineScope())
        assert (done.replayed, done.stayed) == (1, 1)
        assert "passes reserved" in done.kept_back["s2"]
        again = await quarantine.replay_all(QuarantineScope())
        assert (again.replayed, again.stayed) == (0, 1)

    ask(store, START_NS + 60 * MINUTE_NS, scene)
    (entry,) = store.set_aside(QuarantineScope(), None, 9).entries
    assert entry.tried_at_ns == START_NS + 60 * MINUTE_NS
    assert "passes reserved" in entry.reason


def test_one_that_the_store_chokes_on_stays_and_the_others_go() -> None:
    class Choking(MemoryStore):
        def replay(self, replays: Sequence[Replay], at_ns: int) -> CommitReport:
            if any(each.id == S1 and each.batch is not None for each in replays):
                raise ValueError("no")
            return super().replay(replays, at_ns)

    store = Choking()
    store.commit([a_batch(1, refused=(Refused(a_slice(1), "x"), Refused(a_slice(2), "x")))])

    async def scene(quarantine: Quarantine) -> None:
        done = await quarantine.replay_all(QuarantineScope())
        assert (done.replayed, done.stayed) == (1, 1)
        assert done.kept_back == {"s1": "the store failed on it: ValueError: no"}

    ask(store, START_NS, scene)


def test_a_malformed_batch_is_read_again_with_todays_code() -> None:
    message = a_message(
        3, a_slice(3), replace(LAWLESS, key=replace(LAWLESS.key, window_start_ns=START_NS + 3 * MINUTE_NS))
    )
    store = MemoryStore()
    store.commit([a_batch(3, malformed=Malformed(message.SerializeToString(), "unknown to the old code"))])

    async def scene(quarantine: Quarantine) -> None:
        explained = await quarantine.explain(B1)
        assert explained.read is not None
        assert explained.read.unreadable == ()
        done = await quarantine.replay([B1])
        assert (done.replayed, done.slices_written) == (1, 1)

    ask(store, START_NS + 60 * MINUTE_NS, scene)
    assert list(store.slices(EVERYTHING, None, 9).slices) == [a_slice(3)]
    (entry,) = store.set_aside(QuarantineScope(), None, 9).entries
    assert "passes reserved" in entry.reason
    assert store.quarantined(EVERYTHING).batches == 0


def test_a_batch_whose_message_is_lost_stays_and_says_so(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path, StoreOptions(memory_limit_bytes=128 << 20, threads=1, reserve_bytes=0))
    store.commit([a_batch(3, malformed=Malformed(b"\x00", "no table"))])
    store.close()
    for rest in tmp_path.glob("messages.sqlite*"):
        rest.unlink()
    without = DuckDBStore(tmp_path, StoreOptions(memory_limit_bytes=128 << 20, threads=1, reserve_bytes=0))

    async def scene(quarantine: Quarantine) -> None:
        done = await quarantine.replay([B1])
        assert (done.replayed, done.stayed) == (0, 1)
        assert "put the messages.sqlite of a backup" in done.kept_back["b1"]

    ask(without, START_NS + 60 * MINUTE_NS, scene)
    without.close()


def test_what_is_still_unreadable_stays_with_its_message() -> None:
    message = a_message(3, a_slice(3), a_slice(3, device=MIG))
    message.table.slices[0].holder = 9
    store = MemoryStore()
    store.commit(
        [
            a_batch(3, malformed=Malformed(message.SerializeToString(), "old words")),
            a_batch(4, malformed=Malformed(b"\x00\xff", "no batch")),
        ]
    )

    async def scene(quarantine: Quarantine) -> None:
        for _ in range(2):
            done = await quarantine.replay_all(QuarantineScope())
            assert (done.replayed, done.stayed) == (0, 2)
            assert "holder is number 9" in done.kept_back["b1"]
            assert "no batch" in done.kept_back["b2"]

    ask(store, START_NS + 60 * MINUTE_NS, scene)
    assert len(store.slices(EVERYTHING, None, 9).slices) == 1
    assert store.malformed_message(B1) == message.SerializeToString()


def test_what_is_not_there_can_not_be_explained() -> None:
    async def scene(quarantine: Quarantine) -> None:
        with pytest.raises(Reject, match="quarantine list"):
            await quarantine.explain(S2)

    ask(MemoryStore(), START_NS, scene)


@pytest.mark.parametrize("text", ["", "s", "17", "s0", "x1", "s-1", "s1 ", "b" + "9" * 19])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(Reject):
        QuarantineId.read(text)


def test_ids_are_read_as_they_are_written() -> None:
    for each in (S1, B1, QuarantineId(True, 10**17)):
        assert QuarantineId.read(str(each)) == each


def test_the_bounds_of_time_name_both_sides() -> None:
    key_ns = START_NS + MINUTE_NS
    assert slice_breaches(a_slice(1), NODE, key_ns - FUTURE_NS) == []
    (future,) = slice_breaches(a_slice(1), NODE, key_ns - FUTURE_NS - 1)
    assert future.words == "is from the future"
    assert "2026-02-02T02:41:00Z" in future.said
    assert "+ 300 s" in future.bound
    assert slice_breaches(a_slice(1), NODE, key_ns + RETENTION_NS) == []
    (old,) = slice_breaches(a_slice(1), NODE, key_ns + RETENTION_NS + 1)
    assert old.words == "is older than retention"
    assert "400 days" in old.bound
    assert RETENTION_NS == 400 * NS_PER_DAY


def test_one_unreadable_slice_leaves_the_rest_of_its_batch_in_the_books() -> None:
    greeting = read_hello(
        stream_pb2.FromNode(
            hello={"role": 1, "cluster": "east", "node": "node-1", "epoch": "e", "window_ns": MINUTE_NS}  # type: ignore[arg-type]
        )
    )
    message = a_message(3, a_slice(3), a_slice(3, device=MIG), LAWLESS)
    message.table.slices[0].device = 99
    taken, checked = take_batch(message, greeting, START_NS + 60 * MINUTE_NS)
    assert [row.key.device for row in taken.batch.slices] == [MIG]
    assert taken.batch.malformed is not None
    assert "device is number 99" in taken.batch.malformed.reason
    assert taken.batch.closed_through_ns == START_NS + 4 * MINUTE_NS
    assert taken.reject is not None
    assert [refused.slice for refused in taken.reject.refused] == [0, 2]
    assert checked is not None
    assert set(checked.breaches) == {"slice"}
