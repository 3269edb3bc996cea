"""Up to when the books are closed, and who is late."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.store.rows import NodeProgress

LIVE_FOR_NS = 180 * NS_PER_SECOND
"""
A node that was heard within this time is live: three windows of the usual minute, the bound of the lag.

A node that leaves an autoscaled fleet must not hold up everybody's reports for longer; one that is merely
late is named as silent until it is back.
"""

LIVE_WINDOWS = 3
"""With longer windows, a node is live for so many of them."""

DEFAULT_WINDOW_NS = 60 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Completeness:
    """
    How far reports may look.

    *complete_through_ns*: every window before it is closed on every live node; None before the first one.
    *window_ns*: the ledger's windows; None before the first one. *silent* are nodes not heard for a while.
    """

    complete_through_ns: int | None
    window_ns: int | None
    nodes: int
    silent: tuple[NodeId, ...]
    last_heard_ns: int | None

    @property
    def step_ns(self) -> int:
        """What periods are aligned to."""
        return self.window_ns or DEFAULT_WINDOW_NS


def completeness(progress: Sequence[NodeProgress], clusters: Sequence[str], now_ns: int) -> Completeness:
    """How far the nodes of *clusters* (empty: all) are at *now_ns*; if none is live, the furthest of them."""
    nodes = [node for node in progress if not clusters or node.node.cluster in clusters]
    window_ns = max((node.window_ns for node in nodes), default=None)
    live_for = max(LIVE_FOR_NS, LIVE_WINDOWS * (window_ns or 0))
    # The books of a node that is gone are closed: nobody waits for it, and it is late with nothing.
    live = [node for node in nodes if node.gone_at_ns is None and now_ns - node.last_heard_ns <= live_for]
    late = [node for node in nodes if node.gone_at_ns is None and now_ns - node.last_heard_ns > live_for]
    silent = sorted(node.node for node in late)
    through = min((node.closed_through_ns for node in live), default=None)
    if through is None:
        through = max((node.closed_through_ns for node in nodes), default=None)
    heard = max((node.last_heard_ns for node in nodes), default=None)
    if through is not None and window_ns:
        through -= through % window_ns
    return Completeness(through or None, window_ns, len(nodes), tuple(silent), heard)
