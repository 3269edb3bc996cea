"""
The messages of malformed batches, whole, beside the ledger. The only importer of sqlite3 here.

The ledger's engine holds the long values of a table in memory at each checkpoint, all of them: a gigabyte of
messages that nobody can read would end it, and every start after that.
"""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gpucost.trouble import EXIT_STORE, Retry, Stop

FILE_NAME = "messages.sqlite"
_CACHE_KIB = 256
_SCHEMA = "CREATE TABLE IF NOT EXISTS messages (sha256 BLOB PRIMARY KEY, message BLOB NOT NULL)"


def digest_of(message: bytes) -> bytes:
    """By what a message is found again."""
    return hashlib.sha256(message).digest()


class MessageShelf:
    """The file in a store's folder, which is made with the first message; for any thread."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def keep(self, messages: Iterable[bytes]) -> None:
        """
        Keep *messages*; they are on the disk when this returns. One that is there already is left as it is.

        Raises:
            Retry: The disk does not take them.
            Stop: The file is no shelf.
        """
        with self._lock, _trouble(self._file):
            database = self._open()
            database.execute("BEGIN")
            try:
                database.executemany(
                    "INSERT OR IGNORE INTO messages VALUES (?, ?)",
                    ((digest_of(message), message) for message in messages),
                )
                database.execute("COMMIT")
            except BaseException:
                database.rollback()
                raise

    def read(self, sha256: bytes) -> bytes | None:
        """
        The message with that digest; None where there is none.

        Raises:
            Retry: The disk does not give it.
            Stop: The file is no shelf.
        """
        with self._lock, _trouble(self._file):
            if not self._file.exists():
                return None
            found = self._open().execute("SELECT message FROM messages WHERE sha256 = ?", [sha256]).fetchone()
            return bytes(found[0]) if found else None

    def copy_to(self, target: Path) -> bool:
        """
        A copy in *target*, a new file, with all that was kept before; whether there was anything to copy.

        Raises:
            Retry: There is no room for it.
            Stop: The file is no shelf.
        """
        with _trouble(self._file):
            if not self._file.exists():
                return False
            # A connection of its own, so that messages are kept meanwhile.
            with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
            return True

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            # Before the engine would make it, so that nobody else can read it at any time.
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                database.execute(_SCHEMA)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database


@contextmanager
def _trouble(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as trouble:
        raise Retry(f"{file}: {trouble}") from trouble
    except sqlite3.DatabaseError as trouble:
        raise Stop(
            f"{file}: is damaged or no file of this program ({trouble}): restore it from a backup, or move it away; "
            "without it malformed batches can not be replayed",
            EXIT_STORE,
        ) from trouble
