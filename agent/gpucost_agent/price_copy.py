"""The fleet's price book on the node's disk, so that an agent that begins without its aggregator prices as before."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpucost.durable_file import replace_file
from gpucost.fleet_book import MAX_BOOK_BYTES, FleetBook, read_fleet_book
from gpucost.trouble import Reject

FILE_NAME = "prices.json"
FORMAT = 1
_LARGEST_FILE = 16 * MAX_BOOK_BYTES
"""Two books, each of whose bytes JSON may spell with six."""


@dataclass(frozen=True, slots=True)
class InForce:
    """
    *now* is the book of windows that begin at *from_ns* or later (wall nanoseconds), *before* that of those before.

    None is no book.
    """

    now: FleetBook | None = None
    from_ns: int = 0
    before: FleetBook | None = None

    def at(self, at_ns: int) -> FleetBook | None:
        """The book of a window that begins at *at_ns*."""
        return self.now if at_ns >= self.from_ns else self.before


@dataclass(frozen=True, slots=True)
class PriceCopy:
    """The file in *folder*, beside the spool and under its lock. For one thread at a time; blocks on the disk."""

    folder: Path

    def read(self) -> InForce:
        """
        What was kept last; nothing in a new folder.

        Raises:
            OSError: It can not be read.
            ValueError: It is damaged, or a newer agent's.
        """
        try:
            with self._file.open("rb") as reading:
                data = reading.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            return InForce()
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"{self._file} is larger than any that an agent writes")
        try:
            fields = json.loads(data)
            if fields["format"] != FORMAT or type(fields["from_ns"]) is not int:
                raise ValueError(f"format {fields['format']}")
            return InForce(_book(fields["now"]), fields["from_ns"], _book(fields["before"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Reject) as error:
            raise ValueError(f"{self._file} is no copy of a price book: {error}") from error

    def keep(self, books: InForce) -> None:
        """
        Keep *books* instead of what was kept before.

        Raises:
            OSError: The disk fails; what was kept before still is.
        """
        fields = {
            "format": FORMAT,
            "from_ns": books.from_ns,
            "now": _fields(books.now),
            "before": _fields(books.before),
        }
        replace_file(self._file, json.dumps(fields, ensure_ascii=False).encode())

    def set_aside(self) -> Path:
        """
        Give the file a name under which nobody looks for it; the name.

        Raises:
            OSError: The disk fails.
        """
        return self._file.replace(self._file.with_name(f"{FILE_NAME}.damaged"))

    @property
    def _file(self) -> Path:
        return self.folder / FILE_NAME


def _fields(fleet: FleetBook | None) -> dict[str, str] | None:
    return None if fleet is None else {"sha256": fleet.book.sha256, "yaml": fleet.yaml.decode()}


def _book(fields: Any) -> FleetBook | None:
    if fields is None:
        return None
    fleets = read_fleet_book(fields["yaml"].encode(), "its book")
    if fleets.book.sha256 != fields["sha256"]:
        raise ValueError("a price in it may have changed: its check sum is another")
    return fleets
