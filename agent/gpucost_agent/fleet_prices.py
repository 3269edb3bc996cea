"""
Which price book counts on this node: the file that it was given, else the fleet's, which the aggregator sends.

Without either the catalogue alone. A book holds from the first window on of which nothing is closed yet, so that no
window has two.
"""

from dataclasses import replace
from pathlib import Path

from gpucost.catalogue import Catalogue
from gpucost.fleet_book import FleetBook
from gpucost.prices import PriceBook, Prices, load_catalogue, load_price_book
from gpucost.window import Interval

from gpucost_agent.price_copy import InForce, PriceCopy

_NO_BOOK = PriceBook()


class NodePrices:
    """
    The books of one node. Any thread may ask; whoever takes a book in sees to it that no window is closed meanwhile.

    *own* is the file's book; with one, the fleet's does not count.
    """

    def __init__(self, own: PriceBook | None, catalogue: Catalogue) -> None:
        self._own, self._catalogue = own, catalogue
        self._fleets = InForce()
        self._copy: PriceCopy | None = None
        self._is_kept = True

    @property
    def has_own(self) -> bool:
        """Whether the node was given a book of its own."""
        return self._own is not None

    @property
    def version(self) -> str:
        """What the book for the next windows calls itself; empty without one."""
        return self._latest.version

    @property
    def source(self) -> str:
        """Where that one is from: file, aggregator or none."""
        if self._own is not None:
            return "file"
        return "none" if self._fleets.now is None else "aggregator"

    def at(self, at_ns: int) -> Prices:
        """What a window that begins at *at_ns* (wall nanoseconds) is priced by."""
        fleets = self._fleets.at(at_ns)
        book = self._own or (_NO_BOOK if fleets is None else fleets.book)
        return Prices(book, self._catalogue)

    def recall(self, copy: PriceCopy, open_window: Interval) -> None:
        """
        Go on with what the agent before this one kept in *copy*, and keep there what comes.

        No book waits for longer than the *open_window*: one that does was taken while the clock was ahead.

        Raises:
            OSError: It can not be read; nothing is known then.
            ValueError: It is damaged; as above.
        """
        self._copy = copy
        books = copy.read()
        self._fleets = replace(books, from_ns=min(books.from_ns, open_window.end_ns))

    def take(self, fleets: FleetBook | None, from_ns: int) -> bool:
        """
        *fleets* is the fleet's book from now on, for windows that begin at *from_ns* or later; None: it has none.

        Whether that is another one than before.

        Raises:
            OSError: The disk does not take it; it counts all the same, and `keep_again` tries once more.
        """
        books = self._fleets
        if fleets == books.now:
            return False
        before = books.now if from_ns > books.from_ns else books.before
        self._fleets, self._is_kept = InForce(fleets, from_ns, before), False
        self.keep_again()
        return True

    def keep_again(self) -> None:
        """
        See that what counts is on the disk; does nothing where it is.

        Raises:
            OSError: The disk does not take it.
        """
        if self._copy is not None and not self._is_kept:
            self._copy.keep(self._fleets)
            self._is_kept = True

    @property
    def _latest(self) -> PriceBook:
        if self._own is not None:
            return self._own
        return _NO_BOOK if self._fleets.now is None else self._fleets.now.book


def open_prices(own: Path | None) -> NodePrices:
    """
    The prices of a node with the price book *own*, or without one.

    Raises:
        Stop: The price book is wrong (exit code 2).
    """
    return NodePrices(None if own is None else load_price_book(own), load_catalogue())
