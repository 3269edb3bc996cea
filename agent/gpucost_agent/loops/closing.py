"""The windows: those that are over are closed, checked against the laws and kept."""

from collections.abc import Callable

from gpucost.cost_slice import breaches
from gpucost.units import POLICY_VERSION

from gpucost_agent import heap
from gpucost_agent.ledger.books import KEPT_NS, ClosedWindow
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.loops.room import Room

CLOSING_PERIOD_S = 1.0
"""The journal is written as often; what a kill may lose of a second is less than a window by far."""

Keep = Callable[[ClosedWindow], None]
"""Keeps a closed window; called in the windows' order, by one thread at a time."""


def close_windows(room: Room, keep: Keep) -> None:
    """Thread that settles."""
    while not room.wait(CLOSING_PERIOD_S):
        close_due(room, keep)
        if room.journal is not None:
            room.journal.flush()


def close_due(room: Room, keep: Keep) -> None:
    """Close every window that is due now."""
    while True:
        with room.closing:
            with room.lock:
                now = room.clock.now()
                room.take_locked(now)
                closed = room.books.close_next(now.wall_ns)
            if closed is None:
                return
            _keep(room, closed, keep)
            if room.journal is not None:
                # Readings of that time lie across the border, too.
                room.journal.closed(closed.interval.end_ns - KEPT_NS, now.wall_ns)
        heap.give_back()


def close_for_good(room: Room, keep: Keep) -> None:
    """The agent ends: the open window is closed short, here and now."""
    now = room.clock.now()
    room.take(now)
    close_until(room, keep, now.wall_ns)
    if room.journal is not None:
        room.journal.close()


def close_until(room: Room, keep: Keep, end_ns: int) -> None:
    """Everything up to *end_ns* is closed here and now, the last window short."""
    with room.closing:
        with room.lock:
            windows = room.books.close_short(end_ns)
        for closed in windows:
            _keep(room, closed, keep)


def _keep(room: Room, closed: ClosedWindow, keep: Keep) -> None:
    for row in closed.slices:
        for words in breaches(row):
            _complain(room, "slice", words)
    for law, words in window_breaches(closed.slices, closed.lives, closed.lengths_ns):
        _complain(room, law, words)
    keep(closed)
    room.metrics.add_window(closed.slices, closed.interval.end_ns)
    room.log.debug("window_closed", start_ns=closed.interval.start_ns, slices=len(closed.slices))


def _complain(room: Room, law: str, words: str) -> None:
    room.metrics.law_breaches.labels(law).inc()
    room.log.error("law_broken", law=law, what=words, policy=POLICY_VERSION)
