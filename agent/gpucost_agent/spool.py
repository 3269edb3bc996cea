"""
Batches that wait for the aggregator: durable, bounded, the oldest out first, every loss counted.

SQLite in WAL mode on the node's disk. A batch and the books' checkpoint after it are one transaction,
so whatever kills the agent, the next one goes on where the last durable batch ended.
"""

import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Retry, Stop
from gpucost.units import NS_PER_DAY, NS_PER_HOUR

SCHEMA_VERSION = 1
_CACHE_KIB = 64
"""What SQLite may keep of the file in memory; what is sent was written a moment ago, and what is older seldom read."""

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (
    sequence_number INTEGER PRIMARY KEY,
    appended_at_ns INTEGER NOT NULL,
    acknowledged_at_ns INTEGER,
    sha256 BLOB NOT NULL,
    message BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much may lie here; past a bound the oldest goes first.

    Acknowledged batches stay for a while, for an aggregator that comes back from a backup.
    """

    waiting_ns: int = 7 * NS_PER_DAY
    waiting_bytes: int = 256 << 20
    acknowledged_ns: int = 48 * NS_PER_HOUR
    acknowledged_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch as it is sent."""

    sequence_number: int
    appended_at_ns: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where the spool stands: its epoch, the number of the next batch, the hash of the last one."""

    epoch: str
    next_sequence_number: int
    last_sha256: bytes


@dataclass(frozen=True, slots=True)
class Fill:
    """What lies in the spool, and what went out of it unsent, ever."""

    waiting_batches: int
    waiting_bytes: int
    lost_windows: int
    on_disk: bool


class Spool:
    """
    Batches in the order of their numbers. For any thread; a call may block on the disk.

    Where the disk fails, batches are kept in memory and written when it works again: measuring never stops.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        """
        Open the spool in *folder*, or make one.

        Raises:
            Stop: The folder can not be written, another agent uses it, or it is of a newer version.
        """
        self._bounds = bounds
        self._lock = threading.Lock()
        self._unwritten: list[tuple[Entry, str]] = []
        self._epoch, self._last_sha256 = "", b""
        self._next, self._lost = 1, 0
        self._disk_works = True
        self.appended = threading.Event()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._guard = _lock(folder / "lock")
            self._database = self._open(folder / "spool.sqlite")
        except sqlite3.DatabaseError as error:
            raise Stop(
                f"--spool-dir {folder}: its spool.sqlite can not be used ({error}): move it away to begin a new"
                " spool, and what it still held is lost",
                EXIT_STORE,
            ) from error
        except OSError as error:
            raise Stop(
                f"--spool-dir {folder}: {error.strerror}: give a folder that this user may write",
                EXIT_PERMISSION,
            ) from error

    def append(self, encode: Callable[[int], bytes], checkpoint: str, now_ns: int) -> None:
        """Keep one more batch, which *encode* makes for its number, and the checkpoint after it."""
        with self._lock:
            number = self._next
            message = encode(number)
            self._next = number + 1
            self._last_sha256 = hashlib.sha256(message).digest()
            self._unwritten.append((Entry(number, now_ns, message), checkpoint))
            self._write()
            self._enforce_bounds(now_ns)
        self.appended.set()

    def remember(self, checkpoint: str) -> None:
        """Keep a checkpoint without a batch; not at all where the disk fails."""
        with self._lock:
            try:
                self._set("checkpoint", checkpoint)
            except sqlite3.Error as error:
                raise Retry(f"the spool can not be written: {error}") from error

    def checkpoint(self) -> str | None:
        """The last checkpoint that was kept; None in a new spool."""
        with self._lock:
            return self._get("checkpoint")

    def position(self) -> Position:
        """Where the spool stands."""
        with self._lock:
            return Position(self._epoch, self._next, self._last_sha256)

    def after(self, sequence_number: int, limit: int) -> list[Entry]:
        """At most *limit* batches behind *sequence_number*, acknowledged ones too, in their order."""
        with self._lock:
            try:
                found = [
                    Entry(*row)
                    for row in self._database.execute(
                        "SELECT sequence_number, appended_at_ns, message FROM batches"
                        " WHERE sequence_number > ? ORDER BY sequence_number LIMIT ?",
                        (sequence_number, limit),
                    )
                ]
            except sqlite3.Error as error:
                raise Retry(f"the spool can not be read: {error}") from error
            unwritten = [entry for entry, _ in self._unwritten if entry.sequence_number > sequence_number]
            return (found + unwritten)[:limit]

    def acknowledge(self, sequence_number: int, now_ns: int) -> None:
        """
        Every batch up to *sequence_number* is durable at the aggregator.

        Where the disk fails, the next acknowledgement marks these batches too.
        """
        with self._lock:
            self._unwritten = [pair for pair in self._unwritten if pair[0].sequence_number > sequence_number]
            try:
                self._database.execute(
                    "UPDATE batches SET acknowledged_at_ns = ?"
                    " WHERE sequence_number <= ? AND acknowledged_at_ns IS NULL",
                    (now_ns, sequence_number),
                )
                self._drop_acknowledged(now_ns)
            except sqlite3.Error:
                return

    def wrote(self, sequence_number: int, sha256: bytes) -> bool:
        """Whether batch *sequence_number* is one of this spool's, as far as is still known; 0 is none, and is."""
        with self._lock:
            if sequence_number >= self._next:
                return False
            known = [
                entry.message for entry, _ in self._unwritten if entry.sequence_number == sequence_number
            ]
            try:
                row = self._database.execute(
                    "SELECT sha256 FROM batches WHERE sequence_number = ?", (sequence_number,)
                ).fetchone()
            except sqlite3.Error as error:
                raise Retry(f"the spool can not be read: {error}") from error
            own = hashlib.sha256(known[0]).digest() if known else row[0] if row else b""
            return b"" in (own, sha256) or own == sha256

    def begin_epoch(self) -> None:
        """
        Take another name for what lies here, so that the aggregator counts it anew.

        Raises:
            Retry: The disk fails; the name stays.
        """
        epoch = str(uuid4())
        with self._lock:
            try:
                self._set("epoch", epoch)
            except sqlite3.Error as error:
                raise Retry(f"the spool can not be written: {error}") from error
            self._epoch = epoch

    def fill(self) -> Fill:
        """What lies here now; where the disk can not be read, what lies in memory."""
        with self._lock:
            try:
                batches, size = self._database.execute(
                    "SELECT count(*), coalesce(sum(length(message)), 0) FROM batches"
                    " WHERE acknowledged_at_ns IS NULL"
                ).fetchone()
            except sqlite3.Error:
                batches = size = 0
            size += sum(len(entry.message) for entry, _ in self._unwritten)
            return Fill(batches + len(self._unwritten), size, self._lost, self._disk_works)

    def close(self) -> None:
        """Give the folder back."""
        with self._lock:
            self._database.close()
            os.close(self._guard)

    def _open(self, file: Path) -> sqlite3.Connection:
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except (sqlite3.Error, Stop):
            self._database.close()
            os.close(self._guard)
            raise
        return self._database

    def _prepare(self) -> None:
        database = self._database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise Stop(
                f"the spool is of version {version}, this agent knows {SCHEMA_VERSION}: run the newer agent",
                EXIT_STORE,
            )
        if not version:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            self._set("epoch", str(uuid4()))
        epoch = self._get("epoch")
        if epoch is None:
            raise sqlite3.DatabaseError("it names no epoch")
        self._epoch = epoch
        self._next = int(self._get("next_sequence_number") or 1)
        self._last_sha256 = bytes.fromhex(self._get("last_sha256") or "")
        self._lost = int(self._get("lost_windows") or 0)

    def _write(self) -> None:
        """Write what is not on the disk yet; keep it in memory if that fails."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for entry, checkpoint in self._unwritten:
                self._database.execute(
                    "INSERT OR REPLACE INTO batches VALUES (?, ?, NULL, ?, ?)",
                    (
                        entry.sequence_number,
                        entry.appended_at_ns,
                        hashlib.sha256(entry.message).digest(),
                        entry.message,
                    ),
                )
                self._set("checkpoint", checkpoint)
            self._set("next_sequence_number", str(self._next))
            self._set("last_sha256", self._last_sha256.hex())
            self._set("lost_windows", str(self._lost))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            self._disk_works = False
            return
        self._unwritten.clear()
        self._disk_works = True

    def _enforce_bounds(self, now_ns: int) -> None:
        bounds = self._bounds
        while self._unwritten and (
            sum(len(entry.message) for entry, _ in self._unwritten) > bounds.waiting_bytes
            or now_ns - self._unwritten[0][0].appended_at_ns > bounds.waiting_ns
        ):
            del self._unwritten[0]
            self._lost += 1
        try:
            self._drop_waiting(now_ns)
            self._drop_acknowledged(now_ns)
        except sqlite3.Error:
            self._roll_back()  # a disk that fails drops nothing; what is in memory is bounded above

    def _drop_waiting(self, now_ns: int) -> None:
        (size,) = self._database.execute(
            "SELECT coalesce(sum(length(message)), 0) FROM batches WHERE acknowledged_at_ns IS NULL"
        ).fetchone()
        oldest = self._database.execute(
            "SELECT sequence_number, appended_at_ns, length(message) FROM batches"
            " WHERE acknowledged_at_ns IS NULL ORDER BY sequence_number"
        )
        out = []
        for number, appended_at_ns, length in oldest:
            if size <= self._bounds.waiting_bytes and now_ns - appended_at_ns <= self._bounds.waiting_ns:
                break
            out.append((number,))
            size -= length
        if not out:
            return
        # Gone and counted as gone in one step, so that no loss stays uncounted.
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("DELETE FROM batches WHERE sequence_number = ?", out)
        self._set("lost_windows", str(self._lost + len(out)))
        self._database.execute("COMMIT")
        self._lost += len(out)

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _drop_acknowledged(self, now_ns: int) -> None:
        self._database.execute(
            "DELETE FROM batches WHERE acknowledged_at_ns < ?", (now_ns - self._bounds.acknowledged_ns,)
        )
        self._database.execute(
            "DELETE FROM batches WHERE sequence_number IN (SELECT sequence_number FROM ("
            " SELECT sequence_number, sum(length(message)) OVER (ORDER BY sequence_number DESC) AS kept"
            " FROM batches WHERE acknowledged_at_ns IS NOT NULL) WHERE kept > ?)",
            (self._bounds.acknowledged_bytes,),
        )

    def _get(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


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
