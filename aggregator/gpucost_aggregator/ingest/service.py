"""The stream's end here: Hello and Welcome, batches in, acknowledgements out."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from gpucost.clock import Clock
from gpucost.trouble import Reject, Retry, Stop
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2, stream_pb2_grpc
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import Greeting, read_hello
from gpucost_aggregator.ingest.intake import count_batch, take_batch
from gpucost_aggregator.ingest.sessions import Ending, Pending, Session, Sessions
from gpucost_aggregator.ingest.writer import Writer
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.rows import Durable

HELLO_TIMEOUT_S = 30.0
SLOW_NS = 2 * NS_PER_SECOND

_STOPPING = Ending(grpc.StatusCode.UNAVAILABLE, "the aggregator is stopping: call again later", finishes=True)

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What the service is made of; *readers* is where the store is asked, because it blocks."""

    store: Store
    readers: Executor
    writer: Writer
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger


class CostStreamService(stream_pb2_grpc.CostStreamServicer):
    """All streams; lives on the event loop. Its answers to a stream's trouble are gRPC's status codes."""

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts
        self._sessions = Sessions(parts.counts)
        self._fleet_window_ns: int | None = None
        self._stopping = False

    async def Connect(self, _: object, context: Context) -> None:  # noqa: N802  # the name of the call
        """One agent's stream, from its Hello to its end."""
        try:
            greeting = await self._greeting(context)
            durable = await self._ask_durable(greeting) if greeting else None
        except Reject as trouble:
            self._parts.counts.hellos_refused += 1
            self._parts.log.warning("hello_refused", peer=context.peer(), reason=str(trouble))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(trouble))
        except (Retry, Stop) as trouble:
            self._parts.log.warning("store_not_readable", trouble=str(trouble))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the store can not be read: call again later")
        if self._stopping:
            await context.abort(_STOPPING.code, _STOPPING.reason)
        if greeting is not None:
            await self._serve(greeting, durable, context)

    def stop(self) -> None:
        """Take no more; every stream acknowledges what it has read, and ends."""
        self._stopping = True
        for session in self._sessions:
            session.end(_STOPPING)

    async def _greeting(self, context: Context) -> Greeting | None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await context.read()
        except TimeoutError:
            raise Reject(f"no Hello within {HELLO_TIMEOUT_S:g} s") from None
        if first is grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs lack it
            return None
        if self._fleet_window_ns is None:
            progress = await self._in_reader(self._parts.store.progress)
            # Two first streams may both have asked; the one that was answered first decides.
            if progress and self._fleet_window_ns is None:
                self._fleet_window_ns = progress[0].window_ns
        greeting = read_hello(first, self._fleet_window_ns)
        if self._fleet_window_ns is None and not greeting.is_watcher:
            self._fleet_window_ns = greeting.window_ns
        return greeting

    async def _ask_durable(self, greeting: Greeting) -> Durable | None:
        durable: Durable | None = await self._in_reader(self._parts.store.durable, greeting.agent)
        return durable

    async def _serve(self, greeting: Greeting, durable: Durable | None, context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # gRPC runs every call in a task
        held = durable or Durable(0, b"")
        session = Session(greeting, context, task, held.sequence_number, held.sequence_number)
        log = self._parts.log.bind(cluster=greeting.agent.node.cluster, node=greeting.agent.node.node)
        took_over = self._sessions.enter(session)
        log.info("stream_opened", version=greeting.version, durable=held.sequence_number, took_over=took_over)
        if _differs(greeting, held):
            log.warning("spool_differs", sequence_number=held.sequence_number)
        acknowledging: asyncio.Task[None] | None = None
        try:
            await session.send(self._welcome(held))
            acknowledging = asyncio.create_task(session.acknowledge())
            await self._read(session, context, log)
            await _finish(session, acknowledging)
        except asyncio.CancelledError:
            if session.ending is None:
                raise
            task.uncancel()
            if session.ending.finishes and acknowledging is not None:
                await _finish(session, acknowledging)
        except Reject as trouble:
            session.ending = Ending(grpc.StatusCode.INVALID_ARGUMENT, str(trouble))
        finally:
            self._sessions.leave(session)
            if acknowledging is not None:
                acknowledging.cancel()
                # It fails where the peer is gone, which is no news by then.
                await asyncio.gather(acknowledging, return_exceptions=True)
            log.info("stream_closed", reason=session.ending.reason if session.ending else "")
        if session.ending is not None:
            await context.abort(session.ending.code, session.ending.reason)

    def _welcome(self, held: Durable) -> stream_pb2.FromAggregator:
        identity = self._parts.store.identity()
        return stream_pb2.FromAggregator(
            welcome=stream_pb2.Welcome(
                durable_sequence_number=held.sequence_number,
                durable_batch_sha256=held.sha256,
                store_id=identity.store_id,
                store_generation=identity.generation,
                clock_ns=self._parts.clock.now().wall_ns,
                live_interval_ns=0,
            )
        )

    async def _read(self, session: Session, context: Context, log: FilteringBoundLogger) -> None:
        while True:
            message = await context.read()
            if message is grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs lack it
                return
            kind = message.WhichOneof("message")
            if kind == "batch":
                await self._take(message.batch, session, log)
            elif kind == "goodbye":
                log.info("goodbye", reason=message.goodbye.reason[:200])
                return
            elif kind == "cluster_facts":
                self._parts.counts.cluster_facts += 1
                log.info("cluster_facts_not_kept", nodes=len(message.cluster_facts.nodes))
            elif kind == "hello":
                raise Reject("a second Hello on one stream: open another stream")

    async def _take(self, message: stream_pb2.Batch, session: Session, log: FilteringBoundLogger) -> None:
        if session.greeting.is_watcher:
            raise Reject("a cluster's watcher sends no batches: say Hello as an agent")
        number = message.sequence_number
        if 0 < number <= session.durable:
            self._parts.counts.batches_resent += 1
            await session.pending.put(Pending(number))
            return
        taken, checked = take_batch(message, session.greeting, self._parts.clock.now().wall_ns)
        count_batch(taken, checked, self._parts.counts, log)
        if number > session.last_read + 1:
            self._parts.counts.sequence_gaps += 1
            log.warning("sequence_gap", first_missing=session.last_read + 1, last_missing=number - 1)
        session.last_read = max(session.last_read, number)
        if self._parts.writer.is_congested:
            self._parts.counts.slows += 1
            await session.send(stream_pb2.FromAggregator(slow=stream_pb2.Slow(wait_ns=SLOW_NS)))
        outcome = await self._parts.writer.submit(taken.batch)
        await session.pending.put(Pending(number, outcome, taken.reject))

    async def _in_reader(self, call: Any, *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._parts.readers, call, *arguments)


def _differs(greeting: Greeting, held: Durable) -> bool:
    """Whether the agent's last batch has the number of the store's last, and is another one."""
    said, known = greeting.last_batch_sha256, held.sha256
    return (
        greeting.next_sequence_number == held.sequence_number + 1
        and b"" not in (said, known)
        and said != known
    )


async def _finish(session: Session, acknowledging: asyncio.Task[None]) -> None:
    """Until every batch that was read is answered, or it is known that one will not be."""
    answered = asyncio.create_task(session.pending.join())
    try:
        await asyncio.wait({answered, acknowledging}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answered.cancel()
