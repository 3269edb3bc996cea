"""
One writer for all agents: batches wait a moment, go into the store together, and are told when they are durable.

Lives on the event loop; the store's commits run in one thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from weakref import WeakSet

from gpucost.clock import Clock
from gpucost.trouble import Retry, Stop
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.closing.gaps import commit_closing_gaps
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.poison import Failures, set_aside_whole
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport

T = TypeVar("T")

_MOST_TOLD = 10
"""GPUs on two nodes that one commit names; a whole machine's come together, and the metric counts all."""


class Outcome(Enum):
    """What became of a batch: it is durable, or nobody may acknowledge it."""

    DURABLE = "durable"
    NOT_KEPT = "not_kept"


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """
    How the writer works.

    *coalesce_s*: how long batches gather before a commit; one commit costs a sync of the disk.
    *max_waiting*: rows that may wait, 2 KiB each; past it senders wait, with what they sent unread.
    *max_commit*: rows of one commit, so that none takes more than a second or two.
    *retry_s*: pause before a commit that could not be made is tried again.
    *most_failures*: how often a batch alone may make a commit fail before it is set aside, as its agent would
    send it for ever.
    """

    coalesce_s: float = 0.5
    max_waiting: int = 100_000
    max_commit: int = 50_000
    retry_s: float = 2.0
    most_failures: int = 3


@dataclass(frozen=True, slots=True)
class WriterParts:
    """What the writer is made of; *thread* runs one call at a time."""

    store: Store
    thread: Executor
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: AcceptedBatch
    outcome: asyncio.Future[Outcome]
    rows: int
    stream: object


class Writer:
    """Takes batches from many streams, in order, and commits them from one task."""

    def __init__(self, parts: WriterParts, limits: WriterLimits | None = None) -> None:
        self._parts = parts
        self._limits = limits or WriterLimits()
        self._queue: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Condition()
        self._draining = asyncio.Event()
        self._is_over = False
        self._failures = Failures()
        self._broken: WeakSet[object] = WeakSet()
        """Streams that lost a batch: none that follows it may be kept, as its number would cover the lost one."""

    @property
    def waiting_rows(self) -> int:
        """Rows that are not durable yet."""
        return self._waiting_rows

    @property
    def is_congested(self) -> bool:
        """Whether senders should take their time: half of the room is taken."""
        return self._waiting_rows * 2 >= self._limits.max_waiting

    async def submit(
        self, rows: int, read: Callable[[], AcceptedBatch], stream: object = None
    ) -> asyncio.Future[Outcome]:
        """
        Line up the batch that *read* gives, which takes the room of *rows*; waits while there is none, and never
        drops it. It is read only then, as it takes far more room than its message. Raises what *read* raises.

        The future is done once the batch is durable, or once it is known that it will not be; then no later one
        of the same *stream* will be either, so that no number is durable before those below it.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        async with self._room:
            await self._room.wait_for(lambda: self._is_over or not self._waiting_rows or self._has_room(rows))
            if self._is_over:
                self._let_fall(outcome, stream)
            else:
                self._queue.append(_Waiting(read(), outcome, rows, stream))
                self._waiting_rows += rows
        self._arrived.set()
        return outcome

    async def run(self) -> None:
        """
        Commit what arrives until `drain` has been called and nothing waits.

        Raises:
            Stop: The store can not be used any more.
        """
        try:
            while await self._is_work():
                await self._pause(self._limits.coalesce_s)
                await self._commit_some()
        finally:
            self._is_over = True
            await self._let_go(self._queue)

    async def alone(self, call: Callable[[], T]) -> T:
        """What *call* returns, run in the writer's thread between two commits; it may write to the store."""
        return await asyncio.get_running_loop().run_in_executor(self._parts.thread, call)

    def drain(self) -> None:
        """Commit at once what waits, and end; what then can not be committed is not kept."""
        self._draining.set()

    async def _is_work(self) -> bool:
        while not self._queue:
            if self._draining.is_set():
                return False
            self._arrived.clear()
            await _first(self._arrived.wait(), self._draining.wait())
        return True

    async def _commit_some(self) -> None:
        # On its own, so that nothing of what was committed is held while there is nothing to do.
        taken = self._take()
        try:
            await self._commit(taken)
        finally:
            await self._let_go(taken)

    async def _let_go(self, taken: Sequence[_Waiting]) -> None:
        self._settle(taken, Outcome.NOT_KEPT)
        async with self._room:
            self._waiting_rows -= sum(waiting.rows for waiting in taken)
            self._room.notify_all()

    def _has_room(self, rows: int) -> bool:
        return self._waiting_rows + rows <= self._limits.max_waiting

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        rows = 0
        while self._queue and (not taken or rows + self._queue[0].rows <= self._limits.max_commit):
            taken.append(self._queue.popleft())
            rows += taken[-1].rows
        return taken

    async def _commit(self, taken: Sequence[_Waiting]) -> None:
        parts = self._parts
        self._settle([waiting for waiting in taken if self._is_broken(waiting)], Outcome.NOT_KEPT)
        taken = [waiting for waiting in taken if not waiting.outcome.done()]
        while taken:
            began_ns = parts.clock.now().monotonic_ns
            try:
                report = await asyncio.get_running_loop().run_in_executor(
                    parts.thread, commit_closing_gaps, parts.store, [waiting.batch for waiting in taken]
                )
            except Retry as trouble:
                parts.counts.commit_retries += 1
                if parts.counts.writable:
                    parts.counts.writable = False
                    parts.log.warning(
                        "store_not_writable", trouble=str(trouble), retry_s=self._limits.retry_s
                    )
                if self._draining.is_set():
                    return
                await self._pause(self._limits.retry_s)
            except Stop:
                parts.counts.writable = False
                raise
            except Exception as trouble:  # noqa: BLE001  # one batch that the store chokes on must not stop the others
                await self._one_by_one(taken, trouble)
                return
            else:
                self._count(report, parts.clock.now().monotonic_ns - began_ns)
                self._settle(taken, Outcome.DURABLE)
                return

    async def _one_by_one(self, taken: Sequence[_Waiting], trouble: Exception) -> None:
        if len(taken) > 1:
            for waiting in taken:
                await self._commit([waiting])
            return
        (waiting,) = taken
        batch, counts = waiting.batch, self._parts.counts
        counts.commit_failures += 1
        about = self._parts.log.bind(
            cluster=batch.agent.node.cluster,
            node=batch.agent.node.node,
            sequence_number=batch.sequence_number,
        )
        failures = self._failures.another(batch)
        about.error("batch_not_kept", failures=failures, exc_info=trouble)
        if failures < self._limits.most_failures:
            self._settle(taken, Outcome.NOT_KEPT)
            return
        instead = set_aside_whole(batch, trouble)
        try:
            report = await self.alone(lambda: self._parts.store.commit([instead]))
        except Stop:
            counts.writable = False
            raise
        except Exception as again:  # noqa: BLE001  # as above; it is not kept, and comes once more
            about.error("batch_not_set_aside", exc_info=again)
            self._settle(taken, Outcome.NOT_KEPT)
            return
        counts.batches_malformed += 1
        counts.batches_poisonous += 1
        about.error("batch_set_aside", failures=failures, trouble=repr(trouble))
        self._failures.over(batch)
        self._count(report, 0)
        self._settle(taken, Outcome.DURABLE)

    def _is_broken(self, waiting: _Waiting) -> bool:
        return waiting.stream is not None and waiting.stream in self._broken

    def _settle(self, taken: Iterable[_Waiting], outcome: Outcome) -> None:
        for waiting in taken:
            if waiting.outcome.done():
                continue
            if outcome is Outcome.NOT_KEPT:
                self._let_fall(waiting.outcome, waiting.stream)
            else:
                waiting.outcome.set_result(outcome)

    def _let_fall(self, outcome: asyncio.Future[Outcome], stream: object) -> None:
        outcome.set_result(Outcome.NOT_KEPT)
        if stream is not None:
            self._broken.add(stream)

    def _count(self, report: CommitReport, took_ns: int) -> None:
        counts = self._parts.counts
        counts.commits += 1
        counts.commit_ns += took_ns
        counts.slices_written += report.written
        counts.slices_duplicate += report.duplicates
        counts.conflicts += report.conflicts + sum(shared.windows for shared in report.shared)
        counts.slices_late += report.late
        counts.slices_lost += sum(gap.slices for gap in report.gaps)
        self._tell(report)
        if not counts.writable:
            counts.writable = True
            self._parts.log.info("store_writable_again")

    def _tell(self, report: CommitReport) -> None:
        log = self._parts.log
        for gap in report.gaps:
            log.warning(
                "lost_time_closed",
                cluster=gap.node.cluster,
                node=gap.node.node,
                first_missing=gap.first_missing,
                last_missing=gap.last_missing,
                from_ns=gap.from_ns,
                to_ns=gap.to_ns,
                gpus=gap.gpus,
                slices=gap.slices,
            )
        for shared in report.shared[:_MOST_TOLD]:
            log.error(
                "gpu_on_two_nodes",
                gpu_uuid=shared.gpu_uuid,
                nodes=[f"{node.cluster}/{node.node}" for node in (shared.node, shared.other)],
                windows=shared.windows,
            )

    async def _pause(self, seconds: float) -> None:
        if seconds and not self._draining.is_set():
            await _first(self._draining.wait(), asyncio.sleep(seconds))


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Until the first of *coroutines* is through; the others are cancelled."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
