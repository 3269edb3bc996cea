"""
One writer for all agents: batches wait a moment, go into the store together, and are told when they are durable.

Lives on the event loop; the store's commits run in one thread.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gpucost.clock import Clock
from gpucost.trouble import Retry, Stop
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport


class Outcome(Enum):
    """What became of a batch: it is durable, or nobody may acknowledge it."""

    DURABLE = "durable"
    NOT_KEPT = "not_kept"


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """
    How the writer works.

    *coalesce_s*: how long batches gather before a commit; one commit costs a sync of the disk.
    *max_waiting*: rows that may wait, some 2 KiB each; past it senders wait.
    *max_commit*: rows of one commit, so that none takes more than a second or two.
    *retry_s*: pause before a commit that could not be made is tried again.
    """

    coalesce_s: float = 0.5
    max_waiting: int = 100_000
    max_commit: int = 50_000
    retry_s: float = 2.0


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

    @property
    def waiting_rows(self) -> int:
        """Rows that are not durable yet."""
        return self._waiting_rows

    @property
    def is_congested(self) -> bool:
        """Whether senders should take their time: half of the room is taken."""
        return self._waiting_rows * 2 >= self._limits.max_waiting

    async def submit(self, batch: AcceptedBatch) -> asyncio.Future[Outcome]:
        """
        Line *batch* up; waits while there is no room, and never drops it.

        The future is done once the batch is durable, or once it is known that it will not be.
        """
        rows = 1 + len(batch.slices) + len(batch.refused) + len(batch.workloads) + len(batch.gpus)
        async with self._room:
            await self._room.wait_for(lambda: self._is_over or not self._queue or self._has_room(rows))
            waiting = _Waiting(batch, asyncio.get_running_loop().create_future(), rows)
            if self._is_over:
                _settle([waiting], Outcome.NOT_KEPT)
            else:
                self._queue.append(waiting)
                self._waiting_rows += rows
        self._arrived.set()
        return waiting.outcome

    async def run(self) -> None:
        """
        Commit what arrives until `drain` has been called and nothing waits.

        Raises:
            Stop: The store can not be used any more.
        """
        try:
            while await self._is_work():
                await self._pause(self._limits.coalesce_s)
                taken = self._take()
                try:
                    await self._commit(taken)
                finally:
                    await self._let_go(taken)
        finally:
            self._is_over = True
            await self._let_go(self._queue)

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

    async def _let_go(self, taken: Sequence[_Waiting]) -> None:
        _settle(taken, Outcome.NOT_KEPT)
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
        while True:
            began_ns = parts.clock.now().monotonic_ns
            try:
                report = await asyncio.get_running_loop().run_in_executor(
                    parts.thread, parts.store.commit, [waiting.batch for waiting in taken]
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
                _settle(taken, Outcome.DURABLE)
                return

    async def _one_by_one(self, taken: Sequence[_Waiting], trouble: Exception) -> None:
        if len(taken) > 1:
            for waiting in taken:
                await self._commit([waiting])
            return
        (waiting,) = taken
        self._parts.counts.commit_failures += 1
        self._parts.log.error(
            "batch_not_kept",
            cluster=waiting.batch.agent.node.cluster,
            node=waiting.batch.agent.node.node,
            sequence_number=waiting.batch.sequence_number,
            exc_info=trouble,
        )
        _settle(taken, Outcome.NOT_KEPT)

    def _count(self, report: CommitReport, took_ns: int) -> None:
        counts = self._parts.counts
        counts.commits += 1
        counts.commit_ns += took_ns
        counts.slices_written += report.written
        counts.slices_duplicate += report.duplicates
        counts.conflicts += report.conflicts
        if not counts.writable:
            counts.writable = True
            self._parts.log.info("store_writable_again")

    async def _pause(self, seconds: float) -> None:
        if seconds and not self._draining.is_set():
            await _first(self._draining.wait(), asyncio.sleep(seconds))


def _settle(taken: Sequence[_Waiting], outcome: Outcome) -> None:
    for waiting in taken:
        if not waiting.outcome.done():
            waiting.outcome.set_result(outcome)


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Until the first of *coroutines* is through; the others are cancelled."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
