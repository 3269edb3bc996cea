"""A node whose windows are priced: one life of an agent after the other, by a clock that is set by hand."""

import threading
from collections import defaultdict
from pathlib import Path

import structlog
from gpucost.identity import NodeId
from gpucost.units import usd_from_nanodollars
from gpucost.window import window_of
from gpucost.wire import BatchContent, batch_from_bytes, batch_from_message

from contracts.books_by_hand import METHOD, START, a_gpu, an_instant
from contracts.hand_clock import HandClock
from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.fleet_prices import open_prices
from gpucost_agent.journal import Beginning, Journal, read_story
from gpucost_agent.keeping import Keeping
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.loops.closing import close_due, close_for_good
from gpucost_agent.loops.room import Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.price_copy import PriceCopy
from gpucost_agent.price_news import PriceNews, recall_prices
from gpucost_agent.quoting import Quoting
from gpucost_agent.readings import Boot, GpusSeen
from gpucost_agent.recovery import Recovery
from gpucost_agent.spool import Bounds, Spool

NODE = NodeId("c", "n")
BOOT = Boot("boot-1", START - 100 * METHOD.window_ns)
SECOND = 1_000_000_000
NO_BOOK = ("", None)
"""What a window says that no book prices: no version, and no price."""


class PricedAgent:
    """One life. *own* is its own price book's file."""

    def __init__(self, folder: Path, clock: HandClock, own: Path | None = None) -> None:
        self.clock = clock
        self.heard = structlog.testing.LogCapture()
        log = structlog.wrap_logger(None, processors=[self.heard])
        self.spool = Spool(folder, Bounds())
        self.prices = open_prices(own)
        recall_prices(self.prices, PriceCopy(folder), window_of(clock.now().wall_ns, METHOD.window_ns), log)
        quoting, steady, metrics = Quoting(self.prices, NODE.cluster), FleetClock(clock), Metrics()
        story = read_story(folder)
        if story is not None:
            recovery = Recovery(NODE, METHOD, quoting, steady, metrics, log, self.spool)
            recovery.finish(story, self._checkpoint())
        now_ns = clock.now().wall_ns
        books = Books(
            NODE,
            METHOD,
            lambda uuid, at_ns: quoting.quote(self.room, uuid, at_ns),
            now_ns,
            BOOT,
            self._checkpoint(),
        )
        before = None if books.before is None else books.before.to_json()
        beginning = Beginning(BOOT, now_ns, books.closed_through_ns, before)
        self.room = Room(books, steady, metrics, log, None, threading.Event(), 0)
        self.room.journal = Journal(folder, beginning)
        self.room.take(GpusSeen((a_gpu("GPU-1"), a_gpu("GPU-2")), now_ns))
        self.spool.remember(books.checkpoint().to_json())
        self.keep = Keeping(self.room, self.spool, quoting).keep
        self.news = PriceNews(self.room, self.prices, self.spool)

    def live(self, seconds: int) -> None:
        """So long nothing happens but time."""
        for _ in range(seconds):
            self.clock.pass_ns(SECOND)
            self.room.take(an_instant(self.clock.now().wall_ns))
            close_due(self.room, self.keep)
            assert self.room.journal is not None
            self.room.journal.flush()

    def stop(self) -> None:
        """It is asked to end."""
        close_for_good(self.room, self.keep)
        self.spool.close()

    def kill(self) -> None:
        """It ends at once, and so does its hold on the spool."""
        self.spool.close()

    def batches(self) -> list[BatchContent]:
        """Every batch so far, of this life and those before."""
        entries = self.spool.after(0, 10_000)
        return [batch_from_message(batch_from_bytes(entry.message), NODE) for entry in entries]

    def said(self) -> list[tuple[str, str | None]]:
        """Of every batch, the version that it names and the dollars an hour at which it is priced: always the same."""
        found = []
        for batch in self.batches():
            (price,) = {row.price.nanodollars_per_hour for row in batch.slices}
            found.append(
                (batch.price_book_version, None if price is None else f"{usd_from_nanodollars(price):g}")
            )
        return found

    def by_window(self) -> dict[int, set[tuple[str, str | None]]]:
        """What is said of each window of the clock, however many parts it was closed in."""
        found: dict[int, set[tuple[str, str | None]]] = defaultdict(set)
        for batch, said in zip(self.batches(), self.said(), strict=True):
            found[window_of(batch.window.window_start_ns, METHOD.window_ns).start_ns].add(said)
        return found

    def events(self) -> list[str]:
        """What it logged of prices."""
        return [each["event"] for each in self.heard.entries if each["event"].startswith("price")]

    def _checkpoint(self) -> Checkpoint | None:
        text = self.spool.checkpoint()
        return None if text is None else Checkpoint.from_json(text)
