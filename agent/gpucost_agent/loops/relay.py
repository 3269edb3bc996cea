"""
Whose turn it is: the GPUs' threads look one after the other, each at once when the one before it is done.

At one instant they would wait for the interpreter after each driver call; apart in time each would find the
processor's caches cold. Nobody waits for a thread that hangs.
"""

import threading

from gpucost_agent.loops.room import Room

_AFTER_OTHERS_S = 0.002
"""So long after the other loops woke the first one looks."""

_PATIENCE_S = 0.05
"""So long after the period's beginning a thread waits for those before it; all of them take some milliseconds."""


class Runner:
    """One thread's place; made by Relay.join."""

    def __init__(self, before: "Runner | None") -> None:
        self._first = before is None
        self._baton = threading.Lock()
        self._baton.acquire()
        self._after: Runner | None = None
        if before is not None:
            before._after = self  # its own kind

    def wait(self, room: Room, period_s: float) -> bool:
        """Wait for this thread's turn in the next period; whether the agent ends."""
        if self._first:
            return room.wait(period_s, _AFTER_OTHERS_S)
        # One from before belongs to a period in which this thread was not waited for.
        self._baton.acquire(blocking=False)
        self._baton.acquire(timeout=room.left_s(period_s, _PATIENCE_S))
        return room.stop.is_set()

    def done(self) -> None:
        """The next one's turn."""
        if self._after is not None:
            self._after.pass_on()

    def pass_on(self) -> None:
        """It is this one's turn; called by the one before only."""
        if self._baton.locked():
            self._baton.release()


class Relay:
    """The order in which threads look. For one thread, which starts them."""

    def __init__(self) -> None:
        self._last: Runner | None = None

    def join(self) -> Runner:
        """A place behind all others."""
        self._last = Runner(self._last)
        return self._last
