"""An agent that was killed is finished by the next one: its books are closed where its journal ends."""

import threading
from dataclasses import dataclass

from gpucost.clock import Instant
from gpucost.identity import NodeId
from structlog.typing import FilteringBoundLogger

from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.journal import Story
from gpucost_agent.keeping import Keeping
from gpucost_agent.ledger.books import Books, Method
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.loops.closing import close_until
from gpucost_agent.loops.room import Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.quoting import Quoting
from gpucost_agent.readings import ClusterReading
from gpucost_agent.spool import Spool


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The API server as a killed agent heard it last."""

    cluster: ClusterReading | None
    trouble: str | None = None

    def latest(self) -> ClusterReading | None:
        return self.cluster


@dataclass(frozen=True, slots=True)
class Recovery:
    """What it takes to finish an agent's books."""

    node: NodeId
    method: Method
    quoting: Quoting
    clock: FleetClock
    metrics: Metrics
    log: FilteringBoundLogger
    spool: Spool

    def finish(self, story: Story, checkpoint: Checkpoint | None) -> None:
        """
        Close the books that *story* tells of, from the last *checkpoint* to its end, into the spool.

        Raises:
            ValueError: The story can not be understood.
        """
        began = story.beginning
        before = checkpoint
        if checkpoint is not None and checkpoint.closed_through_ns <= began.first_look_ns:
            # Nothing that was seen is closed, so those books begin again with what they began with.
            before = None if began.before is None else Checkpoint.from_json(began.before)
        ended_ns = max((entry.wall_ns for entry in story.entries if isinstance(entry, Instant)), default=0)
        heard = [entry for entry in story.entries if isinstance(entry, ClusterReading)]
        books = Books(
            self.node,
            self.method,
            lambda gpu_uuid, at_ns: self.quoting.quote(room, gpu_uuid, at_ns),
            began.first_look_ns,
            began.boot,
            before,
        )
        if checkpoint is not None:
            books.closed_through_ns = max(books.closed_through_ns, checkpoint.closed_through_ns)
        source = _Remembered(heard[-1] if heard else None)
        room = Room(books, self.clock, self.metrics, self.log, source, threading.Event(), 0)
        for entry in story.entries:
            # Ticks of closed windows were taken in with them.
            if not isinstance(entry, Instant) or entry.wall_ns >= books.closed_through_ns:
                books.take(entry)
        from_ns = books.closed_through_ns
        if ended_ns > from_ns:
            close_until(room, Keeping(room, self.spool, self.quoting).keep, ended_ns)
            self.log.warning(
                "books_recovered", from_ns=from_ns, until_ns=ended_ns, entries=len(story.entries)
            )
