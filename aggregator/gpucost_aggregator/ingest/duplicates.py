"""Two agents with one identity: they take the stream from each other, again and again. Pure."""

from collections import deque

from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND

SPAN_NS = 600 * NS_PER_SECOND
TAKEOVERS = 3
"""So many takeovers within the span are no restarts any more."""

_TIDY_ABOVE = 1_000


class Duplicates:
    """Takeovers of the last ten minutes by node; instants are those of a monotonic clock."""

    def __init__(self) -> None:
        self._recent: dict[NodeId, deque[int]] = {}
        self._told_ns: dict[NodeId, int] = {}

    def took_over(self, node: NodeId, now_ns: int) -> bool:
        """The stream of *node* was taken over; whether to tell now, once in ten minutes, that two are at it."""
        if len(self._recent) > _TIDY_ABOVE:
            self._tidy(now_ns)
        self._recent.setdefault(node, deque(maxlen=TAKEOVERS)).append(now_ns)
        if not self._is_doubled(node, now_ns):
            return False
        told_ns = self._told_ns.get(node)
        if told_ns is not None and now_ns - told_ns < SPAN_NS:
            return False
        self._told_ns[node] = now_ns
        return True

    def now(self, now_ns: int) -> tuple[NodeId, ...]:
        """Nodes that have two agents, in order."""
        return tuple(sorted(node for node in self._recent if self._is_doubled(node, now_ns)))

    def _is_doubled(self, node: NodeId, now_ns: int) -> bool:
        instants = self._recent[node]
        return len(instants) == TAKEOVERS and now_ns - instants[0] < SPAN_NS

    def _tidy(self, now_ns: int) -> None:
        self._recent = {node: all_ for node, all_ in self._recent.items() if now_ns - all_[-1] < SPAN_NS}
        self._told_ns = {node: at for node, at in self._told_ns.items() if node in self._recent}
