"""
The fleet's price book as it travels: text of a bounded length, and what it says.

Both ends of the stream look at it here, so that what an aggregator takes is what its agents can read.
"""

from dataclasses import dataclass

from gpucost.price_book import PriceBook
from gpucost.trouble import Reject
from gpucost.wire_bounds import MAX_NAME_BYTES

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
        Reject: It is too long, no price book, or has a version that no message can name; the text says what to do.
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
    book = PriceBook.parse(text, file_name)
    if not book.version.strip() or not book.version.isprintable():
        raise Reject(
            f"{file_name}: version {book.version!r} names nothing: write for example `version: 2026-11`"
        )
    if len(book.version.encode()) > MAX_NAME_BYTES:
        raise Reject(f"{file_name}: its version has more than {MAX_NAME_BYTES} bytes: write a short one")
    return FleetBook(yaml, book)
