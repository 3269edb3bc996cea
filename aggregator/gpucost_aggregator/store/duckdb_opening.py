"""Opening the embedded store's file: made once, never guessed, never taken over from somebody else."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import duckdb
from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Retry, Stop

from gpucost_aggregator.store.rows import StoreIdentity

SCHEMA_VERSION = 4
FILE_NAME = "ledger.duckdb"
BACKUPS = "backups"
"""The folder beside the file in which a backup is made before it goes where it was asked for."""

_SCHEMA = Path(__file__).with_name("schema.sql")
_ADDED = {version: Path(__file__).with_name(f"schema_{version}.sql") for version in (2, 3, 4)}
"""What each version adds to the one before it."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """
    What the store may take.

    *memory_limit_bytes* bounds the database's buffers; the process needs some 350 MiB beside them.
    *reserve_bytes* of the disk stay free: a database that meets a full disk is of no use until it is opened
    again.
    """

    memory_limit_bytes: int = 1 << 30
    threads: int = 2
    reserve_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class StoreState:
    """What a look at a store's file found; *identity* is None where there is no file yet."""

    path: Path
    identity: StoreIdentity | None
    schema_version: int


def open_store(folder: Path, options: StoreOptions) -> tuple[duckdb.DuckDBPyConnection, StoreIdentity]:
    """
    The store in *folder*, made where there is none, with its writing connection.

    Raises:
        Stop: The folder can not be written, or the file is locked, of a newer schema, or no store.
    """
    path = folder / FILE_NAME
    _nearest_folder(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as trouble:
        raise _no_folder(folder, str(trouble.strerror)) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _no_folder(folder, "this user may not write there")
    connection = _connect(path, options, read_only=False)
    try:
        state = _state(connection, path)
        if state.identity is None:
            _make(connection)
            state = _state(connection, path)
        elif state.schema_version < SCHEMA_VERSION:
            _upgrade(connection, state.schema_version)
    except BaseException:
        connection.close()
        raise
    if state.identity is None:
        raise _no_store(path)
    return connection, state.identity


def look_at_store(folder: Path, options: StoreOptions) -> StoreState:
    """
    What stands in *folder*, without changing any of it.

    Raises:
        Stop: As in `open_store`.
    """
    path = folder / FILE_NAME
    nearest = _nearest_folder(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _no_folder(folder, f"{nearest} is no folder that this user may write")
    if not path.exists():
        return StoreState(path, None, SCHEMA_VERSION)
    connection = _connect(path, options, read_only=True)
    try:
        return _state(connection, path)
    finally:
        connection.close()


def open_file(path: Path, options: StoreOptions) -> tuple[duckdb.DuckDBPyConnection, StoreState]:
    """
    The store in the one file *path*, as it is, to be written; nothing is made and nothing upgraded.

    Raises:
        Stop: As in `open_store`.
    """
    connection = _connect(path, options, read_only=False)
    try:
        return connection, _state(connection, path)
    except BaseException:
        connection.close()
        raise


@contextmanager
def database_trouble(path: Path) -> Iterator[None]:
    """
    What the database raises, told apart by what to do about it.

    Raises:
        Retry: It was short of disk, memory or a lock; the transaction left nothing behind.
        Stop: It can not be used any more in this process.
    """
    try:
        yield
    except duckdb.FatalException as trouble:
        raise Stop(
            f"{path}: the database gave up ({_line(trouble)}): see that its disk has room, then start again; "
            "what was acknowledged is safe",
            EXIT_STORE,
        ) from trouble
    except (
        duckdb.IOException,
        duckdb.OutOfMemoryException,
        duckdb.TransactionException,
        duckdb.InterruptException,
    ) as trouble:
        raise Retry(f"{path}: {_line(trouble)}") from trouble


def _nearest_folder(folder: Path) -> Path:
    """*folder*, or where it would be made."""
    try:
        nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    except OSError as trouble:
        raise _no_folder(folder, str(trouble.strerror)) from None
    if not nearest.is_dir():
        place = "is a file" if nearest == folder else f"{nearest} is a file"
        raise Stop(f"--data-dir {folder}: {place}: give a folder", EXIT_PERMISSION)
    return nearest


def _connect(path: Path, options: StoreOptions, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{options.memory_limit_bytes}B",
        "threads": options.threads,
        "temp_directory": str(path.with_name("spill")),
        "max_temp_directory_size": f"{4 * options.memory_limit_bytes}B",
        "storage_compatibility_version": "v1.5.0",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.IOException as trouble:
        raise _why_not(path, str(trouble)) from None
    except duckdb.Error as trouble:
        raise Stop(
            f"{path}: this database can not be opened ({_line(trouble)}): restore it from a backup, "
            "or move it away to begin an empty one",
            EXIT_STORE,
        ) from None
    # A backup is written by this process, as no other can open the file; nothing else is within its reach.
    backups = str(path.with_name(BACKUPS).absolute()).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{backups}']")
    # In this order, and after the rest: each of the two forbids some of what stands above it.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _why_not(path: Path, said: str) -> Stop:
    if "lock" in said.lower():
        holder = re.search(r"held in (\S+) \(PID (\d+)\)", said)
        by = f"process {holder[2]} ({holder[1]})" if holder else "another process"
        return Stop(
            f"{path}: locked by {by}: one aggregator writes a store; stop the other, "
            "or give this one its own --data-dir",
            EXIT_STORE,
        )
    if "not a valid DuckDB" in said:
        return _no_store(path)
    if "permission denied" in said.lower():
        return Stop(
            f"{path}: may not be opened: let the user of this process read and write it", EXIT_PERMISSION
        )
    if "version number" in said:
        return Stop(
            f"{path}: its storage format is none that this version reads ({said.splitlines()[0]}): "
            "start the newer version that wrote it",
            EXIT_STORE,
        )
    return Stop(
        f"{path}: can not be opened ({said.splitlines()[0]}): see to the disk under --data-dir", EXIT_STORE
    )


def _state(connection: duckdb.DuckDBPyConnection, path: Path) -> StoreState:
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        return StoreState(path, None, SCHEMA_VERSION)
    if "store" not in tables:
        raise _no_store(path)
    try:
        rows = connection.execute("SELECT store_id, generation, schema_version FROM store").fetchall()
    except duckdb.BinderException:
        raise _no_store(path) from None
    if len(rows) != 1:
        raise _no_store(path)
    store_id, generation, version = rows[0]
    if version > SCHEMA_VERSION:
        raise Stop(
            f"{path}: its schema is version {version}, and this program knows {SCHEMA_VERSION}: "
            "start the newer version that wrote it, or restore a backup from before the upgrade",
            EXIT_STORE,
        )
    return StoreState(path, StoreIdentity(store_id, generation), version)


def _make(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    connection.execute(_SCHEMA.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO store VALUES (?, 1, 1)", [uuid4().hex])
    connection.execute("COMMIT")
    _upgrade(connection, 1)


def _upgrade(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """From *version* to this program's, each step in a transaction of its own."""
    for step in range(version + 1, SCHEMA_VERSION + 1):
        connection.execute("BEGIN")
        connection.execute(_ADDED[step].read_text(encoding="utf-8"))
        connection.execute("UPDATE store SET schema_version = ?", [step])
        connection.execute("COMMIT")


def _no_store(path: Path) -> Stop:
    return Stop(
        f"{path}: this file is no store of gpucost: give another --data-dir, or move the file away",
        EXIT_STORE,
    )


def _no_folder(folder: Path, why: str) -> Stop:
    return Stop(
        f"--data-dir {folder}: {why}: make the folder and let the user of this process write it",
        EXIT_PERMISSION,
    )


def _line(trouble: Exception) -> str:
    return str(trouble).splitlines()[0]
