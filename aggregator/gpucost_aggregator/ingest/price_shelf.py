"""
The fleet's price book as the operator set it: one small file, ``prices.json`` in the data directory.

Each change replaces the file as a whole. It belongs to the store, so that a backup takes it along.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucost.fleet_book import FleetBook, read_fleet_book
from gpucost.trouble import Reject

from gpucost_aggregator.kept_file import KeptFile

FILE_NAME = "prices.json"
FORMAT = 1
MOST_KNOWN = 1_000
"""Versions of which it is remembered what they said: one a day for three years."""

_WITHOUT_IT = "or move it away, start, and set the book again with `prices set`: until then nodes keep theirs"


@dataclass(frozen=True, slots=True)
class Shelved:
    """The book that holds, since *since_ns*: when it was set (wall nanoseconds)."""

    fleet: FleetBook
    since_ns: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """*known* is the SHA-256 of every version that was set, the latest last."""

    shelved: Shelved | None = None
    known: Mapping[str, str] = field(default_factory=dict)


class PriceShelf:
    """
    The book in *folder*. What holds may be asked from any thread and never blocks.

    What changes it blocks on the disk, and raises Retry where it does not take the change: then nothing has changed.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            Stop: The file is there and can not be read (exit codes 4 and 5).
        """
        self._file = KeptFile(folder / FILE_NAME, _WITHOUT_IT)
        self._changing = threading.Lock()
        self._facts = self._file.read(_facts) or _Facts()

    @property
    def current(self) -> Shelved | None:
        """The fleet's book; None while there is none."""
        return self._facts.shelved

    @property
    def was_ever_set(self) -> bool:
        """Whether this store ever had a book: one that was taken away is news to a node, and none at all is not."""
        return bool(self._facts.known)

    def put(self, yaml: bytes, file_name: str, now_ns: int) -> tuple[Shelved, bool]:
        """
        *yaml* is the fleet's book from now on; the book, and whether it was another one before.

        Raises:
            Reject: It is no price book, or has the version of another one; the text says what to do.
        """
        fleet = read_fleet_book(yaml, file_name)
        sha256 = fleet.book.sha256
        with self._changing:
            known = dict(self._facts.known)
            if known.get(fleet.version, sha256) != sha256:
                raise Reject(
                    f"{file_name}: version {fleet.version!r} was set before with another text, and an agent that has"
                    " that one would keep it: give each text a `version` of its own"
                )
            shelved = self._facts.shelved
            if shelved is not None and shelved.fleet.yaml == yaml:
                return shelved, False
            known.pop(fleet.version, None)
            known[fleet.version] = sha256
            latest = dict(list(known.items())[-MOST_KNOWN:])
            shelved = Shelved(fleet, now_ns)
            self._keep(_Facts(shelved, latest))
        return shelved, True

    def clear(self) -> Shelved:
        """
        The fleet has no book from now on; the one that it had.

        Raises:
            Reject: It has none.
        """
        with self._changing:
            shelved = self._facts.shelved
            if shelved is None:
                raise Reject("no price book is set: there is nothing to clear")
            self._keep(_Facts(None, self._facts.known))
        return shelved

    def _keep(self, facts: _Facts) -> None:
        self._file.write(_body(facts))
        self._facts = facts


def _body(facts: _Facts) -> dict[str, Any]:
    shelved = facts.shelved
    book = None if shelved is None else {"yaml": shelved.fleet.yaml.decode(), "since_ns": shelved.since_ns}
    return {"format": FORMAT, "book": book, "known": list(facts.known.items())}


def _facts(body: Any) -> _Facts:
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']}")
    known = {str(version): str(sha256) for version, sha256 in body["known"]}
    book = body["book"]
    if book is None:
        return _Facts(None, known)
    fleet = read_fleet_book(book["yaml"].encode(), "its book")
    if known.get(fleet.version) != fleet.book.sha256:
        raise ValueError("its book is not the one that was set")
    if type(book["since_ns"]) is not int:
        raise ValueError("it does not say since when")
    return _Facts(Shelved(fleet, book["since_ns"]), known)
