"""The stream's end at the aggregator, over a real gRPC server and real messages."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import NodeId
from gpucost.v1 import stream_pb2

from contracts import sliced_fleet
from contracts.agent_peer import a_hello, a_message, a_peer
from contracts.ledger_rows import (
    AGENT,
    EVERYTHING,
    GPU,
    MINUTE_NS,
    NODE,
    POD,
    START_NS,
    a_batch,
    a_slice,
)
from contracts.serving_streams import NOW_NS, GatedStore, Served
from gpucost_aggregator.ingest.intake import batch_sha256
from gpucost_aggregator.store.rows import AgentId, Dimension


def test_a_batch_is_acknowledged_once_it_is_durable(play: Callable[..., None]) -> None:
    pod = WorkloadFacts(POD.namespace, POD.pod, POD.pod_uid, 1, {"team": "a"})
    board = GpuFacts(GPU.gpu_uuid, "NVIDIA H100", None)

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            welcome = await peer.greet()
            assert welcome.durable_sequence_number == 0
            assert (welcome.store_id, welcome.store_generation) == ("memory", 1)
            assert (welcome.clock_ns, welcome.live_interval_ns) == (NOW_NS, 0)
            served.store.gate.clear()
            message = a_message(1, a_slice(), workloads=(pod,), gpus=(board,))
            await peer.say(batch=message)
            hearing = asyncio.create_task(peer.acknowledged(1))
            await asyncio.sleep(0)
            assert served.store.rows == {}
            served.store.gate.set()
            assert await hearing == []
            assert list(served.store.rows.values()) == [a_slice()]
            durable = served.store.durable(AGENT)
            assert durable is not None
            assert durable.sha256 == batch_sha256(message)
            assert len(served.store.workloads(EVERYTHING)) == len(served.store.gpus()) == 1
            (progress,) = served.store.progress()
            assert (progress.closed_through_ns, progress.last_heard_ns) == (START_NS + MINUTE_NS, NOW_NS)

    play(scene)


def test_parts_of_gpus_and_their_activity_arrive_as_they_were(play: Callable[..., None]) -> None:
    agent = AgentId(sliced_fleet.NODE, "epoch-1")
    rows = sliced_fleet.window_of_fleet(START_NS, 0, 12, MINUTE_NS)

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet(a_hello(agent))
            await peer.say(batch=a_message(1, *rows))
            assert await peer.acknowledged(1) == []
        assert set(served.store.rows.values()) == set(rows)
        worker = next(row for row in served.store.rows.values() if row.evidence.method == "gpm")
        assert (worker.measures, worker.weight) == (sliced_fleet.MEASURES, (1, 2))

    play(scene)


def test_a_second_stream_goes_on_where_the_first_was_durable(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            for number in range(1, 6):
                await peer.say(batch=a_message(number, a_slice(number)))
            await peer.acknowledged(5)
            await peer.say(goodbye=stream_pb2.Goodbye(reason="over", last_sequence_number=5))
            assert await peer.end() == (grpc.StatusCode.OK, "")
        async with a_peer(served.address) as peer:
            welcome = await peer.greet(a_hello(next_sequence_number=6))
            assert welcome.durable_sequence_number == 5
            assert welcome.durable_batch_sha256 == batch_sha256(a_message(5, a_slice(5)))
            commits = len(served.store.sizes)
            await peer.say(batch=a_message(3, a_slice(3)))
            assert await peer.acknowledged(5) == []
            assert len(served.store.sizes) == commits
            assert served.counts.batches_resent == 1
            await peer.say(batch=a_message(6, a_slice(6)))
            await peer.acknowledged(6)
        assert len(served.store.rows) == 6
        assert served.counts.sequence_gaps == 0
        async with a_peer(served.address) as peer:
            assert (await peer.greet(a_hello(epoch="epoch-2"))).durable_sequence_number == 0

    play(scene)


def lost_ns(store: GatedStore) -> int:
    totals = store.totals(EVERYTHING, [Dimension.REASON])
    return sum(total.sums.unmeasured_ns for total in totals if total.key == ("store_lost",))


def test_time_before_the_first_batch_of_a_new_epoch_is_lost_where_nobody_has_its_books(
    play: Callable[..., None],
) -> None:
    async def scene(served: Served) -> None:
        for epoch, window in (("epoch-1", 0), ("epoch-2", 3)):
            async with a_peer(served.address) as peer:
                await peer.greet(a_hello(epoch=epoch))
                await peer.say(batch=a_message(1, a_slice(window)))
                await peer.acknowledged(1)
        assert lost_ns(served.store) == 2 * MINUTE_NS
        assert served.counts.sequence_gaps == 0

    play(scene)


def test_a_gap_before_a_batch_that_can_not_be_read_is_closed_before_the_next_one(
    play: Callable[..., None],
) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice(0)))
            unreadable = a_message(3, a_slice(2), closed_through_ns=0)
            unreadable.table.slices[0].holder = 99
            await peer.say(batch=unreadable)
            await peer.acknowledged(3)
            assert lost_ns(served.store) == 0
            await peer.say(batch=a_message(4, a_slice(3)))
            await peer.acknowledged(4)
        assert lost_ns(served.store) == 2 * MINUTE_NS

    play(scene)


def test_batches_of_many_streams_share_a_commit(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        served.store.gate.clear()

        async def one(number: int) -> None:
            node = NodeId("east", f"node-{number}")
            async with a_peer(served.address) as peer:
                await peer.greet(a_hello(AgentId(node, "e")))
                await peer.say(batch=a_message(1, a_slice(node=node)))
                if number == 19:
                    while served.writer.waiting_rows < 40:
                        await asyncio.sleep(0.01)
                    served.store.gate.set()
                await peer.acknowledged(1)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(one(number))
        assert sum(served.store.sizes) == 20
        # The first commit was waiting at the gate when the others came.
        assert len(served.store.sizes) < 20

    play(scene)


def test_what_was_read_is_kept_when_the_agent_hangs_up(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            await peer.hang_up()
            await peer.acknowledged(1)
            assert await peer.end() == (grpc.StatusCode.OK, "")

    play(scene)


def test_a_gap_is_counted_and_the_stream_goes_on(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice(1)))
            await peer.say(batch=a_message(4, a_slice(4)))
            await peer.say(batch=a_message(5, a_slice(5)))
            await peer.acknowledged(5)
        assert (served.counts.sequence_gaps, served.counts.slices_lost) == (1, 2)
        lost = [row for row in served.store.rows.values() if "synthetic" in row.flags]
        assert sorted(row.key.window_start_ns for row in lost) == [
            START_NS + 2 * MINUTE_NS,
            START_NS + 3 * MINUTE_NS,
        ]
        assert len(served.store.rows) == 5

    play(scene)


def test_the_newer_stream_fences_the_older(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with (
            a_peer(served.address) as older,
            a_peer(served.address) as newer,
            a_peer(served.address) as other,
        ):
            await older.greet()
            await other.greet(a_hello(AgentId(NodeId("east", "node-2"), "e")))
            await older.say(batch=a_message(1, a_slice(1)))
            await older.acknowledged(1)
            await newer.greet(a_hello(epoch="epoch-2"))
            code, text = await older.end()
            assert code is grpc.StatusCode.ABORTED
            assert "newer stream" in text
            assert "--node" in text
            await newer.say(batch=a_message(1, a_slice(2)))
            await newer.acknowledged(1)
            await other.say(batch=a_message(1))
            await other.acknowledged(1)
            assert served.counts.takeovers == 1
            assert served.counts.streams == 2

    play(scene)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cluster": ""}, "cluster is empty.*--cluster"),
        ({"node": " "}, "node is empty.*--node"),
        ({"epoch": ""}, "epoch is empty"),
        ({"node": "n" * 513}, "more than 512 bytes"),
        ({"window_ns": 0}, "does not divide an hour"),
        ({"window_ns": 7_000_000_000}, "does not divide an hour"),
        ({"window_ns": 30_000_000_000}, "--window-seconds=60"),
    ],
)
def test_a_hello_that_leads_nowhere(play: Callable[..., None], change: dict[str, Any], words: str) -> None:
    store = GatedStore()
    store.commit([a_batch(1, agent=AgentId(NodeId("west", "other"), "e"))])

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.say(hello=a_hello(**change))
            code, text = await peer.end()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            with pytest.raises(AssertionError, match=words):
                raise AssertionError(text)
        assert served.counts.hellos_refused == 1
        assert served.counts.streams == 0

    play(scene, store)


def test_the_first_window_is_the_fleets(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as first, a_peer(served.address) as second:
            await first.greet(a_hello(window_ns=10_000_000_000))
            await second.say(hello=a_hello(AgentId(NodeId("east", "node-2"), "e")))
            code, text = await second.end()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "--window-seconds=10" in text

    play(scene)


@pytest.mark.parametrize("again", [False, True])
def test_hello_comes_first_and_once(play: Callable[..., None], again: bool) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            if again:
                await peer.greet()
                await peer.say(hello=a_hello())
            else:
                await peer.say(batch=a_message(1, a_slice()))
            code, text = await peer.end()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "Hello" in text
        assert served.store.rows == {}

    play(scene)


def test_a_watcher_is_heard_and_sends_no_batches(play: Callable[..., None]) -> None:
    watcher = stream_pb2.Hello(role=stream_pb2.ROLE_CLUSTER_WATCHER, cluster=NODE.cluster)

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as agent, a_peer(served.address) as peer:
            await agent.greet()
            await peer.greet(watcher)
            await peer.say(cluster_facts=stream_pb2.ClusterFacts(seen_at_ns=1))
            await peer.say(batch=a_message(1, a_slice()))
            assert (await peer.end())[0] is grpc.StatusCode.INVALID_ARGUMENT
            await agent.say(batch=a_message(1, a_slice()))
            await agent.acknowledged(1)
        assert served.counts.cluster_facts == 1

    play(scene)
