"""How often nodes may tell what they look like now. Pure."""

from collections.abc import Sequence

from gpucost.units import NS_PER_HOUR, NS_PER_SECOND

COST_NS = 49_000
"""Of a core, for one Live: measured with grpc.aio from the socket to the board."""

MOST_OF_A_CORE = (1, 10)
"""All Lives together; the rest is for what is billed."""

SHORTEST_NS = 8 * NS_PER_SECOND
"""Agents tell of what ended two seconds before, so a page is at most ten seconds behind the GPU."""


def interval_ns(streams: int) -> int:
    """How often each of so many *streams* may send a Live, so that all of them stay within their part of a core."""
    part, of = MOST_OF_A_CORE
    return max(SHORTEST_NS, -(-streams * COST_NS * of // part))


def nodes_lately(heard_ns: Sequence[int]) -> int:
    """How many nodes come back after a restart: those heard within the last hour before the silence."""
    since_ns = max(heard_ns, default=0) - NS_PER_HOUR
    return sum(each >= since_ns for each in heard_ns)
