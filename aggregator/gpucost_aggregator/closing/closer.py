"""
Closes the books of nodes that are gone, now and then, in the one writer's thread.

Only whoever holds the lease does it, and looks at it before each transaction. It may be lost in the middle all the
same, and another one may be at it at the same time, because it is safe twice: what is written follows from the store
alone, so both write the same slices under the same keys, and a key counts once; books are through only with the last
part, so what is cut off is done again; and a node that is heard meanwhile opens its books again (ADR 0013).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gpucost.clock import Clock
from gpucost.cost_slice import CostSlice
from gpucost.trouble import Retry
from gpucost.window import Interval
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.closing.gone import gone
from gpucost_aggregator.lease import Lease
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import ClosedBooks
from gpucost_aggregator.store.lost_time import NODE_GONE, lost_slices
from gpucost_aggregator.store.rows import NodeProgress

T = TypeVar("T")

LOOK_S = 60.0
"""How often nodes are looked at; they are gone for a quarter of an hour by then, so a minute more is nothing."""

_MOST_SLICES = 10_000
"""Of one transaction, so that batches do not wait for long behind it."""

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Gone:
    """A node whose books were closed: through when, for how many slices."""

    progress: NodeProgress
    closed_through_ns: int
    slices: int


def close_gone_nodes(store: Store, lease: Lease, now_ns: int) -> list[Gone]:
    """
    Close the books of every node that is gone at *now_ns*, up to its last sign of life, as long as *lease* is held.

    Called by the one thread that writes. Raises what the store raises; what was closed by then stays closed.
    """
    found = (close_node(store, each, lease, now_ns) for each in gone(store.progress(), store.nodes(), now_ns))
    return [each for each in found if each is not None]


class Alone(Protocol):
    """Runs calls in the one thread that writes."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """What *call* returns, or what it raises."""
        ...


class GoneCount(Protocol):
    """Where gone nodes are counted."""

    nodes_gone: int


@dataclass(frozen=True, slots=True)
class Closer:
    """
    Looks again and again for nodes that are gone; *alone* is how it gets between two commits.

    Where *lease* is not held, another one looks, and what this one saw before is forgotten.
    """

    store: Store
    alone: Alone
    clock: Clock
    counts: GoneCount
    log: FilteringBoundLogger
    lease: Lease
    look_s: float = LOOK_S

    async def run(self) -> None:
        """Until cancelled; what can not be written now is tried at the next look."""
        unwatched: frozenset[str] = frozenset()
        while True:
            await asyncio.sleep(self.look_s)
            if not self.lease.is_held():
                unwatched = frozenset()
                continue
            try:
                found = await self.alone(
                    lambda: close_gone_nodes(self.store, self.lease, self.clock.now().wall_ns)
                )
                now = await self.alone(lambda: unwatched_clusters(self.store))
            except Retry as trouble:
                self.log.warning("gone_nodes_not_closed", trouble=str(trouble))
                continue
            for each in found:
                self._tell(each)
            if now != unwatched:
                unwatched = now
                if now:
                    what = "without a watcher a node that is gone is known only after a week of silence"
                    self.log.info("clusters_without_watcher", clusters=sorted(now)[:_MOST_NAMED], what=what)

    def _tell(self, gone_node: Gone) -> None:
        self.counts.nodes_gone += 1
        node = gone_node.progress.node
        self.log.warning(
            "node_gone",
            cluster=node.cluster,
            node=node.node,
            last_heard_ns=gone_node.progress.last_heard_ns,
            closed_through_ns=gone_node.closed_through_ns,
            slices=gone_node.slices,
        )


def unwatched_clusters(store: Store) -> frozenset[str]:
    """Clusters whose agents report and of whose watcher nothing was ever heard."""
    watched = store.watched_clusters()
    return frozenset(each.node.cluster for each in store.progress() if each.node.cluster not in watched)


def close_node(store: Store, progress: NodeProgress, lease: Lease, now_ns: int) -> Gone | None:
    """Close the books of the node of *progress*; None where *lease* was lost before they were through."""
    end = store.books_end(progress.node, progress.boot_id)
    begin_ns, through_ns = progress.closed_through_ns, progress.last_heard_ns
    rows: list[CostSlice] = []
    if end is not None and begin_ns < through_ns:
        lost = Interval(begin_ns, through_ns)
        rows += lost_slices(progress.node, end.prices, lost, progress.window_ns, NODE_GONE)
    through_ns = max(begin_ns, through_ns)
    for place in range(0, max(1, len(rows)), _MOST_SLICES):
        part = tuple(rows[place : place + _MOST_SLICES])
        is_last = place + _MOST_SLICES >= len(rows)
        if not lease.is_held():
            return None
        # The books are through only with the last part: what fails before it is done again, and counts once.
        through = through_ns if is_last else begin_ns
        store.close_books(
            [ClosedBooks(progress.node, progress.boot_id, progress.window_ns, through, now_ns, part, is_last)]
        )
    return Gone(progress, through_ns, len(rows))
