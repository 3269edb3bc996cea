"""The stream's end at the aggregator, over a real gRPC server and real messages."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from gpucost.clock import Instant
from gpucost.cost_slice import Cost, GpuTime
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import NodeId
from gpucost.trouble import Retry, Stop
from gpucost.v1 import ledger_pb2, stream_pb2, stream_pb2_grpc

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
    a_free_slice,
    a_slice,
)
from contracts.memory_store import MemoryStore
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.intake import batch_sha256
from gpucost_aggregator.ingest.service import CostStreamService, IngestParts
from gpucost_aggregator.ingest.writer import Writer, WriterLimits, WriterParts
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, CommitReport

NOW_NS = START_NS + 100 * MINUTE_NS


class StandingClock:
    def now(self) -> Instant:
        return Instant(NOW_NS, 0)


class GatedStore(MemoryStore):
    """A store whose commits wait until they are let through, and fail as they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.troubles: list[Exception] = []
        self.poison: AcceptedBatch | None = None
        self.sizes: list[int] = []

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        assert self.gate.wait(30)
        if self.troubles:
            raise self.troubles.pop(0)
        if any(batch.boot_id == "poison" for batch in batches):
            raise ValueError("a bug")
        self.sizes.append(len(batches))
        return super().commit(batches)


@dataclass
class Served:
    address: str
    store: GatedStore
    counts: Counts
    service: CostStreamService
    writer: Writer
    writing: asyncio.Task[None]


@asynccontextmanager
async def serving(
    folder: Path, limits: WriterLimits, store: GatedStore | None = None
) -> AsyncIterator[Served]:
    store, counts, log = store or GatedStore(), Counts(), structlog.get_logger()
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as thread:
        writer = Writer(WriterParts(store, thread, StandingClock(), counts, log), limits)
        writing = asyncio.create_task(writer.run())
        service = CostStreamService(IngestParts(store, readers, writer, StandingClock(), counts, log))
        server = grpc.aio.server()
        stream_pb2_grpc.add_CostStreamServicer_to_server(service, server)
        address = f"unix:{folder}/grpc.sock"
        server.add_insecure_port(address)
        await server.start()
        try:
            yield Served(address, store, counts, service, writer, writing)
        finally:
            store.gate.set()
            writer.drain()
            service.stop()
            await server.stop(10)
            await asyncio.wait({writing})


Scene = Callable[[Served], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Runs a scene against a service of its own."""

    def run(scene: Scene, store: GatedStore | None = None, **limits: Any) -> None:
        async def whole() -> None:
            async with (
                asyncio.timeout(60),
                serving(
                    tmp_path, WriterLimits(**{"coalesce_s": 0.0, "retry_s": 0.0, **limits}), store
                ) as served,
            ):
                await scene(served)

        asyncio.run(whole())

    return run


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
        assert served.counts.sequence_gaps == 1
        assert len(served.store.rows) == 3

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
