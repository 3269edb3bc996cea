"""
The spool where an agent begins and its disk can not be written: a copy in memory, and the way back to the disk.

A disk that fails later is the spool's own affair; one that fails now may still tell what waits on it.
"""

import errno
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

_FAILS = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""What a disk says that may be well again without a person's doing; a user who may not write is not among it."""

_FAILS_IN_SQLITE = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)
_BATCHES = "sequence_number, appended_at_ns, acknowledged_at_ns, sha256, message"


def disk_fails(error: OSError | sqlite3.Error, file: Path) -> bool:
    """Whether *error* is the disk's below *file*, and not that of who set the folder up."""
    if isinstance(error, OSError):
        return error.errno in _FAILS
    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _FAILS_IN_SQLITE:
        return False
    # SQLite says the same of a disk that is read-only and of a file that belongs to another.
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as trouble:
        return trouble.errno in _FAILS
    return True


def copy_waiting(file: Path, memory: sqlite3.Connection, most_bytes: int) -> None:
    """
    What waits in the spool *file* into *memory*, a new one; nothing where there is none.

    The newest *most_bytes* are copied; what is older is lost and counted, as in a spool that is full.

    Raises:
        sqlite3.Error: It can not be read, or can not be understood.
    """
    if not file.exists() or not file.stat().st_size:
        return
    with closing(_reading(file)) as disk:
        (version,) = disk.execute("PRAGMA user_version").fetchone()
        whole_sha256 = "whole_sha256" if version > 1 else "NULL"
        left_out = (_left_out(disk, most_bytes),)
        rows = disk.execute(
            f"SELECT {_BATCHES}, {whole_sha256} FROM batches"  # noqa: S608  # names of ours
            " WHERE acknowledged_at_ns IS NULL AND sequence_number > ?",
            left_out,
        )
        memory.executemany("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", rows)
        facts = dict(disk.execute("SELECT name, value FROM facts").fetchall())
        # One that was abridged was counted then.
        (lost,) = disk.execute(
            f"SELECT count(*) FILTER (WHERE {whole_sha256} IS NULL) FROM batches"  # noqa: S608  # names of ours
            " WHERE acknowledged_at_ns IS NULL AND sequence_number <= ?",
            left_out,
        ).fetchone()
        facts["lost_windows"] = str(int(facts.get("lost_windows") or 0) + lost)
        memory.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())


def _left_out(disk: sqlite3.Connection, most_bytes: int) -> int:
    """The last number for which there is no room; 0 where there is for all."""
    (number,) = disk.execute(
        "SELECT coalesce(max(sequence_number), 0) FROM ("
        " SELECT sequence_number, sum(length(message)) OVER (ORDER BY sequence_number DESC) AS size"
        " FROM batches WHERE acknowledged_at_ns IS NULL) WHERE size > ?",
        (most_bytes,),
    ).fetchone()
    return int(number)


def write_back(memory: sqlite3.Connection, disk: sqlite3.Connection) -> None:
    """What *memory* has, instead of what waited on the *disk* when it was copied. Raises sqlite3.Error."""
    with closing(disk.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            cursor.execute("DELETE FROM batches WHERE acknowledged_at_ns IS NULL")
            cursor.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", memory.execute("SELECT * FROM facts")
            )
            rows = memory.execute(f"SELECT {_BATCHES}, whole_sha256 FROM batches")  # noqa: S608  # names of ours
            cursor.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)", rows)
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                cursor.execute("ROLLBACK")
            raise


def _reading(file: Path) -> sqlite3.Connection:
    """The file, without a write; where SQLite needs one to read what lies beside it, without that."""
    uri = f"file:{quote(str(file))}"
    beside = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
    try:
        beside.execute("SELECT count(*) FROM facts").fetchone()
    except sqlite3.OperationalError:
        beside.close()
        return sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
    return beside
