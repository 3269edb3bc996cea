"""What the stream tells: into the log, the metrics, the clock, and the facts that a new stream needs again."""

from gpucost.units import NS_PER_SECOND

from gpucost_agent.fleet_clock import DISTRUSTED_NS, REPORTED_NS
from gpucost_agent.loops.room import Room
from gpucost_agent.news import News
from gpucost_agent.price_news import PriceNews
from gpucost_agent.spool import Spool

CLOCK_NOTE = "clock"
"""Under this name the spool keeps the offsets of the clocks for the next agent."""


class StreamNews:
    """A ``stream.Listener``."""

    def __init__(self, room: Room, news: News, spool: Spool, prices: PriceNews) -> None:
        self._room, self._news, self._spool, self._prices = room, news, spool, prices

    def heard(self, clock_ns: int) -> None:
        """The aggregator's clock shows *clock_ns* now."""
        room, clock = self._room, self._room.clock
        clock.heard(clock_ns)
        if (offsets := clock.offsets(room.books.boot.boot_id)) is not None:
            self._spool.note(CLOCK_NOTE, offsets.to_json())
        skew_ns = clock.skew_ns() or 0
        room.metrics.clock_skew.set(skew_ns / NS_PER_SECOND)
        if abs(skew_ns) > DISTRUSTED_NS:
            room.log.error(
                "clock_distrusted",
                skew_s=skew_ns / NS_PER_SECOND,
                what="windows are stamped by the offset at which this node's clock and the aggregator's last agreed,"
                " until they agree again: set the clock that is wrong",
            )
        elif abs(skew_ns) > REPORTED_NS:
            room.log.warning("clock_skewed", skew_s=skew_ns / NS_PER_SECOND)

    def connected(self, durable: int) -> None:
        """A stream stands."""
        self._room.metrics.connected.set(1)
        self._room.log.info("stream_connected", durable=durable)
        self._news.tell_again()
        self._prices.connected()

    def disconnected(self, reason: str) -> None:
        """It does not any more."""
        self._room.metrics.connected.set(0)
        self._room.log.warning("stream_disconnected", reason=reason)

    def rejected(self, sequence_number: int, reasons: list[str]) -> None:
        """Slices were set aside."""
        self._room.metrics.rejected.inc()
        self._room.log.error("slices_rejected", sequence_number=sequence_number, reasons=reasons)

    def prices_sent(self, version: str, yaml: bytes) -> None:
        """The fleet's price book, or that there is none."""
        self._prices.sent(version, yaml)
