"""The quarantine as an operator works with it: listed, explained, replayed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gpucost.clock import Clock
from gpucost.identity import NodeId
from gpucost.trouble import Reject, Retry, Stop
from gpucost.units import NS_PER_SECOND
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.ingest.bounds import Breach, slice_breaches
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.replaying import Reread, replay_batch, replay_slice, reread
from gpucost_aggregator.ingest.writer import Writer
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.quarantine_rows import (
    QuarantineId,
    QuarantinePage,
    QuarantineScope,
    Replay,
    SetAside,
)
from gpucost_aggregator.store.rows import CommitReport

_PAGE = 1_000
_WINDOW_NS = 60 * NS_PER_SECOND
"""Of a node that was never heard otherwise."""

MOST_TOLD = 1_000
"""Entries of one replay that are told one by one."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QuarantineParts:
    """What it is made of; *readers* is where the store is asked, *writer* where it is written."""

    store: Store
    readers: Executor
    writer: Writer
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Why something was set aside: what it broke *then*, and what it breaks *now*; empty: it would be accepted.

    *read* is what today's code makes of a batch, None for a slice.
    """

    entry: SetAside
    then: tuple[Breach, ...]
    now: tuple[Breach, ...]
    read: Reread | None = None


@dataclass(slots=True)
class Replayed:
    """What a replay did; the lists hold at most MOST_TOLD entries, the numbers count all."""

    replayed: int = 0
    stayed: int = 0
    already: int = 0
    unknown: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept_back: dict[str, str] = field(default_factory=dict)
    slices_written: int = 0
    slices_known: int = 0
    conflicts: int = 0

    def add(self, replays: Sequence[Replay], report: CommitReport) -> None:
        """Count what became of *replays*."""
        self.slices_written += report.written
        self.slices_known += report.duplicates
        self.conflicts += report.conflicts
        for each in replays:
            if each.reason:
                self.stayed += 1
                if len(self.kept_back) < MOST_TOLD:
                    self.kept_back[str(each.id)] = each.reason
            else:
                self.replayed += 1
                if len(self.left) < MOST_TOLD:
                    self.left.append(str(each.id))


class Quarantine:
    """Lives on the event loop; every method may raise what the store raises."""

    def __init__(self, parts: QuarantineParts) -> None:
        self._parts = parts
        self._replaying = asyncio.Lock()

    async def page(self, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
        """One page of what is set aside; raises Reject for a cursor that is none."""
        return await self._read(lambda: self._parts.store.set_aside(scope, cursor, limit))

    async def explain(self, wanted: QuarantineId) -> Explanation:
        """
        Why *wanted* was set aside, and whether it would be now.

        Raises:
            Reject: There is no such thing.
        """
        return await self._read(lambda: self._explain(wanted))

    async def replay(self, ids: Sequence[QuarantineId]) -> Replayed:
        """Check *ids* anew; what passes is kept and leaves, what does not stays with its reason."""
        done = Replayed()
        for place in range(0, len(ids), _PAGE):
            wanted = ids[place : place + _PAGE]
            entries = await self._read(partial(self._parts.store.set_aside_by_id, wanted))
            there = {entry.id for entry in entries}
            done.unknown += [str(each) for each in wanted if each not in there]
            done.already += sum(entry.replayed_at_ns is not None for entry in entries)
            await self._replay([entry for entry in entries if entry.replayed_at_ns is None], done)
        self._tell(done)
        return done

    async def replay_all(self, scope: QuarantineScope) -> Replayed:
        """The same for all that waits in *scope*."""
        done, cursor = Replayed(), None
        while True:
            page = await self.page(scope, cursor, _PAGE)
            await self._replay([entry for entry in page.entries if entry.replayed_at_ns is None], done)
            cursor = page.next_cursor
            if cursor is None:
                break
        self._tell(done)
        return done

    def _explain(self, wanted: QuarantineId) -> Explanation:
        store, now_ns = self._parts.store, self._parts.clock.now().wall_ns
        found = store.set_aside_by_id([wanted])
        if not found:
            raise Reject(
                f"there is nothing with the id {wanted} in the quarantine: `quarantine list` shows what is"
            )
        (entry,) = found
        if entry.row is not None:
            node = entry.agent.node
            then = slice_breaches(entry.row, node, entry.received_at_ns)
            return Explanation(entry, tuple(then), tuple(slice_breaches(entry.row, node, now_ns)))
        return Explanation(entry, (), (), reread(entry, store.malformed_message(wanted)))

    async def _replay(self, entries: Sequence[SetAside], done: Replayed) -> None:
        """Slices together, batches one by one, as one may hold thousands."""
        async with self._replaying:
            windows = await self._read(self._windows)
            slices = [entry for entry in entries if not entry.id.is_batch]
            if slices:
                await self._write([self._weigh(entry, windows, None) for entry in slices], done)
            for entry in entries:
                if entry.id.is_batch:
                    await self._write([await self._read(partial(self._weigh_batch, entry, windows))], done)

    def _windows(self) -> Mapping[NodeId, int]:
        return {progress.node: progress.window_ns for progress in self._parts.store.progress()}

    def _weigh_batch(self, entry: SetAside, windows: Mapping[NodeId, int]) -> Replay:
        return self._weigh(entry, windows, self._parts.store.malformed_message(entry.id))

    def _weigh(self, entry: SetAside, windows: Mapping[NodeId, int], message: bytes | None) -> Replay:
        window_ns, now_ns = windows.get(entry.agent.node, _WINDOW_NS), self._parts.clock.now().wall_ns
        if entry.id.is_batch:
            return replay_batch(entry, message, window_ns, now_ns)
        return replay_slice(entry, window_ns, now_ns)

    async def _write(self, replays: Sequence[Replay], done: Replayed) -> None:
        parts, now_ns = self._parts, self._parts.clock.now().wall_ns
        try:
            report = await parts.writer.alone(lambda: parts.store.replay(replays, now_ns))
        except (Retry, Stop):
            raise
        except Exception as trouble:  # what the store chokes on stays, and the others go
            if len(replays) > 1:
                for each in replays:
                    await self._write([each], done)
                return
            if replays[0].batch is None:
                raise
            parts.log.exception("replay_not_kept", id=str(replays[0].id))
            reason = f"the store failed on it: {type(trouble).__name__}: {trouble}"[:500]
            await self._write([Replay(replays[0].id, None, reason)], done)
            return
        parts.counts.slices_replayed += report.written
        done.add(replays, report)

    def _tell(self, done: Replayed) -> None:
        self._parts.log.info(
            "quarantine_replayed", replayed=done.replayed, stayed=done.stayed, slices=done.slices_written
        )

    async def _read(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.readers, call)
