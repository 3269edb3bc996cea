"""What the loops share, and how each complains of its source."""

import threading
from dataclasses import dataclass, field
from typing import Protocol

from gpucost.trouble import Stop
from gpucost.units import NS_PER_SECOND
from structlog.typing import FilteringBoundLogger

from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.journal import Journal
from gpucost_agent.ledger.books import Books
from gpucost_agent.metrics import Metrics
from gpucost_agent.readings import ClusterReading, Entry


class ClusterSource(Protocol):
    """The API server, followed by a thread of its own."""

    @property
    def trouble(self) -> str | None:
        """Why it can not be asked now, in words; None if it can. Never blocks."""
        ...

    def latest(self) -> ClusterReading | None:
        """What was last known. Never blocks."""
        ...


@dataclass
class Room:
    """
    What the loops share. *began_ns* and *last_read_ns*, by GPU, are monotonic.

    *lock* guards the books. Whoever closes windows holds *closing* until they are kept, so that they are kept in
    their order, and the last checkpoint is the newest.
    """

    books: Books
    clock: FleetClock
    metrics: Metrics
    log: FilteringBoundLogger
    cluster: ClusterSource | None
    stop: threading.Event
    began_ns: int
    journal: Journal | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Lock = field(default_factory=threading.Lock)
    last_read_ns: dict[str, int] = field(default_factory=dict)
    failed: list[Stop] = field(default_factory=list)

    def wait(self, period_s: float, turn_s: float = 0.0) -> bool:
        """
        Wait until *turn_s* after the next multiple of *period_s* on the monotonic clock; whether the agent ends.

        So all loops wake near each other, and what one brings into the processor's caches serves the others: a look
        then costs half of what it costs alone.
        """
        return self.stop.wait(self.left_s(period_s, turn_s))

    def left_s(self, period_s: float, turn_s: float = 0.0) -> float:
        """How long it is to that instant; to the one after it where it is too near to rest until then."""
        period_ns = round(period_s * NS_PER_SECOND)
        left_ns = period_ns - (self.clock.now().monotonic_ns - round(turn_s * NS_PER_SECOND)) % period_ns
        if left_ns < period_ns // 10:
            left_ns += period_ns
        return left_ns / NS_PER_SECOND

    def take(self, *entries: Entry) -> None:
        """Into the books, together, and into the journal."""
        with self.lock:
            self.take_locked(*entries)

    def take_locked(self, *entries: Entry) -> None:
        """The same for who holds *lock*."""
        for entry in entries:
            self.books.take(entry)
            if self.journal is not None:
                self.journal.note(entry)

    def fail(self, trouble: Stop) -> None:
        """A thread met something that only a person can mend: the agent ends."""
        self.failed.append(trouble)
        self.stop.set()

    def cluster_now(self) -> ClusterReading | None:
        """What the API server said last; None where it was not asked, or has not answered yet."""
        return self.cluster.latest() if self.cluster is not None else None


class Complaint:
    """Says that a source fails once when it begins to, and once when it works again."""

    def __init__(self, room: Room, source: str) -> None:
        self._room, self._source, self._reason = room, source, ""

    def failing(self, reason: str) -> None:
        """It failed."""
        self._room.metrics.troubles.labels(self._source, "read").inc()
        if reason != self._reason:
            self._room.log.warning("source_fails", source=self._source, reason=reason)
            self._reason = reason

    def works(self) -> None:
        """It worked."""
        if self._reason:
            self._room.log.info("source_works_again", source=self._source)
            self._reason = ""
