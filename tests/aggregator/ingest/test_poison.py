"""A batch on which the store chokes: it comes three times, is set aside whole, and its stream goes on."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
from gpucost.trouble import Retry
from gpucost.v1 import stream_pb2

from contracts.agent_peer import a_hello, a_message, a_peer
from contracts.ledger_rows import AGENT, EVERYTHING, a_slice
from contracts.serving_streams import GatedStore, Served
from gpucost_aggregator.ingest.poison import MAX_REMEMBERED, Failures
from gpucost_aggregator.store.quarantine_rows import QuarantineId, QuarantineScope
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport

B1 = QuarantineId(True, 1)


class ChokingStore(GatedStore):
    """A store that fails, in a manner that nobody expects, on the batches with these numbers."""

    def __init__(self, *numbers: int, also_whole: bool = False) -> None:
        super().__init__()
        self.numbers = numbers
        self.also_whole = also_whole

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        for batch in batches:
            if batch.sequence_number in self.numbers and (self.also_whole or batch.malformed is None):
                raise ValueError(f"choked on {batch.sequence_number}")
        return super().commit(batches)


def test_the_third_failure_sets_it_aside_and_the_stream_goes_on(play: Callable[..., None]) -> None:
    store = ChokingStore(1)

    async def scene(served: Served) -> None:
        for _ in range(2):
            async with a_peer(served.address) as peer:
                await peer.greet()
                await peer.say(batch=a_message(1, a_slice(1)))
                assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE
            assert store.durable(AGENT) is None
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice(1)))
            await peer.acknowledged(1)
            # Nobody has the books of its window yet.
            assert [node.closed_through_ns for node in store.progress()] == [0]
            await peer.say(batch=a_message(2, a_slice(2)))
            await peer.acknowledged(2)
        (entry,) = store.set_aside(QuarantineScope(), None, 10).entries
        assert entry.reason == "the store failed on it: ValueError: choked on 1"
        message = store.malformed_message(B1)
        assert message is not None
        assert stream_pb2.Batch.FromString(message) == a_message(1, a_slice(1))
        assert store.quarantined(EVERYTHING).batches == 1
        assert [row.key.window_start_ns for row in store.rows.values()] == [a_slice(2).key.window_start_ns]
        counts = served.counts
        assert (counts.commit_failures, counts.batches_poisonous, counts.batches_malformed) == (3, 1, 1)

    play(scene, store)


def test_what_can_not_even_be_set_aside_is_never_acknowledged(play: Callable[..., None]) -> None:
    store = ChokingStore(1, also_whole=True)

    async def scene(served: Served) -> None:
        for _ in range(5):
            async with a_peer(served.address) as peer:
                await peer.greet()
                await peer.say(batch=a_message(1, a_slice(1)))
                assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE
        assert store.durable(AGENT) is None

    play(scene, store)


def test_no_number_is_durable_before_those_below_it(play: Callable[..., None]) -> None:
    store = ChokingStore(2)

    async def scene(served: Served) -> None:
        store.gate.clear()
        async with a_peer(served.address) as peer:
            await peer.greet()
            for number in (1, 2, 3, 4):
                await peer.say(batch=a_message(number, a_slice(number)))
            while served.writer.waiting_rows < 8:
                await asyncio.sleep(0.01)
            store.gate.set()
            assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE
        durable = store.durable(AGENT)
        assert durable is not None
        assert durable.sequence_number == 1
        async with a_peer(served.address) as peer:
            welcome = await peer.greet(a_hello(next_sequence_number=5))
            assert welcome.durable_sequence_number == 1

    play(scene, store)


def test_what_was_not_kept_at_the_end_takes_nothing_behind_it_along(play: Callable[..., None]) -> None:
    store = GatedStore()

    async def scene(served: Served) -> None:
        store.gate.clear()
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice(1)))
            while served.writer.waiting_rows < 2:
                await asyncio.sleep(0.01)
            await peer.say(batch=a_message(2, a_slice(2)))
            while served.writer.waiting_rows < 4:
                await asyncio.sleep(0.01)
            store.troubles = [Retry("full for a moment")]
            served.writer.drain()
            store.gate.set()
            await served.writing
        durable = store.durable(AGENT)
        assert durable is None or durable.sequence_number == 2 == len(store.rows)

    play(scene, store)


def test_counts_of_failures_are_bounded() -> None:
    failures = Failures()
    for number in range(1, MAX_REMEMBERED + 3):
        assert failures.another(_a_batch(number)) == 1
    assert failures.another(_a_batch(1)) == 1
    assert failures.another(_a_batch(MAX_REMEMBERED + 2)) == 2
    failures.over(_a_batch(MAX_REMEMBERED + 2))
    assert failures.another(_a_batch(MAX_REMEMBERED + 2)) == 1


def _a_batch(number: int) -> AcceptedBatch:
    return AcceptedBatch(AGENT, "", number, b"", 1, 0, 0, ())
