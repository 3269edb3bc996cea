"""Books that two aggregators close at once, or one in the middle of which it lost its lease: all of it counts once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from gpucost.facts import ClusterFacts, NodeFacts
from gpucost.units import NS_PER_DAY, NS_PER_SECOND

from contracts.hand_clock import HandClock
from contracts.ledger_rows import EVERYTHING, MINUTE_NS, NODE, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.closing.closer import Closer, close_gone_nodes, close_node
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.lease import StoreLease
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import ClosedBooks
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.rows import CommitReport, Dimension, Scope, Sums

T = TypeVar("T")

NOW_NS = START_NS + 60 * MINUTE_NS
FAR = Scope(0, START_NS + 30 * NS_PER_DAY)


@pytest.fixture(params=[MemoryStore, DuckDBStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store = request.param(tmp_path) if request.param is DuckDBStore else request.param()
    yield store
    store.close()


def silent_since(store: Store, heard_ns: int) -> None:
    """A node that was heard last at *heard_ns*, with the books of two minutes, and is deleted."""
    store.commit([a_batch(1, a_slice(0), a_slice(1))])
    store.commit([a_batch(2, closed_through_ns=START_NS + 2 * MINUTE_NS, received_at_ns=heard_ns)])
    store.keep_cluster_facts("east", ClusterFacts(1, nodes=(NodeFacts(NODE.node, deleted=True),)))


def sums(store: Store, scope: Scope = EVERYTHING) -> dict[str, Sums]:
    return {total.key[0]: total.sums for total in store.totals(scope, [Dimension.REASON])}


def test_two_that_saw_the_same_write_the_same_once(store: Store) -> None:
    silent_since(store, START_NS + 2 * MINUTE_NS + 95 * NS_PER_SECOND)
    (seen,) = store.progress()
    first = close_node(store, seen, StoreLease(), NOW_NS)
    once, known = sums(store), store.progress()
    assert once["node_gone"].unmeasured_ns == 95 * NS_PER_SECOND
    # The other one looked before that, and writes after it, a second later.
    assert close_node(store, seen, StoreLease(), NOW_NS + NS_PER_SECOND) == first
    assert sums(store) == once
    assert store.conflicts() == 0
    assert [each.closed_through_ns for each in store.progress()] == [each.closed_through_ns for each in known]


def test_a_node_that_is_heard_in_between_is_not_gone(store: Store) -> None:
    silent_since(store, START_NS + 4 * MINUTE_NS)
    (seen,) = store.progress()
    close_node(store, seen, StoreLease(), NOW_NS)
    store.commit([a_batch(number, a_slice(number - 1)) for number in (3, 4, 5)])
    true = sums(store)
    assert true[""].charged_ns == 5 * MINUTE_NS
    assert "node_gone" not in true or not true["node_gone"].charged_ns
    # Whoever looked before it was heard, and writes only now.
    close_node(store, seen, StoreLease(), NOW_NS)
    assert sums(store) == true
    store.commit([a_batch(6, a_slice(5))])
    assert sums(store)[""].charged_ns == 6 * MINUTE_NS
    assert store.progress()[0].gone_at_ns is None


class Losing(MemoryStore):
    """Loses the lease of whoever writes the first part."""

    def __init__(self) -> None:
        super().__init__()
        self.lease = StoreLease()
        self.parts = 0

    def close_books(self, closed: Sequence[ClosedBooks]) -> CommitReport:
        self.parts += 1
        self.lease.end()
        return super().close_books(closed)


def test_a_lease_that_is_lost_in_the_middle_ends_it_there_and_another_one_does_the_rest() -> None:
    store, whole = Losing(), MemoryStore()
    heard_ns = START_NS + 8 * NS_PER_DAY
    for each in (store, whole):
        silent_since(each, heard_ns)
    now_ns = heard_ns + NS_PER_DAY
    assert close_gone_nodes(store, store.lease, now_ns) == []
    assert store.parts == 1
    (cut,) = store.progress()
    assert (cut.gone_at_ns, cut.closed_through_ns) == (None, START_NS + 2 * MINUTE_NS)
    assert close_gone_nodes(store, store.lease, now_ns) == []
    assert store.parts == 1
    # The next holder does all of it; what is there already counts once.
    (closed,) = close_gone_nodes(store, StoreLease(), now_ns)
    assert closed.slices > 10_000
    close_gone_nodes(whole, StoreLease(), now_ns)
    assert sums(store, FAR) == sums(whole, FAR)
    assert store.progress() == whole.progress()


def test_whoever_does_not_hold_it_looks_at_nothing() -> None:
    store, counts, lease = MemoryStore(), Counts(), StoreLease()
    silent_since(store, START_NS + 4 * MINUTE_NS)
    lease.end()
    asked: list[object] = []

    async def scene() -> None:
        async def alone(call: Callable[[], T], /) -> T:
            asked.append(call)
            return call()

        log = structlog.get_logger()
        closers = [
            Closer(store, alone, HandClock(NOW_NS), counts, log, each, 0.001)
            for each in (lease, StoreLease())
        ]
        idle = asyncio.create_task(closers[0].run())
        await asyncio.sleep(0.05)
        assert asked == []
        busy = asyncio.create_task(closers[1].run())
        while not counts.nodes_gone:
            await asyncio.sleep(0.001)
        for task in (idle, busy):
            task.cancel()
        await asyncio.gather(idle, busy, return_exceptions=True)

    asyncio.run(scene())
    assert counts.nodes_gone == 1
