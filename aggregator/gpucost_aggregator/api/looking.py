"""What nodes look like now, for whoever asks: glimpses of the board, read in a reader thread."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from gpucost.identity import NodeId

from gpucost_aggregator.api.ask import Ask
from gpucost_aggregator.api.parts import Parts
from gpucost_aggregator.live.board import Glimpse, Why
from gpucost_aggregator.live.reading import LiveNow, Wanted, read


@dataclass(frozen=True, slots=True)
class Look:
    """
    *heard* and *expected* are how many nodes of the clusters asked for tell what they do now, and should; None
    where that is not the reader's. *interval_ns* is how often a node is asked to.
    """

    now: LiveNow
    heard: int | None
    expected: int | None
    interval_ns: int


async def look(parts: Parts, ask: Ask, nodes: Collection[str] = ()) -> Look:
    """
    What is true now of what *ask* is about, on those *nodes* (empty: on all); *ask* bounds the rows.

    Raises:
        Retry: The store can not tell now which nodes there are.
        Stop: It never will.
    """
    now = parts.clock.now()
    fresh = [
        glimpse
        for glimpse in parts.board.fresh(now)
        if not ask.clusters or glimpse.node.cluster in ask.clusters
    ]
    wanted = Wanted(ask.namespaces, ask.limit)

    def in_thread() -> tuple[LiveNow, frozenset[NodeId]]:
        found = read(_on(fresh, nodes), wanted, now.monotonic_ns)
        return found, frozenset(each.node for each in parts.store.progress() if each.gone_at_ns is None)

    found, known = await asyncio.get_running_loop().run_in_executor(parts.readers, in_thread)
    parts.board.counts.refused[Why.UNREADABLE] += found.unreadable
    interval_ns = parts.board.interval_ns(now)
    if ask.reader.sees_holders_only:
        # How many nodes there are is not theirs, nor is what can not be read of them.
        return Look(replace(found, unreadable=0), None, None, interval_ns)
    heard = {glimpse.node for glimpse in fresh}
    expected = heard.union(node for node in known if not ask.clusters or node.cluster in ask.clusters)
    return Look(found, len(heard), len(expected), interval_ns)


def _on(glimpses: list[Glimpse], nodes: Collection[str]) -> list[Glimpse]:
    return [glimpse for glimpse in glimpses if not nodes or glimpse.node.node in nodes]
