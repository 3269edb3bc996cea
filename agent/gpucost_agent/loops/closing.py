"""The windows: those that are over are closed, checked against the laws and kept."""

from collections.abc import Callable

from gpucost.cost_slice import breaches
from gpucost.units import POLICY_VERSION

from gpucost_agent import heap
from gpucost_agent.ledger.books import ClosedWindow
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.loops.room import Room

CLOSING_PERIOD_S = 0.5

Keep = Callable[[ClosedWindow], None]
"""Keeps a closed window; called in the windows' order, by one thread at a time."""


def close_windows(room: Room, keep: Keep) -> None:
    """Thread that settles."""
    while not room.wait(CLOSING_PERIOD_S):
        close_due(room, keep)


def close_due(room: Room, keep: Keep) -> None:
    """Close every window that is due now."""
    while True:
        with room.closing:
            with room.lock:
                now = room.clock.now()
                room.books.tick(now)
                closed = room.books.close_next(now.wall_ns)
            if closed is None:
                return
            _keep(room, closed, keep)
        heap.give_back()


def close_for_good(room: Room, keep: Keep) -> None:
    """The agent ends: the open window is closed short, here and now."""
    with room.closing:
        with room.lock:
            now = room.clock.now()
            room.books.tick(now)
            windows = room.books.close_short(now.wall_ns)
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
