"""
The fleet's price book on its way to agents: after their Welcome, and to all of them when it changes.

A round goes a few streams at a time, so that a big fleet's does not hold up the event loop; each stream is written to
by a task of its own, so that one that does not read waits for itself alone.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from gpucost.v1 import stream_pb2

from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ingest.sessions import Session, Sessions


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How a round goes: at most so many streams, or so many bytes, and then a pause.

    With these, 10,000 agents have a small book within five seconds, and the largest one within some two minutes.
    """

    streams: int = 100
    bytes: int = 1 << 20
    pause_s: float = 0.05


class PriceRounds:
    """Lives on the event loop. Without a *shelf* nothing is ever said of prices."""

    def __init__(
        self, shelf: PriceShelf | None, sessions: Sessions, counts: Counts, pace: Pace | None = None
    ) -> None:
        self._shelf, self._sessions, self._counts = shelf, sessions, counts
        self._pace = pace or Pace()
        self._word = self._worded()
        self._round: asyncio.Task[None] | None = None
        self._telling: dict[Session, asyncio.Task[None]] = {}

    @property
    def version(self) -> str:
        """What the fleet's book calls itself; empty without one."""
        return self._word.version

    async def greet(self, session: Session) -> None:
        """After its Welcome: an agent that goes by another book hears of this one. Raises as `Session.send`."""
        if self._has_news_for(session):
            await self._tell(session)

    def begin(self) -> int:
        """The book was changed: begin to tell every agent; how many there are. A round that is under way ends."""
        self._word = self._worded()
        self.stop()
        due = [session for session in self._sessions if self._has_news_for(session)]
        self._round = asyncio.create_task(self._go_round(due))
        return len(due)

    def leave(self, session: Session) -> None:
        """*session* is over: nothing more is written to it."""
        if (telling := self._telling.pop(session, None)) is not None:
            telling.cancel()

    def stop(self) -> None:
        """No stream is begun with any more; what is being written is."""
        if self._round is not None:
            self._round.cancel()
            self._round = None

    def _worded(self) -> stream_pb2.PriceBook:
        shelved = self._shelf.current if self._shelf is not None else None
        if shelved is None:
            return stream_pb2.PriceBook()
        return stream_pb2.PriceBook(version=shelved.fleet.version, yaml=shelved.fleet.yaml)

    def _has_news_for(self, session: Session) -> bool:
        if self._shelf is None or session.greeting.is_watcher:
            return False
        # Of a store that never had a book nodes hear nothing: they may have one from the time before it.
        return self._shelf.was_ever_set and session.book_told != self.version

    async def _go_round(self, sessions: Iterable[Session]) -> None:
        pace = self._pace
        at_once = max(1, min(pace.streams, pace.bytes // max(1, len(self._word.yaml))))
        for place, session in enumerate(sessions, 1):
            under_way = self._telling.get(session)
            # One that is still being told looks for what is newer once it was.
            if self._sessions.has(session) and (under_way is None or under_way.done()):
                telling = asyncio.create_task(self._tell(session))
                self._telling[session] = telling
                telling.add_done_callback(partial(self._told, session))
            if place % at_once == 0:
                await asyncio.sleep(pace.pause_s)

    def _told(self, session: Session, task: asyncio.Task[None]) -> None:
        if self._telling.get(session) is task:
            del self._telling[session]
        if not task.cancelled():
            task.exception()  # The caller is gone, or does not read; its stream's own end says so.

    async def _tell(self, session: Session) -> None:
        while self._has_news_for(session):
            word = self._word
            # Said as soon as it is begun: who comes meanwhile waits behind it, with what is newer by then.
            session.book_told = word.version
            self._counts.price_books_sent += 1
            await session.send(stream_pb2.FromAggregator(price_book=word))
