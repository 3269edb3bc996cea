"""
Backup and restore of the embedded store.

A backup is one statement of the database over one snapshot, so batches are committed while it is made.
It is made in a folder beside the store, the only place that the locked configuration lets the database write,
and then goes where it was asked for.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import duckdb
from gpucost.identity import NodeId
from gpucost.trouble import EXIT_PERMISSION, EXIT_SETTINGS, EXIT_STORE, Reject, Retry, Stop
from gpucost.units import NS_PER_SECOND
from gpucost.window import to_rfc3339

from gpucost_aggregator.store.backup_rows import Backup, BackupOrder, Restored
from gpucost_aggregator.store.duckdb_opening import (
    BACKUPS,
    FILE_NAME,
    SCHEMA_VERSION,
    StoreOptions,
    database_trouble,
    open_file,
)
from gpucost_aggregator.store.message_shelf import FILE_NAME as MESSAGES
from gpucost_aggregator.store.message_shelf import MessageShelf
from gpucost_aggregator.store.rows import AgentId, StoreIdentity

_COPY = "backup_copy"
_CHUNK = 1 << 20


def make_backup(
    cursor: duckdb.DuckDBPyConnection,
    shelf: MessageShelf,
    folder: Path,
    order: BackupOrder,
    options: StoreOptions,
) -> Backup:
    """
    Copy the store of *cursor*, whose file is in *folder*, to where *order* says, with its watermarks beside it, and
    the *shelf* where it has anything.

    Raises:
        Reject: A file is there already, or it is no place for one.
        Retry: There is no room for it.
    """
    target, at_ns, statement = order.target, order.at_ns, statement_of(order.target)
    _check_target(target, statement)
    made = folder / BACKUPS / f"{os.getpid()}-{at_ns}.duckdb"
    _make_room(folder, options)
    try:
        with database_trouble(folder / FILE_NAME):
            identity, watermarks = _copy(cursor, made, order.companions)
        messages = made.with_name(f"{made.name}.messages")
        # After the batches, so that whatever they name is there.
        has_messages = shelf.copy_to(messages)
        made.chmod(0o600)
        backup = Backup(target, statement, identity, at_ns, made.stat().st_size, _sha256(made), watermarks)
        if has_messages:
            messages.chmod(0o600)
            backup = replace(backup, messages=messages_of(target), messages_sha256=_sha256(messages))
            _put(messages, messages_of(target))
        try:
            _put(made, target)
        except (Reject, Retry):
            # What would be left of a backup that was not made is in the way of the next one.
            if has_messages:
                messages_of(target).unlink(missing_ok=True)
            raise
        _write_new(statement, _stated(backup).encode())
    finally:
        for rest in made.parent.glob(f"{made.name}*"):
            rest.unlink(missing_ok=True)
    return backup


def restore_backup(source: Path, folder: Path, options: StoreOptions, now_ns: int) -> Restored:
    """
    Make the store of *folder* from the backup *source*, with a generation that agents have not seen.

    Raises:
        Stop: There is a store already, *source* is no whole backup, or it can not be written.
    """
    target = folder / FILE_NAME
    _check_source(source, target)
    partial, messages = folder / f"{FILE_NAME}.restoring", folder / f"{MESSAGES}.restoring"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        _copy_file(source, partial)
        was, identity, watermarks, companions = _renew(partial, options, now_ns)
        for name, content in companions.items():
            with suppress(FileExistsError):
                _write_new(folder / name, content)
        if messages_of(source).exists():
            messages.unlink(missing_ok=True)
            _copy_file(messages_of(source), messages)
            messages.rename(folder / MESSAGES)
        partial.rename(target)
        _sync(folder)
    except OSError as trouble:
        raise Stop(
            f"--data-dir {folder}: {trouble.strerror}: give a folder that this user may write, with room for it",
            EXIT_PERMISSION,
        ) from None
    finally:
        for rest in (partial, partial.with_name(f"{partial.name}.wal"), messages):
            with suppress(OSError):
                rest.unlink(missing_ok=True)
    return Restored(identity, was, watermarks, tuple(sorted(companions)))


def statement_of(target: Path) -> Path:
    """Where the watermarks of the backup *target* stand."""
    return target.with_name(f"{target.name}.json")


def messages_of(target: Path) -> Path:
    """Where the messages of malformed batches stand that belong to the backup *target*."""
    return target.with_name(f"{target.name}.messages")


def _check_target(target: Path, statement: Path) -> None:
    if not target.is_absolute():
        raise Reject(f"{target}: give the whole path, as the server runs in another folder")
    for each in (target, statement, messages_of(target)):
        if os.path.lexists(each):
            raise Reject(f"{each}: is there already, and a backup overwrites nothing: give another path")
    if not target.parent.is_dir():
        raise Reject(f"{target.parent}: is no folder: make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise Reject(f"{target.parent}: the user of the aggregator may not write there: give another path")


def _make_room(folder: Path, options: StoreOptions) -> None:
    made_in = folder / BACKUPS
    made_in.mkdir(mode=0o700, exist_ok=True)
    for rest in made_in.iterdir():
        rest.unlink()  # Of a server that was killed while it made one.
    needed = sum(
        (folder / name).stat().st_size
        for name in (FILE_NAME, f"{FILE_NAME}.wal", MESSAGES)
        if (folder / name).exists()
    )
    free = shutil.disk_usage(folder).free
    if free < needed + options.reserve_bytes:
        raise Retry(
            f"{folder}: a backup needs up to {needed >> 20} MiB there while it is made, beside a reserve of "
            f"{options.reserve_bytes >> 20} MiB, and {free >> 20} MiB are free: make room"
        )


def _copy(
    cursor: duckdb.DuckDBPyConnection, made: Path, companions: Mapping[str, bytes]
) -> tuple[StoreIdentity, tuple[tuple[AgentId, int], ...]]:
    ((source,),) = cursor.execute("SELECT current_database()").fetchall()
    place = str(made.absolute()).replace("'", "''")
    cursor.execute(f"ATTACH '{place}' AS {_COPY} (STORAGE_VERSION 'v1.5.0')")
    try:
        with _transaction(cursor):
            cursor.execute(f'COPY FROM DATABASE "{source}" TO {_COPY}')
            cursor.execute(f"CREATE TABLE {_COPY}.companions (name VARCHAR NOT NULL, content BLOB NOT NULL)")
            for name, content in companions.items():
                cursor.execute(f"INSERT INTO {_COPY}.companions VALUES (?, ?)", [name, content])
        cursor.execute(f"CHECKPOINT {_COPY}")
        return _identity(cursor, f"{_COPY}."), _watermarks(cursor, f"{_COPY}.")
    finally:
        cursor.execute(f"DETACH {_COPY}")


@contextmanager
def _transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    cursor.execute("BEGIN")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        raise


def _identity(cursor: duckdb.DuckDBPyConnection, of: str = "") -> StoreIdentity:
    ((store_id, generation),) = cursor.execute(f"SELECT store_id, generation FROM {of}store").fetchall()
    return StoreIdentity(store_id, generation)


def _watermarks(cursor: duckdb.DuckDBPyConnection, of: str = "") -> tuple[tuple[AgentId, int], ...]:
    rows = cursor.execute(
        f"SELECT cluster, node, epoch, sequence_number FROM {of}agents ORDER BY cluster, node, epoch"
    ).fetchall()
    return tuple((AgentId(NodeId(cluster, node), epoch), number) for cluster, node, epoch, number in rows)


def _stated(backup: Backup) -> str:
    said = {
        "store_id": backup.identity.store_id,
        "generation": backup.identity.generation,
        "schema_version": SCHEMA_VERSION,
        "made_at": to_rfc3339(backup.made_at_ns),
        "bytes": backup.size_bytes,
        "sha256": backup.sha256,
        "messages_sha256": backup.messages_sha256,
        "watermarks": [
            {
                "cluster": agent.node.cluster,
                "node": agent.node.node,
                "epoch": agent.epoch,
                "sequence_number": number,
            }
            for agent, number in backup.watermarks
        ],
    }
    return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def _put(made: Path, target: Path) -> None:
    """To where it was asked for, never over what somebody put there meanwhile."""
    try:
        os.link(made, target)
    except FileExistsError:
        raise Reject(
            f"{target}: is there already, and a backup overwrites nothing: give another path"
        ) from None
    except OSError:
        # Another disk, or one without links.
        try:
            _copy_file(made, target)
        except OSError as trouble:
            if trouble.errno != errno.EEXIST:
                target.unlink(missing_ok=True)
            raise Retry(
                f"{target}: can not be written ({trouble.strerror}): make room, or give another path"
            ) from None
    _sync(target)
    _sync(target.parent)


def _check_source(source: Path, target: Path) -> None:
    for there in (target, target.with_name(f"{target.name}.wal"), target.with_name(MESSAGES)):
        if os.path.lexists(there):
            raise Stop(
                f"{there}: there is a store already: give an empty --data-dir, or move it away", EXIT_STORE
            )
    if not source.is_file():
        raise Stop(f"{source}: is no file: give a backup that `backup` made", EXIT_SETTINGS)
    try:
        stated = json.loads(statement_of(source).read_text(encoding="utf-8"))
        expected = {source: stated["sha256"]}
        if stated.get("messages_sha256") is not None:
            expected[messages_of(source)] = stated["messages_sha256"]
    except FileNotFoundError:
        return  # The watermarks stand inside as well; only damage is then not seen.
    except (OSError, ValueError, KeyError, TypeError):
        raise Stop(
            f"{statement_of(source)}: can not be read: move it away to restore without it", EXIT_SETTINGS
        ) from None
    for file, sha256 in expected.items():
        _check_whole(file, sha256, statement_of(source))


def _check_whole(file: Path, expected: str, statement: Path) -> None:
    try:
        found = _sha256(file)
    except FileNotFoundError:
        raise Stop(f"{file}: is not there, and belongs to the backup: copy it along", EXIT_SETTINGS) from None
    except OSError as trouble:
        raise Stop(f"{file}: can not be read: {trouble.strerror}", EXIT_PERMISSION) from None
    if found != expected:
        raise Stop(
            f"{file}: is damaged: its SHA-256 is {found}, and {statement.name} states {expected}: "
            "take another backup",
            EXIT_STORE,
        )


def _renew(
    partial: Path, options: StoreOptions, now_ns: int
) -> tuple[StoreIdentity, StoreIdentity, tuple[tuple[AgentId, int], ...], dict[str, bytes]]:
    connection, state = open_file(partial, options)
    try:
        if state.identity is None:
            raise Stop(f"{partial}: is an empty database and no backup", EXIT_STORE)
        was = state.identity
        # One backup may be restored more than once, and each time agents have to see that it was.
        generation = max(was.generation + 1, now_ns // NS_PER_SECOND)
        with _transaction(connection):
            connection.execute("UPDATE store SET generation = ?", [generation])
            connection.execute("CREATE TABLE IF NOT EXISTS companions (name VARCHAR, content BLOB)")
            companions = dict(connection.execute("SELECT name, content FROM companions").fetchall())
            connection.execute("DROP TABLE companions")
        connection.execute("CHECKPOINT")
        return was, StoreIdentity(was.store_id, generation), _watermarks(connection), companions
    finally:
        connection.close()


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, _new_file(target) as writing:
        shutil.copyfileobj(reading, writing, _CHUNK)
        writing.flush()
        os.fsync(writing.fileno())


def _write_new(target: Path, content: bytes) -> None:
    with _new_file(target) as writing:
        writing.write(content)
        writing.flush()
        os.fsync(writing.fileno())


def _new_file(target: Path) -> BinaryIO:
    """For its owner alone; raises FileExistsError where there is one."""
    return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sha256(path: Path) -> str:
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
