"""What the aggregator says of prices: read, held against what counts here, and told in the log."""

from contextlib import suppress

from gpucost.fleet_book import FleetBook, read_fleet_book
from gpucost.trouble import Reject
from gpucost.window import Interval, window_of
from structlog.typing import FilteringBoundLogger

from gpucost_agent.fleet_prices import NodePrices
from gpucost_agent.loops.room import Room
from gpucost_agent.price_copy import PriceCopy
from gpucost_agent.spool import Spool

_SHOWN = 200
"""Signs of a version that the log shows, as one that can not be read may have any length."""


class PriceNews:
    """Called by the stream's thread; may wait for a window that is being closed, and for the disk."""

    def __init__(self, room: Room, prices: NodePrices, spool: Spool) -> None:
        self._room, self._prices, self._spool = room, prices, spool
        self._told_of: str | None = None
        """The version that was refused or passed over last; each is told once."""

    def connected(self) -> None:
        """A stream stands: time for what the disk did not take before."""
        try:
            self._prices.keep_again()
        except OSError as error:
            self._room.log.warning("price_book_not_kept", version=self._prices.version, reason=str(error))

    def sent(self, version: str, yaml: bytes) -> None:
        """The fleet's price book is *yaml*, which calls itself *version*; both empty: there is none any more."""
        if self._prices.has_own:
            if self._is_new(version) and version:
                self._room.log.info(
                    "price_book_passed_over", version=version[:_SHOWN], own=self._prices.version
                )
            return
        try:
            fleets = _read(version, yaml)
        except Reject as trouble:
            self._refuse(version, str(trouble))
            return
        self._take(fleets)

    def _refuse(self, version: str, reason: str) -> None:
        self._room.metrics.price_books_refused.inc()
        if self._is_new(version):
            self._room.log.error(
                "price_book_refused",
                version=version[:_SHOWN],
                reason=reason,
                kept=self._prices.version,
                what="this node goes on with the book that it has",
            )

    def _take(self, fleets: FleetBook | None) -> None:
        room, version = self._room, fleets.version if fleets is not None else ""
        # Nothing is closed meanwhile, so that no window has two books.
        with room.closing:
            from_ns = self._first_window_ns()
            try:
                is_new = self._prices.take(fleets, from_ns)
            except OSError as error:
                is_new = True
                room.log.warning("price_book_not_kept", version=version, reason=str(error))
        if is_new:
            rules = len(fleets.book.rules) if fleets is not None else 0
            room.log.info("price_book_taken", version=version, rules=rules, holds_from_ns=from_ns)

    def _first_window_ns(self) -> int:
        """Where the first window begins of which nothing is closed; of a node that never closed one it is any."""
        if self._spool.position().next_sequence_number == 1:
            return 0
        books = self._room.books
        window = window_of(books.closed_through_ns, books.method.window_ns)
        return window.start_ns if window.start_ns == books.closed_through_ns else window.end_ns

    def _is_new(self, version: str) -> bool:
        before, self._told_of = self._told_of, version[: _SHOWN + 1]
        return before != self._told_of


def recall_prices(
    prices: NodePrices, copy: PriceCopy, open_window: Interval, log: FilteringBoundLogger
) -> None:
    """The agent begins, with the fleet's book as the one before it had it; a damaged *copy* is set aside."""
    try:
        prices.recall(copy, open_window)
    except (OSError, ValueError) as error:
        log.warning(
            "price_book_copy_set_aside",
            reason=str(error),
            what="until the aggregator sends its book again, this node goes by the catalogue alone",
        )
        with suppress(OSError):
            copy.set_aside()


def _read(version: str, yaml: bytes) -> FleetBook | None:
    if not version and not yaml:
        return None
    fleets = read_fleet_book(yaml, "the aggregator's price book")
    if fleets.version != version:
        raise Reject(f"it calls itself {fleets.version!r}, and the aggregator calls it {version[:_SHOWN]!r}")
    return fleets
