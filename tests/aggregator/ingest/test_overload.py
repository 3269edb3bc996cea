"""A store that is slow, full or broken: senders wait, memory is bounded, nothing is lost."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from gpucost.facts import WorkloadFacts
from gpucost.identity import NodeId
from gpucost.trouble import Retry, Stop
from gpucost.v1 import ledger_pb2, stream_pb2

from contracts.agent_peer import a_hello, a_message, a_peer
from contracts.ledger_rows import (
    POD,
    a_slice,
)
from contracts.serving_streams import Served
from gpucost_aggregator.ingest.intake import MAX_NAMES, ROW_BYTES, rows_of
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


def test_what_waits_for_room_is_not_read_before_there_is_some(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.gate.clear()
        async with AsyncExitStack() as stack:
            peers = []
            for number in range(9):
                agent = AgentId(NodeId("east", f"node-{number}"), "e")
                peers.append(await stack.enter_async_context(a_peer(served.address)))
                await peers[-1].greet(a_hello(agent))
                await peers[-1].say(batch=a_message(1, a_slice(node=agent.node)))
            # Those that wait were told so, and a slice takes twenty times the room of its message.
            for peer in peers[5:]:
                assert (await peer.hear()).WhichOneof("message") == "slow"
            assert (served.counts.batches, served.writer.waiting_rows) == (5, 10)
            served.store.gate.set()
            for peer in peers:
                await peer.acknowledged(1)
        assert (served.counts.batches, served.writer.waiting_rows) == (9, 0)
        assert len(served.store.rows) == 9

    play(scene, max_waiting=10)


def test_a_message_takes_room_for_its_bytes_too(play: Callable[..., None]) -> None:
    # No slice of it can be read, so that all of it waits as it came.
    heavy = stream_pb2.Batch(table=ledger_pb2.Table(names=[f"{place:030}" for place in range(MAX_NAMES + 1)]))
    most = 2 * heavy.ByteSize() // ROW_BYTES + 10

    async def scene(served: Served) -> None:
        served.store.gate.clear()
        async with a_peer(served.address) as peer:
            await peer.greet()
            for number in range(1, 4):
                heavy.sequence_number = number
                await peer.say(batch=heavy)
            assert (await peer.hear()).WhichOneof("message") == "slow"
            assert served.counts.batches == 1
            assert most - 20 < served.writer.waiting_rows <= most
            served.store.gate.set()
            await peer.acknowledged(3)
        assert served.counts.batches_malformed == 3
        assert served.writer.waiting_rows == 0

    play(scene, max_waiting=most)


def test_facts_take_room_for_their_labels() -> None:
    def pod(labels: int) -> stream_pb2.Batch:
        named = {f"l{place}": "" for place in range(labels)}
        return a_message(1, workloads=(WorkloadFacts("n", "p", "u", 1, named, named),))

    assert [rows_of(pod(labels)) for labels in (0, 3, 4, 32)] == [2, 2, 3, 10]


def test_a_batch_that_is_larger_than_all_room_goes_in_alone(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            for number in (1, 2):
                rows = [a_slice(number, holder=replace(POD, pod=f"pod-{place}")) for place in range(9)]
                await peer.say(batch=a_message(number, *rows))
            await peer.acknowledged(2)
        assert len(served.store.rows) == 18

    play(scene, max_waiting=4)


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
