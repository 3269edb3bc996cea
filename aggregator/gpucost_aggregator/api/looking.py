"""What nodes look like now, for whoever asks: glimpses of all boards, read in a reader thread."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from gpucost.identity import NodeId

from gpucost_aggregator.api.ask import Ask
from gpucost_aggregator.api.parts import Parts
from gpucost_aggregator.live.board import Glimpse, Why
from gpucost_aggregator.live.merging import younger
from gpucost_aggregator.live.reading import LiveNow, Wanted, read
from gpucost_aggregator.peers.gathering import NOBODY
from gpucost_aggregator.ui.replicas import Replicas


@dataclass(frozen=True, slots=True)
class Look:
    """
    *heard* and *expected* are how many nodes of the clusters asked for tell what they do now, and should; None
    where that is not the reader's. *interval_ns* is how often a node is asked to. *replicas* are the aggregators.
    """

    now: LiveNow
    heard: int | None
    expected: int | None
    interval_ns: int
    replicas: Replicas


async def look(parts: Parts, ask: Ask, nodes: Collection[str] = ()) -> Look:
    """
    What is true now of what *ask* is about, on those *nodes* (empty: on all); *ask* bounds the rows.

    Raises:
        Retry: The store can not tell now which nodes there are.
        Stop: It never will.
    """
    told = NOBODY if parts.peers is None else await parts.peers.told()
    # The others were waited for, so that it is later now than it was.
    now = parts.clock.now()
    own = parts.board.fresh(now)
    wanted = Wanted(ask.namespaces, ask.limit)

    def in_thread() -> tuple[LiveNow, set[NodeId], set[NodeId]]:
        fresh = [each for each in younger(own, told.glimpses) if _is_asked_for(each.node, ask)]
        found = read(_on(fresh, nodes), wanted, now.monotonic_ns)
        heard = {glimpse.node for glimpse in fresh}
        known = (each.node for each in parts.store.progress() if each.gone_at_ns is None)
        return found, heard, heard.union(node for node in known if _is_asked_for(node, ask))

    found, heard, expected = await asyncio.get_running_loop().run_in_executor(parts.readers, in_thread)
    parts.board.counts.refused[Why.UNREADABLE] += found.unreadable + told.unreadable
    interval_ns = min(filter(None, (parts.board.interval_ns(now), told.interval_ns)))
    asked = 1 + told.answered + len(told.silent)
    if ask.reader.sees_holders_only:
        # How many nodes there are is not theirs, nor is what can not be read of them, nor where aggregators are.
        replicas = Replicas(asked, len(told.silent), None)
        return Look(replace(found, unreadable=0), None, None, interval_ns, replicas)
    replicas = Replicas(asked, len(told.silent), told.silent)
    return Look(found, len(heard), len(expected), interval_ns, replicas)


def _is_asked_for(node: NodeId, ask: Ask) -> bool:
    return not ask.clusters or node.cluster in ask.clusters


def _on(glimpses: list[Glimpse], nodes: Collection[str]) -> list[Glimpse]:
    return [glimpse for glimpse in glimpses if not nodes or glimpse.node.node in nodes]
