"""
The fleet's price book as it travels: text of a bounded length, and what it says.

Both ends of the stream look at it here, so that what an aggregator takes is what its agents can read.
"""

from dataclasses import dataclass

from gpucost.price_book import PriceBook
from gpucost.trouble import Reject

MAX_BOOK_BYTES = 256 << 10
"""Two thousand rules; a node takes a second of its processor and ten megabytes for a moment to read so many."""


@dataclass(frozen=True, slots=True)
class FleetBook:
    """A price book, and the text of it as somebody wrote it."""

    yaml: bytes
    book: PriceBook

    @property
    def version(self) -> str:
        """What the book calls itself; never empty."""
        return self.book.version


def read_fleet_book(yaml: bytes, file_name: str) -> FleetBook:
    """
    The book that *yaml* writes down. *file_name* stands in messages only.

    Raises:
        Reject: It is too long, or no price book; the text says what to do.
    """
    if len(yaml) > MAX_BOOK_BYTES:
        raise Reject(
            f"{file_name}: more than {MAX_BOOK_BYTES} bytes, and every node of the fleet reads it: leave out rules that"
            " are past, or price with patterns (`*`)"
        )
    try:
        text = yaml.decode()
    except UnicodeDecodeError:
        raise Reject(f"{file_name}: it is not UTF-8 text: save it as such") from None
    return FleetBook(yaml, PriceBook.parse(text, file_name))
