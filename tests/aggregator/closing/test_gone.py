"""Nodes that are gone: who is, and how their books are closed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import structlog
from gpucost.clock import Instant
from gpucost.facts import ClusterFacts, NodeFacts
from gpucost.trouble import Retry
from gpucost.units import NS_PER_DAY, NS_PER_SECOND

from contracts.ledger_rows import EVERYTHING, MINUTE_NS, NODE, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.closing.closer import Closer, close_gone_nodes
from gpucost_aggregator.closing.gone import SILENT_NS, SPOOL_BOUND_NS, gone
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.lease import StoreLease
from gpucost_aggregator.reports.completeness import completeness
from gpucost_aggregator.store.rows import Dimension, NodeProgress

T = TypeVar("T")

_HEARD_NS = START_NS + 2 * MINUTE_NS
_PROGRESS = NodeProgress(NODE, "boot-1", MINUTE_NS, START_NS + MINUTE_NS, _HEARD_NS)


@pytest.mark.parametrize(
    ("facts", "silent_ns", "is_gone"),
    [
        (NodeFacts(NODE.node, deleted=True), SILENT_NS, False),
        (NodeFacts(NODE.node, deleted=True), SILENT_NS + 1, True),
        (NodeFacts(NODE.node), SILENT_NS + 1, False),
        (NodeFacts(NODE.node, created_at_ns=_HEARD_NS - 1), NS_PER_DAY, False),
        (NodeFacts(NODE.node, created_at_ns=_HEARD_NS + 1), SILENT_NS + 1, True),
        (NodeFacts(NODE.node), SPOOL_BOUND_NS + 1, True),
        (None, SPOOL_BOUND_NS, False),
        (None, SPOOL_BOUND_NS + 1, True),
    ],
)
def test_who_is_gone(facts: NodeFacts | None, silent_ns: int, is_gone: bool) -> None:
    nodes = {NODE: facts} if facts else {}
    assert bool(gone([_PROGRESS], nodes, _HEARD_NS + silent_ns)) == is_gone
    closed = replace(_PROGRESS, gone_at_ns=1)
    assert gone([closed], nodes, _HEARD_NS + silent_ns) == []


def a_store() -> MemoryStore:
    """A node that was heard 95 s after its books were closed, and whose Node object is gone."""
    store = MemoryStore()
    store.commit([a_batch(1, a_slice(0), a_slice(1))])
    heard_ns = START_NS + 2 * MINUTE_NS + 95 * NS_PER_SECOND
    store.commit([a_batch(2, closed_through_ns=START_NS + 2 * MINUTE_NS, received_at_ns=heard_ns)])
    store.keep_cluster_facts("east", ClusterFacts(1, nodes=(NodeFacts(NODE.node, deleted=True),)))
    return store


def test_its_books_are_closed_up_to_its_last_sign_of_life() -> None:
    store, now_ns = a_store(), START_NS + 60 * MINUTE_NS
    (closed,) = close_gone_nodes(store, StoreLease(), now_ns)
    assert (closed.progress.node, closed.slices) == (NODE, 2)
    found = {total.key[0]: total.sums for total in store.totals(EVERYTHING, [Dimension.REASON])}
    assert found["node_gone"].unmeasured_ns == 95 * NS_PER_SECOND
    assert found["node_gone"].cost_nanodollars == 95 * NS_PER_SECOND // 1_000
    known = completeness(store.progress(), (), now_ns)
    assert known.silent == ()
    assert known.complete_through_ns == START_NS + 3 * MINUTE_NS
    assert close_gone_nodes(store, StoreLease(), now_ns) == []


def test_a_spool_that_comes_back_replaces_what_was_closed() -> None:
    store = a_store()
    close_gone_nodes(store, StoreLease(), START_NS + 60 * MINUTE_NS)
    store.commit([a_batch(3, a_slice(2)), a_batch(4, a_slice(3))])
    (total,) = store.totals(EVERYTHING, [Dimension.REASON])
    assert total.key == ("",)
    assert total.sums.charged_ns == 4 * MINUTE_NS
    assert store.progress()[0].gone_at_ns is None


def test_the_closer_counts_and_tells() -> None:
    store, counts, troubles = a_store(), Counts(), [Retry("full for a moment")]

    async def scene() -> list[dict[str, object]]:
        async def alone(call: Callable[[], T], /) -> T:
            if troubles:
                raise troubles.pop()
            return call()

        with structlog.testing.capture_logs() as logged:
            clock, log = _At(START_NS + 60 * MINUTE_NS), structlog.get_logger()
            closer = Closer(store, alone, clock, counts, log, StoreLease(), 0.001)
            task = asyncio.create_task(closer.run())
            async with asyncio.timeout(30):
                while not counts.nodes_gone:
                    await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return [dict(each) for each in logged]

    logged = asyncio.run(scene())
    assert counts.nodes_gone == 1
    assert [each["event"] for each in logged] == ["gone_nodes_not_closed", "node_gone"]


class _At:
    def __init__(self, wall_ns: int) -> None:
        self._wall_ns = wall_ns

    def now(self) -> Instant:
        return Instant(self._wall_ns, self._wall_ns)
