"""What a stream brings that can not be kept: set aside, counted, told; and the rest of it is kept."""

from collections.abc import Callable
from dataclasses import replace

import grpc
import grpc.aio
from gpucost.cost_slice import Cost, GpuTime
from gpucost.v1 import ledger_pb2, stream_pb2

from contracts.agent_peer import a_message, a_peer
from contracts.ledger_rows import (
    EVERYTHING,
    MINUTE_NS,
    POD,
    a_free_slice,
    a_slice,
)
from contracts.serving_streams import NOW_NS, Served


def test_bad_slices_are_set_aside_and_their_batch_is_kept(play: Callable[..., None]) -> None:
    good = a_slice(1)
    lawless = replace(a_free_slice(1), time=GpuTime(0, 0, 5, 0))

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, good, lawless))
            (answer,) = await peer.acknowledged(1)
            assert answer.reject.sequence_number == 1
            assert [refused.slice for refused in answer.reject.refused] == [1]
            assert "passes reserved" in answer.reject.refused[0].reason
        assert list(served.store.rows.values()) == [good]
        assert served.store.quarantined(EVERYTHING).slices == 1
        assert served.counts.slices_refused == 1
        assert served.counts.law_breaches["slice"] == 1

    play(scene)


def test_a_hundred_refused_slices_are_told_and_all_are_set_aside(play: Callable[..., None]) -> None:
    holders = [replace(POD, pod=f"pod-{place}") for place in range(300)]
    many = [replace(a_slice(1, holder=holder), time=GpuTime(0, 0, 5, 0)) for holder in holders]
    unreadable = a_message(2, *many)
    for row in unreadable.table.slices:
        row.device = 77

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            for message in (a_message(1, *many), unreadable):
                await peer.say(batch=message)
                (answer,) = await peer.acknowledged(message.sequence_number)
                assert [refused.slice for refused in answer.reject.refused] == list(range(100))
        assert served.store.quarantined(EVERYTHING).slices == 300

    play(scene)


def test_the_future_is_refused_and_closes_nothing(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice(105)))
            assert await peer.acknowledged(1) == []
            await peer.say(batch=a_message(2, a_slice(106)))
            (answer,) = await peer.acknowledged(2)
            assert [refused.reason for refused in answer.reject.refused] == ["is from the future"]
        (progress,) = served.store.progress()
        assert progress.closed_through_ns == NOW_NS
        assert len(served.store.rows) == 1

    play(scene)


def test_a_batch_that_is_no_table_is_set_aside_whole(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            message = a_message(1, a_slice())
            message.table.slices[0].device = 77
            await peer.say(batch=message)
            (answer,) = await peer.acknowledged(1)
            assert "device is number 77" in answer.reject.refused[0].reason
            await peer.say(
                batch=stream_pb2.Batch(sequence_number=2, table=ledger_pb2.Table(slices=[{}] * 10_001))
            )
            (answer,) = await peer.acknowledged(2)
            assert "10000 is the most" in answer.reject.refused[0].reason
            await peer.say(batch=stream_pb2.Batch(sequence_number=0))
            assert (await peer.end())[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert served.counts.batches_malformed == 2
        assert served.store.rows == {}

    play(scene)


def test_sums_that_break_a_law_are_counted_and_kept(play: Callable[..., None]) -> None:
    short = replace(a_slice(1), time=GpuTime(MINUTE_NS, 5, 5, 0), cost=Cost(7, 0, 0, 0))

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, short))
            await peer.acknowledged(1)
        assert dict(served.counts.law_breaches) == {"gpu_time": 1, "money": 1}
        assert len(served.store.rows) == 1

    play(scene)
