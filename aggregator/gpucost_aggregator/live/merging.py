"""Glimpses of several boards as one: a node whose stream has just moved may stand on two of them. Pure."""

from collections.abc import Iterable

from gpucost.identity import NodeId

from gpucost_aggregator.live.board import Glimpse


def younger(*boards: Iterable[Glimpse]) -> tuple[Glimpse, ...]:
    """Of each node the glimpse that came last, in the order of nodes; of two of one age that of the earlier board."""
    found: dict[NodeId, Glimpse] = {}
    for board in boards:
        for glimpse in board:
            known = found.get(glimpse.node)
            if known is None or glimpse.received_ns > known.received_ns:
                found[glimpse.node] = glimpse
    return tuple(found[node] for node in sorted(found))
