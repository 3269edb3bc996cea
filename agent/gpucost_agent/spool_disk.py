"""The spool's file: batches and facts in SQLite, in WAL mode, for one process and one thread at a time."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Retry, Stop

from gpucost_agent.spool_copy import copy_waiting, disk_fails, write_back

SCHEMA_VERSION = 2
_CACHE_KIB = 64
"""What SQLite may keep of the file in memory; what is sent was written a moment ago, and what is older seldom read."""

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (
    sequence_number INTEGER PRIMARY KEY,
    appended_at_ns INTEGER NOT NULL,
    acknowledged_at_ns INTEGER,
    sha256 BLOB NOT NULL,
    message BLOB NOT NULL,
    whole_sha256 BLOB
);
"""
_UPGRADES = {1: "ALTER TABLE batches ADD COLUMN whole_sha256 BLOB;"}
"""What makes a spool of each version one of the next. *whole_sha256* is of a batch before it was abridged."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch as it is sent."""

    sequence_number: int
    appended_at_ns: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not acknowledged: all of it, and the abridged part of it."""

    batches: int
    size: int
    short_batches: int
    short_size: int


class Disk:
    """
    The file in a folder that no other process uses meanwhile.

    All calls may block on the disk, and raise Retry where it fails; what a failed ``step`` did is undone. While
    *in_memory* says why, it is a copy that lies in memory, as the disk failed when it was opened.
    """

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        """
        Open the file, or make one; where the disk fails, copy what waits there, *memory_bytes* at most.

        Raises:
            Stop: The folder may not be written, another agent uses it, or the file is damaged or of a newer version.
        """
        self._folder = folder
        self._guard: int | None = None
        self.in_memory = ""
        try:
            self._database = self._opened()
        except Retry as trouble:
            self.in_memory = str(trouble)
            self._database = self._copied(memory_bytes)

    def to_disk(self) -> None:
        """Write to the disk what lies in memory, and go on there. Raises Retry where it fails still."""
        try:
            database = self._opened()
        except Stop as stop:
            raise Retry(str(stop)) from stop
        try:
            with _telling("written"):
                write_back(self._database, database)
        except Retry:
            database.close()
            raise
        self._database.close()
        self._database, self.in_memory = database, ""

    @contextmanager
    def step(self) -> Iterator[None]:
        """All or nothing of what is done in it, durably."""
        with _telling("written"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def facts(self) -> dict[str, str]:
        """Everything that was set."""
        with _telling("read"):
            return dict(self._database.execute("SELECT name, value FROM facts").fetchall())

    def set(self, facts: Mapping[str, str]) -> None:
        """Keep these facts instead of those of their names."""
        with _telling("written"):
            self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def put(self, entry: Entry, sha256: bytes) -> None:
        """Keep a batch that waits."""
        with _telling("written"):
            self._database.execute(
                "INSERT OR REPLACE INTO batches VALUES (?, ?, NULL, ?, ?, NULL)",
                (entry.sequence_number, entry.appended_at_ns, sha256, entry.message),
            )

    def after(self, sequence_number: int, limit: int) -> list[Entry]:
        """At most *limit* batches behind *sequence_number*, in their order."""
        with _telling("read"):
            rows = self._database.execute(
                "SELECT sequence_number, appended_at_ns, message FROM batches"
                " WHERE sequence_number > ? ORDER BY sequence_number LIMIT ?",
                (sequence_number, limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def hashes(self, sequence_number: int) -> tuple[bytes, ...]:
        """Of a batch as it is, and as it was before it was abridged; empty if it is not here."""
        with _telling("read"):
            rows = self._database.execute(
                "SELECT sha256, whole_sha256 FROM batches WHERE sequence_number = ?", (sequence_number,)
            ).fetchall()
        return tuple(each for row in rows for each in row if each is not None)

    def waiting(self) -> Waiting:
        """What is not acknowledged."""
        with _telling("read"):
            (row,) = self._database.execute(
                "SELECT count(*), coalesce(sum(length(message)), 0), count(whole_sha256),"
                " coalesce(sum(length(message)) FILTER (WHERE whole_sha256 IS NOT NULL), 0)"
                " FROM batches WHERE acknowledged_at_ns IS NULL"
            ).fetchall()
        return Waiting(*row)

    def oldest(self, *, whole: bool) -> Entry | None:
        """The first batch that waits, or the first of those that are *whole*."""
        with _telling("read"):
            row = self._database.execute(
                "SELECT sequence_number, appended_at_ns, message FROM batches"
                " WHERE acknowledged_at_ns IS NULL AND (whole_sha256 IS NULL OR NOT ?)"
                " ORDER BY sequence_number LIMIT 1",
                (whole,),
            ).fetchone()
        return None if row is None else Entry(*row)

    def shorten(self, sequence_number: int, message: bytes, sha256: bytes) -> None:
        """Put *message* in the place of the whole batch."""
        with _telling("written"):
            self._database.execute(
                "UPDATE batches SET message = ?, sha256 = ?, whole_sha256 = sha256 WHERE sequence_number = ?",
                (message, sha256, sequence_number),
            )

    def drop(self, sequence_number: int) -> None:
        """Forget a batch."""
        with _telling("written"):
            self._database.execute("DELETE FROM batches WHERE sequence_number = ?", (sequence_number,))

    def acknowledge(self, sequence_number: int, now_ns: int) -> None:
        """Every batch up to *sequence_number* waits no more."""
        with _telling("written"):
            self._database.execute(
                "UPDATE batches SET acknowledged_at_ns = ?"
                " WHERE sequence_number <= ? AND acknowledged_at_ns IS NULL",
                (now_ns, sequence_number),
            )

    def drop_acknowledged(self, before_ns: int, most_bytes: int) -> None:
        """Forget what was acknowledged before an instant, and of the rest the oldest past a bound."""
        with _telling("written"):
            self._database.execute("DELETE FROM batches WHERE acknowledged_at_ns < ?", (before_ns,))
            self._database.execute(
                "DELETE FROM batches WHERE sequence_number IN (SELECT sequence_number FROM ("
                " SELECT sequence_number, sum(length(message)) OVER (ORDER BY sequence_number DESC) AS kept"
                " FROM batches WHERE acknowledged_at_ns IS NOT NULL) WHERE kept > ?)",
                (most_bytes,),
            )

    def close(self) -> None:
        """Give the folder back."""
        self._database.close()
        self._let_go()

    def _opened(self) -> sqlite3.Connection:
        """Raises Retry where the disk fails."""
        file = self._folder / "spool.sqlite"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._guard is None:
                self._guard = _lock(self._folder / "lock")
            return _prepared(sqlite3.connect(file, isolation_level=None, check_same_thread=False))
        except (OSError, sqlite3.DatabaseError) as error:
            if disk_fails(error, file):
                raise Retry(
                    f"--spool-dir {self._folder}: {getattr(error, 'strerror', None) or error}"
                ) from error
            self._let_go()
            raise self._unusable(error) from error
        except Stop:
            self._let_go()
            raise

    def _copied(self, most_bytes: int) -> sqlite3.Connection:
        memory = _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        try:
            copy_waiting(self._folder / "spool.sqlite", memory, most_bytes)
        except sqlite3.Error as error:
            self._let_go()
            raise self._unusable(error) from error
        return memory

    def _let_go(self) -> None:
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def _unusable(self, error: OSError | sqlite3.Error) -> Stop:
        if isinstance(error, OSError):
            return Stop(
                f"--spool-dir {self._folder}: {error.strerror}: give a folder that this user may write",
                EXIT_PERMISSION,
            )
        return Stop(
            f"--spool-dir {self._folder}: its spool.sqlite can not be used ({error}): move it away to begin a new"
            " spool, and what it still held is lost",
            EXIT_STORE,
        )


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """With the tables of this version."""
    try:
        _prepare(database)
    except (sqlite3.Error, Stop):
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise Stop(
            f"the spool is of version {version}, this agent knows {SCHEMA_VERSION}: run the newer agent",
            EXIT_STORE,
        )
    while version in _UPGRADES:
        database.executescript(f"BEGIN; {_UPGRADES[version]} PRAGMA user_version = {version + 1}; COMMIT;")
        version += 1
    if not version:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        database.execute("INSERT INTO facts VALUES ('epoch', ?)", (str(uuid4()),))
    if database.execute("SELECT count(*) FROM facts WHERE name = 'epoch'").fetchone() != (1,):
        raise sqlite3.DatabaseError("it names no epoch")


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Retry(f"the spool can not be {what}: {error}") from error


def _lock(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Stop(
            f"--spool-dir {file.parent}: another agent uses it: stop that one, or give this one a folder of its own",
            EXIT_STORE,
        ) from None
    return descriptor
