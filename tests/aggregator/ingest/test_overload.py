"""A store that is slow, full or broken: senders wait, memory is bounded, nothing is lost."""

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
import pytest
from gpucost.identity import NodeId
from gpucost.trouble import Retry, Stop

from contracts.agent_peer import a_hello, a_message, a_peer
from contracts.ledger_rows import (
    a_slice,
)
from contracts.serving_streams import Served
from gpucost_aggregator.store.rows import AgentId


def test_a_full_disk_delays_and_loses_nothing(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.troubles = [Retry("no room")] * 3
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            await peer.acknowledged(1)
        assert served.counts.commit_retries == 3
        assert served.counts.writable
        assert len(served.store.rows) == 1

    play(scene)


def test_a_batch_that_can_not_be_kept_ends_its_own_stream_only(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.gate.clear()
        poison = AgentId(NodeId("east", "node-2"), "e")
        async with a_peer(served.address) as good, a_peer(served.address) as bad:
            await good.greet()
            await bad.greet(a_hello(poison, boot_id="poison"))
            await good.say(batch=a_message(1, a_slice(1)))
            await good.say(batch=a_message(2, a_slice(2)))
            await bad.say(batch=a_message(1, a_slice(node=poison.node)))
            while served.writer.waiting_rows < 6:
                await asyncio.sleep(0.01)
            served.store.gate.set()
            await good.acknowledged(2)
            code, text = await bad.end()
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "send it again" in text
        assert served.store.durable(poison) is None
        assert served.counts.commit_failures == 1

    play(scene)


def test_a_store_that_gave_up_ends_the_writer_and_acknowledges_nothing(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.troubles = [Stop("gave up", 5)]
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(Stop):
            await served.writing
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE

    play(scene)


def test_overload_slows_senders_and_bounds_what_waits(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.gate.clear()
        async with a_peer(served.address) as peer:
            await peer.greet()
            for number in range(1, 31):
                await peer.say(batch=a_message(number, a_slice(number)))
            assert (await peer.hear()).WhichOneof("message") == "slow"
            assert served.writer.waiting_rows <= 10
            served.store.gate.set()
            others = await peer.acknowledged(30)
            assert {answer.WhichOneof("message") for answer in others} == {"slow"}
        assert len(served.store.rows) == 30

    play(scene, max_waiting=10, max_commit=4)


def test_stopping_acknowledges_what_was_read(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.gate.clear()
        async with a_peer(served.address) as peer, a_peer(served.address) as late:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            while not served.writer.waiting_rows:
                await asyncio.sleep(0.01)
            served.writer.drain()
            served.service.stop()
            served.store.gate.set()
            await peer.acknowledged(1)
            code, text = await peer.end()
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "stopping" in text
            await late.say(hello=a_hello())
            assert (await late.end())[0] is grpc.StatusCode.UNAVAILABLE
        assert len(served.store.rows) == 1

    play(scene)
