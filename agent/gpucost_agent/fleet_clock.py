"""
The clock that windows are stamped by: the node's own, unless the aggregator's shows that it is far off.

Then it is the last offset of the node's wall clock that agreed, on the monotonic clock, until both agree again.
"""

import json
from dataclasses import dataclass

from gpucost.clock import Clock, Instant
from gpucost.units import NS_PER_SECOND

REPORTED_NS = 30 * NS_PER_SECOND
"""Further off than this is worth telling."""

DISTRUSTED_NS = 300 * NS_PER_SECOND
"""Further off than this a node's clock is not used; the aggregator would refuse such slices as from the future."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """
    Wall time less monotonic time, in nanoseconds, of one boot: the aggregator's, as its last Welcome said, and the
    node's own when the two last agreed; None if they never did.
    """

    boot_id: str
    aggregator_ns: int
    agreed_ns: int | None

    def to_json(self) -> str:
        """As text for the spool."""
        return json.dumps([self.boot_id, self.aggregator_ns, self.agreed_ns])

    @classmethod
    def from_json(cls, text: str) -> "Offsets":
        """The offsets in *text*. Raises ValueError if it holds none."""
        try:
            boot_id, aggregator_ns, agreed_ns = json.loads(text)
            str(boot_id).encode()  # JSON can spell half a character, which no message takes: ValueError.
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no offsets of clocks: {error}") from error
        right = isinstance(boot_id, str) and type(aggregator_ns) is int
        if not right or not (agreed_ns is None or type(agreed_ns) is int):
            raise ValueError(f"no offsets of clocks: {text[:80]!r}")
        return cls(boot_id, aggregator_ns, agreed_ns)


class FleetClock:
    """
    A ``Clock`` for any thread. Until an aggregator was heard, and without one, it is the node's own clock.

    An aggregator whose clock is wrong moves nothing on nodes that once agreed with it: they go on by that offset.
    """

    def __init__(self, node: Clock) -> None:
        self._node = node
        self._aggregator_ns: int | None = None
        self._agreed_ns: int | None = None

    def now(self) -> Instant:
        """This moment, by the clock that windows are stamped by."""
        now = self._node.now()
        return Instant(now.wall_ns + self._off_ns(now), now.monotonic_ns)

    def off_ns(self) -> int:
        """What this clock shows less what the node's own does; 0 while that is trusted."""
        return self._off_ns(self._node.now())

    def heard(self, aggregator_ns: int) -> None:
        """The aggregator's clock shows *aggregator_ns* now."""
        self._aggregator_ns = aggregator_ns - self._node.now().monotonic_ns

    def skew_ns(self) -> int | None:
        """The node's own clock less the aggregator's; None where none was heard."""
        now = self._node.now()
        return None if self._aggregator_ns is None else now.wall_ns - now.monotonic_ns - self._aggregator_ns

    def offsets(self, boot_id: str) -> Offsets | None:
        """What another agent of the same boot needs to know; None where no aggregator was heard."""
        self.off_ns()
        return None if self._aggregator_ns is None else Offsets(boot_id, self._aggregator_ns, self._agreed_ns)

    def remember(self, offsets: Offsets, boot_id: str) -> None:
        """Take over what the agent before this one knew, if it was of this boot: the monotonic clock begins at boot."""
        if boot_id and offsets.boot_id == boot_id:
            self._aggregator_ns, self._agreed_ns = offsets.aggregator_ns, offsets.agreed_ns

    def _off_ns(self, now: Instant) -> int:
        if self._aggregator_ns is None:
            return 0
        offset_ns = now.wall_ns - now.monotonic_ns
        if abs(offset_ns - self._aggregator_ns) <= DISTRUSTED_NS:
            self._agreed_ns = offset_ns
            return 0
        trusted_ns = self._aggregator_ns if self._agreed_ns is None else self._agreed_ns
        return trusted_ns - offset_ns
