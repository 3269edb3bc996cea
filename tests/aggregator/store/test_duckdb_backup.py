"""Backup while batches are committed; restore; and what agents send again fills up to now, once."""

import json
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from gpucost.identity import NodeId
from gpucost.trouble import EXIT_SETTINGS, EXIT_STORE, Reject, Retry, Stop
from gpucost.units import NS_PER_SECOND

from contracts.ledger_rows import AGENT, EVERYTHING, MINUTE_NS, START_NS, a_batch, a_slice
from gpucost_aggregator.store.backup_rows import BackupOrder
from gpucost_aggregator.store.duckdb_backup import messages_of, restore_backup, statement_of
from gpucost_aggregator.store.duckdb_opening import BACKUPS, FILE_NAME, StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.message_shelf import FILE_NAME as MESSAGES
from gpucost_aggregator.store.quarantine_rows import QuarantineId, QuarantineScope
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Malformed, Refused

AGENTS = (AGENT, AgentId(NodeId("west", "node-9"), "epoch-7"))
NOW_NS = START_NS + 10_000 * MINUTE_NS
SMALL = StoreOptions(memory_limit_bytes=128 << 20)


def batch(agent: AgentId, number: int) -> AcceptedBatch:
    return a_batch(number, a_slice(number, node=agent.node), agent=agent)


def charged_ns(store: DuckDBStore, agent: AgentId) -> int:
    totals = store.totals(replace(EVERYTHING, clusters=(agent.node.cluster,)), [])
    return totals[0].sums.charged_ns if totals else 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(tmp_path / "data", SMALL)
    yield store
    store.close()


def test_a_backup_made_while_others_write_is_whole(store: DuckDBStore, tmp_path: Path) -> None:
    last = 120
    enough = threading.Event()

    def write() -> None:
        for number in range(1, last + 1):
            store.commit([batch(agent, number) for agent in AGENTS])
            if number == 20:
                enough.set()

    writing = threading.Thread(target=write)
    writing.start()
    assert enough.wait(60)
    target = tmp_path / "b.duckdb"
    backup = store.backup(BackupOrder(target, NOW_NS))
    writing.join()

    stated = json.loads(backup.statement.read_text())
    assert stated["store_id"] == store.identity().store_id
    numbers = {(each["node"], each["epoch"]): each["sequence_number"] for each in stated["watermarks"]}
    assert set(numbers) == {(agent.node.node, agent.epoch) for agent in AGENTS}
    restored = restore_backup(target, tmp_path / "again", SMALL, NOW_NS)
    again = DuckDBStore(tmp_path / "again", SMALL)
    assert again.identity() == restored.identity
    for agent in AGENTS:
        number = numbers[agent.node.node, agent.epoch]
        assert 20 <= number <= last
        durable = again.durable(agent)
        assert durable is not None
        assert durable.sequence_number == number
        assert charged_ns(again, agent) == number * MINUTE_NS
    # Agents see another generation and send again what they have: all of it, also what was durable before.
    for number in range(1, last + 1):
        again.commit([batch(agent, number) for agent in AGENTS])
    for agent in AGENTS:
        assert charged_ns(again, agent) == last * MINUTE_NS == charged_ns(store, agent)
    assert again.slices(EVERYTHING, None, 1_000).slices == store.slices(EVERYTHING, None, 1_000).slices
    again.close()


def test_everything_comes_back(store: DuckDBStore, tmp_path: Path) -> None:
    refused = (Refused(a_slice(3), "is from the future"),)
    store.commit([a_batch(1, a_slice(1), a_slice(2), refused=refused, malformed=Malformed(b"\x00", "no"))])
    store.commit([a_batch(2, replace(a_slice(1), policy_version="other"))])
    store.backup(BackupOrder(tmp_path / "b.duckdb", NOW_NS, {"access.json": b"{}\x00"}))
    restored = restore_backup(tmp_path / "b.duckdb", tmp_path / "again", SMALL, NOW_NS)
    assert restored.files == ("access.json",)
    kept = tmp_path / "again" / "access.json"
    assert kept.read_bytes() == b"{}\x00"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    again = DuckDBStore(tmp_path / "again", SMALL)
    assert again.slices(EVERYTHING, None, 9) == store.slices(EVERYTHING, None, 9)
    assert again.set_aside(QuarantineScope(), None, 9) == store.set_aside(QuarantineScope(), None, 9)
    assert again.quarantined(EVERYTHING) == store.quarantined(EVERYTHING)
    assert again.malformed_message(QuarantineId(True, 1)) == b"\x00"
    assert stat.S_IMODE((tmp_path / "again" / MESSAGES).stat().st_mode) == 0o600
    assert again.progress() == store.progress()
    assert again.conflicts() == store.conflicts() == 1
    again.commit([a_batch(3, refused=(Refused(a_slice(4), "x"),))])
    assert [str(each.id) for each in again.set_aside(QuarantineScope(), None, 9).entries] == [
        "s1",
        "b1",
        "s2",
    ]
    again.close()
    with duckdb.connect(str(tmp_path / "again" / FILE_NAME)) as file:
        assert ("companions",) not in file.execute("SELECT table_name FROM duckdb_tables()").fetchall()


def test_each_restore_has_a_generation_of_its_own(store: DuckDBStore, tmp_path: Path) -> None:
    store.commit([batch(AGENT, 1)])
    store.backup(BackupOrder(tmp_path / "b.duckdb", NOW_NS))
    first = restore_backup(tmp_path / "b.duckdb", tmp_path / "one", SMALL, NOW_NS)
    second = restore_backup(tmp_path / "b.duckdb", tmp_path / "two", SMALL, NOW_NS + NS_PER_SECOND)
    assert store.identity() == first.was == second.was
    generations = {store.identity().generation, first.identity.generation, second.identity.generation}
    assert len(generations) == 3
    assert first.identity.store_id == store.identity().store_id
    backwards = restore_backup(tmp_path / "b.duckdb", tmp_path / "three", SMALL, 0)
    assert backwards.identity.generation == store.identity().generation + 1


def test_a_backup_overwrites_nothing_and_leaves_nothing_behind(store: DuckDBStore, tmp_path: Path) -> None:
    target = tmp_path / "b.duckdb"
    target.write_bytes(b"mine")
    with pytest.raises(Reject, match="overwrites nothing"):
        store.backup(BackupOrder(target, NOW_NS))
    assert target.read_bytes() == b"mine"
    other = tmp_path / "c.duckdb"
    statement_of(other).write_text("mine")
    with pytest.raises(Reject, match="overwrites nothing"):
        store.backup(BackupOrder(other, NOW_NS))
    with pytest.raises(Reject, match="make it first"):
        store.backup(BackupOrder(tmp_path / "none" / "b.duckdb", NOW_NS))
    with pytest.raises(Reject, match="whole path"):
        store.backup(BackupOrder(Path("b.duckdb"), NOW_NS))
    leftover = tmp_path / "data" / BACKUPS / "1-1.duckdb"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"of a server that was killed")
    made = store.backup(BackupOrder(tmp_path / "it's.duckdb", NOW_NS))
    assert list(leftover.parent.iterdir()) == []
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.path.stat().st_size == made.size_bytes


def test_a_backup_needs_room(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "full", replace(SMALL, reserve_bytes=1 << 60))
    with pytest.raises(Retry, match="make room"):
        store.backup(BackupOrder(tmp_path / "b.duckdb", NOW_NS))
    assert not (tmp_path / "b.duckdb").exists()
    store.close()


def test_what_can_not_be_restored(store: DuckDBStore, tmp_path: Path) -> None:
    def refused(source: Path, folder: str, words: str, code: int) -> None:
        with pytest.raises(Stop, match=words) as trouble:
            restore_backup(source, tmp_path / folder, SMALL, NOW_NS)
        assert trouble.value.exit_code == code
        assert not list((tmp_path / folder).glob("*.restoring*"))

    store.commit([replace(batch(AGENT, 1), malformed=Malformed(b"\x00", "no"))])
    backup = store.backup(BackupOrder(tmp_path / "b.duckdb", NOW_NS))
    refused(tmp_path / "none", "new", "is no file", EXIT_SETTINGS)
    refused(backup.path, "data", "there is a store already", EXIT_STORE)
    content = bytearray(backup.path.read_bytes())
    content[len(content) // 2] ^= 1
    backup.path.write_bytes(content)
    refused(backup.path, "new", "is damaged", EXIT_STORE)
    content[len(content) // 2] ^= 1
    backup.path.write_bytes(content)
    messages = messages_of(backup.path)
    messages.rename(tmp_path / "elsewhere")
    refused(backup.path, "new", "belongs to the backup: copy it along", EXIT_SETTINGS)
    messages.write_bytes(b"something else")
    refused(backup.path, "new", "messages: is damaged", EXIT_STORE)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / MESSAGES).touch()
    refused(backup.path, "taken", "there is a store already", EXIT_STORE)
    backup.statement.write_text("{}")
    refused(backup.path, "new", "move it away", EXIT_SETTINGS)
    backup.statement.unlink()
    backup.path.write_bytes(b"something else entirely")
    refused(backup.path, "new", "no store of gpucost", EXIT_STORE)
    with duckdb.connect(str(tmp_path / "other.duckdb")) as file:
        file.execute("CREATE TABLE t (i INTEGER)")
    refused(tmp_path / "other.duckdb", "new", "no store of gpucost", EXIT_STORE)


def test_a_store_of_the_first_version_gets_numbers_for_what_waits(tmp_path: Path) -> None:
    schema = Path(duckdb_opening_folder()) / "schema.sql"
    with duckdb.connect(
        str(tmp_path / FILE_NAME), config={"storage_compatibility_version": "v1.5.0"}
    ) as file:
        file.execute(schema.read_text())
        file.execute("INSERT INTO store VALUES ('old', 1, 1)")
        for number in (1, 2):
            file.execute(
                "INSERT INTO malformed_batches (cluster, node, epoch, sequence_number, received_at_ns,"
                " refused_because, message) VALUES ('c', 'n', 'e', ?, ?, 'no', 'x'::BLOB)",
                [number, number],
            )
    store = DuckDBStore(tmp_path, SMALL)
    assert [str(each.id) for each in store.set_aside(QuarantineScope(), None, 9).entries] == ["b1", "b2"]
    store.commit([a_batch(3, malformed=Malformed(b"y", "no"))])
    assert [str(each.id) for each in store.set_aside(QuarantineScope(), None, 9).entries] == [
        "b1",
        "b2",
        "b3",
    ]
    assert [store.malformed_message(QuarantineId(True, number)) for number in (1, 2, 3)] == [b"x", b"x", b"y"]
    store.close()
    again = DuckDBStore(tmp_path, SMALL)
    assert again.identity().store_id == "old"
    again.close()


def duckdb_opening_folder() -> str:
    from gpucost_aggregator.store import duckdb_opening

    return str(Path(duckdb_opening.__file__).parent)
