"""Closed windows on their way into the spool."""

import threading
from pathlib import Path

import pytest
import structlog
from gpucost.clock import Instant
from gpucost.identity import HolderKind
from gpucost.system_clock import SystemClock
from gpucost.wire import batch_from_bytes, batch_from_message

from contracts.books_by_hand import MINUTE, ONE, START, close_all, hear, new_books, watch
from gpucost_agent import keeping
from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.fleet_prices import open_prices
from gpucost_agent.keeping import Keeping
from gpucost_agent.loops.room import Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.quoting import Quoting
from gpucost_agent.spool import Bounds, Spool


def test_a_window_that_no_stream_takes_keeps_what_its_gpus_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = structlog.testing.LogCapture()
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: ["a", "b"]})
    watch(books, ONE, START, START + MINUTE, 20)
    books.tick(Instant(START + MINUTE, START))
    room = Room(
        books,
        FleetClock(SystemClock()),
        Metrics(),
        structlog.wrap_logger(None, processors=[heard]),
        None,
        threading.Event(),
        0,
    )
    spool = Spool(tmp_path, Bounds())
    kept = Keeping(room, spool, Quoting(open_prices(None), "c"))
    monkeypatch.setattr(keeping, "LARGEST_BATCH", 100)
    (closed,) = close_all(books, START + 2 * MINUTE - 1)
    kept.keep(closed)
    (entry,) = spool.after(0, 9)
    said = batch_from_message(batch_from_bytes(entry.message), books.node)
    assert [row.key.holder.kind for row in said.slices] == [HolderKind.UNOBSERVED]
    assert sum(row.cost.nanodollars for row in said.slices) == sum(
        row.cost.nanodollars for row in closed.slices
    )
    assert [each["event"] for each in heard.entries] == ["window_too_large"]
    spool.close()
