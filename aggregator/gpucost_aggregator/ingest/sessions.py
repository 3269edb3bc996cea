"""Live streams: one a node, and what each of them still has to acknowledge."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from gpucost.identity import NodeId
from gpucost.v1 import stream_pb2

from gpucost_aggregator.access.caller import ANYBODY, Caller
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import Greeting
from gpucost_aggregator.ingest.writer import Outcome
from gpucost_aggregator.store.closed_rows import SequenceGap

MAX_PENDING = 256
"""Batches of one stream that may wait for their acknowledgement; past it the stream is not read."""


class Line(Protocol):
    """Where answers go: a gRPC context. It blocks while the peer reads slowly, and takes one call at a time."""

    async def write(self, message: stream_pb2.FromAggregator) -> None:
        """Send *message*."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch on its way: it may be acknowledged once *outcome* says so; None is durable already."""

    sequence_number: int
    outcome: asyncio.Future[Outcome] | None = None
    reject: stream_pb2.Reject | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stream is ended from this side; *finishes*: what was read is acknowledged first."""

    code: grpc.StatusCode
    reason: str
    finishes: bool = False


NOT_READ = Ending(
    grpc.StatusCode.DEADLINE_EXCEEDED, "answers of the aggregator are not read: call again later"
)


@dataclass(eq=False)
class Session:
    """
    One stream after its Hello.

    *durable* is the last number that the store holds, *last_read* the last that came; *gap* is one that no batch
    with a window followed yet.
    *task* reads the stream; ending the session cancels it. An answer that waits for longer than *send_s* ends it.
    *book_named* is the version of the price book that the agent said last it goes by; *book_told* is the last that it
    was told of, or has said itself.
    """

    greeting: Greeting
    line: Line
    task: asyncio.Task[object]
    durable: int = 0
    last_read: int = 0
    caller: Caller = ANYBODY
    send_s: float | None = None
    ending: Ending | None = None
    gap: SequenceGap | None = None
    book_named: str = ""
    book_told: str = ""
    pending: asyncio.Queue[Pending] = field(default_factory=lambda: asyncio.Queue(MAX_PENDING))
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _writing: asyncio.Future[None] | None = None

    def end(self, ending: Ending) -> None:
        """Stop reading, for the first reason that is given."""
        if self.ending is None:
            self.ending = ending
            self.task.cancel()

    async def send(self, message: stream_pb2.FromAggregator) -> None:
        """
        Answer with *message*; answers of two tasks do not mix.

        Raises:
            TimeoutError: The caller does not read; the stream is being ended.
        """
        try:
            async with asyncio.timeout(self.send_s), self._sending:
                # Not ended with its task: gRPC ends no call while it writes, and the caller would wait for ever.
                self._writing = asyncio.ensure_future(self.line.write(message))
                self._writing.add_done_callback(_look_at)
                await asyncio.shield(self._writing)
        except TimeoutError:
            self.end(NOT_READ)
            if asyncio.current_task() is self.task:
                await asyncio.sleep(0)  # Where the reader's own task ends here, as anywhere else.
            raise

    async def settle(self, patience_s: float) -> None:
        """Wait until nothing is being written any more, but no longer than that."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=patience_s)

    async def acknowledge(self) -> None:
        """Answer each batch once it is durable, many at once where they are; ends where one is not kept."""
        held: Pending | None = None
        while True:
            batches = [held or await self.pending.get()]
            held = None
            if not await self._became_durable(batches[0]):
                return
            while held is None and not self.pending.empty():
                batch = self.pending.get_nowait()
                if not _is_done(batch):
                    held = batch
                elif await self._became_durable(batch):
                    batches.append(batch)
                else:
                    return
            await self._answer(batches)

    async def _answer(self, batches: list[Pending]) -> None:
        for batch in batches:
            if batch.reject is not None:
                await self.send(stream_pb2.FromAggregator(reject=batch.reject))
        await self.send(stream_pb2.FromAggregator(ack=stream_pb2.Ack(sequence_number=self.durable)))
        for _ in batches:
            self.pending.task_done()

    async def _became_durable(self, batch: Pending) -> bool:
        if batch.outcome is not None and await batch.outcome is not Outcome.DURABLE:
            self.end(
                Ending(
                    grpc.StatusCode.UNAVAILABLE,
                    f"batch {batch.sequence_number} could not be kept: send it again later (see the aggregator's log)",
                )
            )
            return False
        self.durable = max(self.durable, batch.sequence_number)
        return True


def _look_at(written: asyncio.Future[None]) -> None:
    # Who waits for it hears of it; where nobody waits any more, it is no news.
    if not written.cancelled():
        written.exception()


def _is_done(batch: Pending) -> bool:
    return batch.outcome is None or batch.outcome.done()


class Sessions:
    """All live streams by their node. The newer of two fences the older: its agent may be gone without a word."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._live: dict[tuple[NodeId, bool], Session] = {}
        self._of_caller: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    def has(self, session: Session) -> bool:
        """Whether *session* is the live one of its node."""
        return self._live.get(session.greeting.place) is session

    def of(self, caller: str) -> int:
        """How many streams the caller of that name has, with those that are about to end."""
        return self._of_caller[caller]

    def enter(self, session: Session) -> bool:
        """*session* is the live one of its node now; whether it took over from another."""
        older = self._live.get(session.greeting.place)
        self._live[session.greeting.place] = session
        self._of_caller[session.caller.name] += 1
        self._counts.streams_opened += 1
        self._counts.streams = len(self._live)
        if older is None:
            return False
        self._counts.takeovers += 1
        older.end(
            Ending(
                grpc.StatusCode.ABORTED,
                "another agent of the same cluster and node opened a newer stream: "
                "if both run, give each its own --node",
            )
        )
        return True

    def leave(self, session: Session) -> None:
        """*session* is over."""
        if self._live.get(session.greeting.place) is session:
            del self._live[session.greeting.place]
        self._of_caller[session.caller.name] -= 1
        if not self._of_caller[session.caller.name]:
            del self._of_caller[session.caller.name]
        self._counts.streams = len(self._live)
