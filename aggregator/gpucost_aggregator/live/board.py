"""The latest glimpse of each node, as its stream brought it: nobody reads it before somebody asks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from gpucost.clock import Instant
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.live.pace import interval_ns

MOST_BYTES = 64 * 1024
"""Of one glimpse: 64 holders take 12 KiB."""

MOST_BYTES_IN_ALL = 256 * 1024 * 1024
"""Of all glimpses: 100,000 nodes of eight holders each take less."""

FRESH_INTERVALS = 3
"""So many intervals after it came, a glimpse tells nothing any more: two that followed it were lost."""

MOST_APART_NS = 300 * NS_PER_SECOND
"""Between the clocks of a node and of this program; past that an agent goes by this program's clock anyway."""

_RETURN_NS = 600 * NS_PER_SECOND
"""Within which a fleet is back after a restart; an agent that calls in vain pauses for a minute at most."""


class Why(StrEnum):
    """
    Why a glimpse is not shown.

    UNREADABLE is found out when somebody asks, each time; NOT_ASKED: its stream is nobody's live one.
    """

    TOO_SOON = "too_soon"
    TOO_LARGE = "too_large"
    NO_ROOM = "no_room"
    CLOCK = "clock"
    NOT_ASKED = "not_asked"
    UNREADABLE = "unreadable"


@dataclass(slots=True)
class LiveCounts:
    """What came of glimpses since the program's start: how many came, and how many are not shown, by reason."""

    messages: int = 0
    refused: Counter[Why] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """
    What a node said of itself last, unread.

    *taken_at_ns* is by its clock, *received_ns* by this program's monotonic one.
    """

    node: NodeId
    table: bytes
    taken_at_ns: int
    received_ns: int


@dataclass(slots=True)
class _Place:
    stream: object
    interval_ns: int
    accepted_ns: int | None = None
    glimpse: Glimpse | None = None


class Board:
    """One glimpse a node, of its live stream; lives on the event loop."""

    def __init__(self, counts: LiveCounts | None = None) -> None:
        self.counts = LiveCounts() if counts is None else counts
        self._expected, self._expected_until_ns = 0, 0
        self._places: dict[NodeId, _Place] = {}
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """What all glimpses take up."""
        return self._bytes

    def expect(self, nodes: int, now: Instant) -> None:
        """So many *nodes* are on their way back, so that the first ones are not told an interval for a few."""
        self._expected, self._expected_until_ns = nodes, now.monotonic_ns + _RETURN_NS

    def enter(self, node: NodeId, stream: object, now: Instant) -> int:
        """*stream* is the live one of *node* now, and what an older one said is gone; how often it may tell."""
        self._forget(node)
        self._places[node] = place = _Place(stream, 0)
        place.interval_ns = self.interval_ns(now)
        return place.interval_ns

    def interval_ns(self, now: Instant) -> int:
        """How often a stream that begins now may tell."""
        coming = self._expected if now.monotonic_ns < self._expected_until_ns else 0
        return interval_ns(max(coming, len(self._places)))

    def leave(self, node: NodeId, stream: object) -> None:
        """*stream* is over; a newer one of the same node stays."""
        place = self._places.get(node)
        if place is not None and place.stream is stream:
            self._forget(node)
            del self._places[node]

    def put(
        self, node: NodeId, stream: object, taken_at_ns: int, table: Callable[[], bytes], now: Instant
    ) -> None:
        """Take in what *stream* says of *node*; *table* is asked for only where it is kept. What is not is counted."""
        self.counts.messages += 1
        place = self._places.get(node)
        if place is None or place.stream is not stream:
            return self._refuse(Why.NOT_ASKED)
        if place.accepted_ns is not None and (now.monotonic_ns - place.accepted_ns) * 2 < place.interval_ns:
            return self._refuse(Why.TOO_SOON)
        place.accepted_ns = now.monotonic_ns
        if abs(taken_at_ns - now.wall_ns) > MOST_APART_NS:
            return self._refuse(Why.CLOCK)
        encoded = table()
        if len(encoded) > MOST_BYTES:
            return self._refuse(Why.TOO_LARGE)
        before = len(place.glimpse.table) if place.glimpse else 0
        if self._bytes - before + len(encoded) > MOST_BYTES_IN_ALL:
            return self._refuse(Why.NO_ROOM)
        self._bytes += len(encoded) - before
        place.glimpse = Glimpse(node, encoded, taken_at_ns, now.monotonic_ns)
        return None

    def fresh(self, now: Instant) -> tuple[Glimpse, ...]:
        """All that still tell something, in the order of their nodes; the others are dropped."""
        for node, place in self._places.items():
            glimpse = place.glimpse
            if glimpse and now.monotonic_ns - glimpse.received_ns > FRESH_INTERVALS * place.interval_ns:
                self._forget(node)
        found = [place.glimpse for place in self._places.values() if place.glimpse is not None]
        return tuple(sorted(found, key=lambda glimpse: glimpse.node))

    def _forget(self, node: NodeId) -> None:
        place = self._places.get(node)
        if place is not None and place.glimpse is not None:
            self._bytes -= len(place.glimpse.table)
            place.glimpse = None

    def _refuse(self, why: Why) -> None:
        self.counts.refused[why] += 1
