"""The stream's end here: Hello and Welcome, batches in, acknowledgements out."""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio
from gpucost.clock import Clock
from gpucost.cluster_wire import cluster_facts_from_message
from gpucost.identity import NodeId
from gpucost.trouble import Reject, Retry, Stop
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2, stream_pb2_grpc
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.caller import ANYBODY, Caller
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.writers import WriterAccess
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.door import Context, Door, DoorParts
from gpucost_aggregator.ingest.duplicates import Duplicates
from gpucost_aggregator.ingest.greeting import Greeting, check_window, read_hello
from gpucost_aggregator.ingest.intake import Taken, count_batch, rows_of, take_batch
from gpucost_aggregator.ingest.limits import StreamLimits
from gpucost_aggregator.ingest.price_rounds import PriceRounds
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ingest.sessions import NOT_READ, Ending, Pending, Session, Sessions
from gpucost_aggregator.ingest.writer import Writer
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.live.pace import nodes_lately
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import SequenceGap
from gpucost_aggregator.store.rows import AcceptedBatch, Durable

SLOW_NS = 2 * NS_PER_SECOND

_STOPPING = Ending(grpc.StatusCode.UNAVAILABLE, "the aggregator is stopping: call again later", finishes=True)
_TOKEN_ENDED = Ending(
    grpc.StatusCode.UNAVAILABLE,
    "the token of this stream has reached its end: call again with the one that its file holds now",
    finishes=True,
)
_TOKEN_REVOKED = Ending(
    grpc.StatusCode.UNAUTHENTICATED,
    "the token is not valid any more: renew what the agent's --token-file holds",
)
_LONGEST_LIFE_NS = 86_400 * NS_PER_SECOND
_SHORTEST_LIFE_NS = 5 * NS_PER_SECOND
"""A token that was let in past its end, within the clocks' leeway, is good for so long; its file may have a new one."""


@dataclass(frozen=True, slots=True)
class IngestParts:
    """
    What the service is made of; *readers* is where the store is asked, because it blocks.

    Without *access* nobody is asked who they are; without *book* a name belongs to no cluster; without *board*
    nobody is asked for Lives; without *prices* nobody is told of a price book.
    """

    store: Store
    readers: Executor
    writer: Writer
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger
    access: WriterAccess | None = None
    book: AccessBook | None = None
    board: Board | None = None
    limits: StreamLimits = field(default_factory=StreamLimits)
    prices: PriceShelf | None = None


class CostStreamService(stream_pb2_grpc.CostStreamServicer):
    """All streams; lives on the event loop. Its answers to a stream's trouble are gRPC's status codes."""

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts
        self._sessions = Sessions(parts.counts)
        self._duplicates = Duplicates()
        self._prices = PriceRounds(parts.prices, self._sessions, parts.counts)
        self._door = Door(
            DoorParts(
                parts.readers, parts.clock, parts.counts, parts.log, parts.limits, parts.access, parts.book
            ),
            self._sessions,
        )
        self._fleet_window_ns: int | None = None
        self._stopping = False

    async def Connect(self, _: object, context: Context) -> None:  # noqa: N802  # the name of the call
        """One agent's stream, from its Hello to its end."""
        greeting, caller = None, ANYBODY
        try:
            with self._door.handshake():
                caller = await self._door.identify(context)
                greeting = await self._greeting(context)
                if greeting is None:
                    return
                await self._door.let_in(caller, greeting)
                await self._agree_on_window(greeting)
                durable = await self._ask_durable(greeting)
        except Refused as trouble:
            ending = self._door.refused(trouble, context.peer(), greeting)
            await context.abort(ending.code, ending.reason)
        except Reject as trouble:
            self._parts.counts.hellos_refused += 1
            if self._door.may_tell():
                self._parts.log.warning("hello_refused", peer=context.peer(), reason=str(trouble))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(trouble))
        except (Retry, Stop) as trouble:
            self._parts.log.warning("stream_not_begun", peer=context.peer(), trouble=str(trouble))
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "the aggregator can not take streams now: call again later"
            )
        if self._stopping:
            await context.abort(_STOPPING.code, _STOPPING.reason)
        await self._serve(greeting, caller, durable, context)

    def stop(self) -> None:
        """Take no more; every stream acknowledges what it has read, and ends."""
        self._stopping = True
        self._prices.stop()
        for session in self._sessions:
            session.end(_STOPPING)

    def end_streams_of(self, caller: str) -> int:
        """What the caller of that name had shown is valid no more; how many streams end by that."""
        theirs = [session for session in self._sessions if session.caller.name == caller]
        for session in theirs:
            session.end(_TOKEN_REVOKED)
        return len(theirs)

    def duplicate_agents(self) -> tuple[NodeId, ...]:
        """Nodes whose stream two agents take from each other now."""
        return self._duplicates.now(self._parts.clock.now().monotonic_ns)

    def prices_changed(self) -> int:
        """Every agent is told of the book that the shelf has now; how many there are to tell."""
        return self._prices.begin()

    def books_named(self) -> tuple[tuple[NodeId, str], ...]:
        """The nodes that have a stream, and which version of a price book each said last it goes by; empty is none."""
        agents = (session for session in self._sessions if not session.greeting.is_watcher)
        return tuple((session.greeting.agent.node, session.book_named) for session in agents)

    async def _greeting(self, context: Context) -> Greeting | None:
        hello_s = self._parts.limits.hello_s
        try:
            async with asyncio.timeout(hello_s):
                first = await context.read()
        except TimeoutError:
            raise Reject(f"no Hello within {hello_s:g} s") from None
        if first is grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs lack it
            return None
        return read_hello(first)

    async def _agree_on_window(self, greeting: Greeting) -> None:
        if greeting.is_watcher:
            return
        if self._fleet_window_ns is None:
            progress = await self._in_reader(self._parts.store.progress)
            # Two first streams may both have asked; the one that was answered first decides.
            if progress and self._fleet_window_ns is None:
                self._fleet_window_ns = progress[0].window_ns
                if self._parts.board is not None:
                    lately = nodes_lately([node.last_heard_ns for node in progress])
                    self._parts.board.expect(lately, self._parts.clock.now())
        check_window(greeting.window_ns, self._fleet_window_ns)
        self._fleet_window_ns = greeting.window_ns

    async def _ask_durable(self, greeting: Greeting) -> Durable | None:
        durable: Durable | None = await self._in_reader(self._parts.store.durable, greeting.agent)
        return durable

    async def _serve(
        self, greeting: Greeting, caller: Caller, durable: Durable | None, context: Context
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # gRPC runs every call in a task
        held = durable or Durable(0, b"")
        number, limits = held.sequence_number, self._parts.limits
        session = Session(
            greeting, context, task, number, last_read=number, caller=caller, send_s=limits.send_s
        )
        session.book_named = session.book_told = greeting.price_book_version
        log = self._parts.log.bind(cluster=greeting.agent.node.cluster, node=greeting.agent.node.node)
        took_over = self._sessions.enter(session)
        log.info(
            "stream_opened",
            version=greeting.version,
            durable=number,
            took_over=took_over,
            caller=caller.name,
        )
        if took_over:
            self._look_for_duplicates(greeting, log)
        ends = self._end_with_token(session)
        if _differs(greeting, held):
            log.warning("spool_differs", sequence_number=held.sequence_number)
        acknowledging: asyncio.Task[None] | None = None
        try:
            await session.send(self._welcome(held, self._live_interval_ns(session)))
            acknowledging = asyncio.create_task(session.acknowledge())
            await self._prices.greet(session)
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
            self._prices.leave(session)
            if self._parts.board is not None:
                self._parts.board.leave(greeting.agent.node, session)
            if ends is not None:
                ends.cancel()
            if acknowledging is not None:
                acknowledging.cancel()
                # It fails where the peer is gone, which is no news by then.
                await asyncio.gather(acknowledging, return_exceptions=True)
            log.info("stream_closed", reason=session.ending.reason if session.ending else "")
        if session.ending is NOT_READ:
            self._parts.counts.slow_readers += 1
        if session.ending is not None:
            # Who does not read may not read this either; the connection's own age ends such a call at last.
            with suppress(TimeoutError):
                await session.settle(limits.end_s)
                async with asyncio.timeout(limits.end_s):
                    await context.abort(session.ending.code, session.ending.reason)

    def _end_with_token(self, session: Session) -> asyncio.TimerHandle | None:
        if session.caller.until_ns is None:
            return None
        left_ns = session.caller.until_ns - self._parts.clock.now().wall_ns
        left_s = min(max(_SHORTEST_LIFE_NS, left_ns), _LONGEST_LIFE_NS) / NS_PER_SECOND
        return asyncio.get_running_loop().call_later(left_s, session.end, _TOKEN_ENDED)

    def _look_for_duplicates(self, greeting: Greeting, log: FilteringBoundLogger) -> None:
        if self._duplicates.took_over(greeting.agent.node, self._parts.clock.now().monotonic_ns):
            self._parts.counts.duplicate_agents += 1
            log.error(
                "duplicate_agent",
                boot_id=greeting.boot_id,
                epoch=greeting.agent.epoch,
                what="agents take this node's stream from each other: give each its own --node, or end one",
            )

    def _live_interval_ns(self, session: Session) -> int:
        board, greeting = self._parts.board, session.greeting
        if board is None or greeting.is_watcher:
            return 0
        return board.enter(greeting.agent.node, session, self._parts.clock.now())

    def _welcome(self, held: Durable, live_interval_ns: int) -> stream_pb2.FromAggregator:
        identity = self._parts.store.identity()
        return stream_pb2.FromAggregator(
            welcome=stream_pb2.Welcome(
                durable_sequence_number=held.sequence_number,
                durable_batch_sha256=held.sha256,
                store_id=identity.store_id,
                store_generation=identity.generation,
                clock_ns=self._parts.clock.now().wall_ns,
                price_book_version=self._prices.version,
                live_interval_ns=live_interval_ns,
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
            elif kind == "live" and self._parts.board is not None:
                # Neither kept nor acknowledged, and not looked into before somebody asks.
                node, live, now = session.greeting.agent.node, message.live, self._parts.clock.now()
                self._parts.board.put(node, session, live.taken_at_ns, live.table.SerializeToString, now)
            elif kind == "goodbye":
                log.info("goodbye", reason=message.goodbye.reason[:200])
                return
            elif kind == "cluster_facts":
                await self._keep_facts(message.cluster_facts, session, log)
            elif kind == "hello":
                raise Reject("a second Hello on one stream: open another stream")
            # Or each stream would hold its last message until the next one.
            del message

    async def _take(self, message: stream_pb2.Batch, session: Session, log: FilteringBoundLogger) -> None:
        if session.greeting.is_watcher:
            raise Reject("a cluster's watcher sends no batches: say Hello as an agent")
        number = message.sequence_number
        if 0 < number <= session.durable:
            self._parts.counts.batches_resent += 1
            await session.pending.put(Pending(number))
            return
        if self._parts.writer.is_congested:
            self._parts.counts.slows += 1
            await session.send(stream_pb2.FromAggregator(slow=stream_pb2.Slow(wait_ns=SLOW_NS)))
        taken: list[Taken] = []

        def read() -> AcceptedBatch:
            taken.append(self._accept(message, session, log))
            return taken[0].batch

        outcome = await self._parts.writer.submit(rows_of(message), read, session)
        reject = taken.pop().reject if taken else None
        await session.pending.put(Pending(number, outcome, reject))

    def _accept(self, message: stream_pb2.Batch, session: Session, log: FilteringBoundLogger) -> Taken:
        number = message.sequence_number
        taken, checked = take_batch(message, session.greeting, self._parts.clock.now().wall_ns)
        count_batch(taken, checked, self._parts.counts, log)
        if number > session.last_read + 1:
            self._parts.counts.sequence_gaps += 1
            log.warning("sequence_gap", first_missing=session.last_read + 1, last_missing=number - 1)
        if number > session.last_read + 1 or not session.last_read:
            session.gap = SequenceGap(session.last_read + 1, number - 1)
        # A batch that can not be read does not tell when it was, so that the next one follows the gap too.
        batch, malformed = replace(taken.batch, gap=session.gap), taken.batch.malformed is not None
        session.gap = session.gap if malformed else None
        session.book_named = session.book_named if malformed else batch.price_book_version
        session.last_read = max(session.last_read, number)
        return replace(taken, batch=batch)

    async def _keep_facts(
        self, message: stream_pb2.ClusterFacts, session: Session, log: FilteringBoundLogger
    ) -> None:
        if not session.greeting.is_watcher:
            raise Reject("an agent sends no facts of its cluster: say Hello as its watcher")
        parts, cluster = self._parts, session.greeting.agent.node.cluster
        # By this program's clock, as it is what silence is measured by.
        facts = replace(cluster_facts_from_message(message), seen_at_ns=parts.clock.now().wall_ns)
        try:
            await parts.writer.alone(lambda: parts.store.keep_cluster_facts(cluster, facts))
        except Retry as trouble:
            # The watcher says everything again on its next stream.
            log.warning("cluster_facts_not_kept", trouble=str(trouble))
            session.end(Ending(grpc.StatusCode.UNAVAILABLE, "the store takes nothing now: call again later"))
            return
        parts.counts.cluster_facts += 1

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
