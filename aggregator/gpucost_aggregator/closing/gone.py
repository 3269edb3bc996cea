"""Which nodes are gone for good, by what is known of them. Pure."""

from collections.abc import Mapping, Sequence

from gpucost.facts import NodeFacts
from gpucost.identity import NodeId
from gpucost.units import NS_PER_DAY, NS_PER_SECOND

from gpucost_aggregator.store.rows import NodeProgress

SILENT_NS = 900 * NS_PER_SECOND
"""An agent's pauses between tries end after a minute, so a node of that silence has no agent any more."""

SPOOL_BOUND_NS = 7 * NS_PER_DAY
"""As long as a spool waits for the aggregator: past it not even an agent that comes back has the books."""


def gone(
    progress: Sequence[NodeProgress], nodes: Mapping[NodeId, NodeFacts], now_ns: int
) -> list[NodeProgress]:
    """
    The nodes among *progress* whose books nobody closes any more, at *now_ns*.

    *nodes* are what the clusters' watchers know; where there is no watcher, only the long silence counts.
    """
    return [
        each for each in progress if each.gone_at_ns is None and _is_gone(each, nodes.get(each.node), now_ns)
    ]


def _is_gone(node: NodeProgress, facts: NodeFacts | None, now_ns: int) -> bool:
    silent_ns = now_ns - node.last_heard_ns
    if silent_ns <= SILENT_NS:
        return False
    if silent_ns > SPOOL_BOUND_NS:
        return True
    # A Node object that was made since is of another machine with the same name, or of this one's second life.
    return facts is not None and (facts.deleted or facts.created_at_ns > node.last_heard_ns)
