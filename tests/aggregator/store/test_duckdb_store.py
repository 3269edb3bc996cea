"""The embedded store: the contract, and what only a file on a disk can get wrong."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from gpucost.cost_slice import Cost
from gpucost.facts import WorkloadFacts
from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Retry, Stop

from contracts.cluster_contract import ClusterContract
from contracts.held_time_contract import HeldTimeContract
from contracts.ledger_rows import AGENT, EVERYTHING, MINUTE_NS, a_batch, a_slice
from contracts.lost_time_contract import LostTimeContract
from contracts.quarantine_contract import QuarantineContract
from contracts.store_contract import StoreContract
from gpucost_aggregator.store.duckdb_opening import FILE_NAME, StoreOptions, look_at_store
from gpucost_aggregator.store.duckdb_store import DuckDBStore

SMALL = StoreOptions(memory_limit_bytes=256 << 20, threads=1, reserve_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(tmp_path / "data", SMALL)
    yield store
    store.close()


class TestDuckDBStore(StoreContract, LostTimeContract, HeldTimeContract, ClusterContract, QuarantineContract):
    pass


def test_everything_is_there_after_opening_again(store: DuckDBStore, tmp_path: Path) -> None:
    store.commit(
        [a_batch(1, a_slice(), workloads=(WorkloadFacts("research", "train-0", "uid-0", 1, {"a": "b"}),))]
    )
    store.commit([a_batch(2, a_slice(used_ns=1))])
    before = (store.identity(), store.totals(EVERYTHING, []), store.progress(), store.workloads(EVERYTHING))
    store.close()
    again = DuckDBStore(tmp_path / "data", SMALL)
    assert (
        again.identity(),
        again.totals(EVERYTHING, []),
        again.progress(),
        again.workloads(EVERYTHING),
    ) == before
    assert again.conflicts() == 1
    # Numbers of label sets go on where they were.
    more = tuple(WorkloadFacts("research", "train-0", "uid-0", n, {"a": str(n)}) for n in (2, 3))
    again.commit([a_batch(3, workloads=more)])
    (facts,) = again.workloads(EVERYTHING).values()
    assert facts.labels == {"a": "3"}
    again.close()


def test_a_locked_store_says_who_holds_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gpucost_aggregator.store.duckdb_store import DuckDBStore;"
        f"store = DuckDBStore(Path({str(tmp_path)!r})); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        for opening in (DuckDBStore, look_at_store):
            with pytest.raises(Stop, match=rf"locked by process {other.pid} .*--data-dir") as stop:
                opening(tmp_path, SMALL)
            assert stop.value.exit_code == EXIT_STORE
        other.communicate()
    DuckDBStore(tmp_path, SMALL).close()


def test_a_newer_schema_is_left_alone(store: DuckDBStore, tmp_path: Path) -> None:
    store.close()
    path = tmp_path / "data" / FILE_NAME
    with duckdb.connect(str(path)) as file:
        file.execute("UPDATE store SET schema_version = 99")
    before = path.read_bytes()
    for opening in (DuckDBStore, look_at_store):
        with pytest.raises(Stop, match=r"version 99.*newer version") as stop:
            opening(tmp_path / "data", SMALL)
        assert stop.value.exit_code == EXIT_STORE
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", [None, "CREATE TABLE store (x INT)", "CREATE TABLE other (x INT)"])
def test_a_file_that_is_no_store(tmp_path: Path, table: str | None) -> None:
    path = tmp_path / FILE_NAME
    if table is None:
        path.write_bytes(b"something else\n" * 1_000)
    else:
        with duckdb.connect(str(path)) as file:
            file.execute(table)
    with pytest.raises(Stop, match="no store of gpucost") as stop:
        DuckDBStore(tmp_path, SMALL)
    assert stop.value.exit_code == EXIT_STORE


def test_an_empty_database_becomes_a_store(tmp_path: Path) -> None:
    # What a start leaves that was killed before its schema was through.
    duckdb.connect(str(tmp_path / FILE_NAME)).close()
    DuckDBStore(tmp_path, SMALL).close()


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for opening in (DuckDBStore, look_at_store):
        with pytest.raises(Stop, match="--data-dir") as stop:
            opening(tmp_path / "file" / "data", SMALL)
        assert stop.value.exit_code == EXIT_PERMISSION


def test_looking_changes_nothing(store: DuckDBStore, tmp_path: Path) -> None:
    assert look_at_store(tmp_path / "none" / "yet", SMALL).identity is None
    assert not (tmp_path / "none").exists()
    identity = store.identity()
    store.close()
    path = tmp_path / "data" / FILE_NAME
    before = path.read_bytes()
    assert look_at_store(tmp_path / "data", SMALL).identity == identity
    assert path.read_bytes() == before


def test_a_disk_without_its_reserve_takes_nothing(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path, replace(SMALL, reserve_bytes=1 << 60))
    with pytest.raises(Retry, match="make room"):
        store.commit([a_batch(1, a_slice())])
    assert store.durable(AGENT) is None
    store.close()


def test_a_commit_that_fails_leaves_nothing(store: DuckDBStore) -> None:
    pod = WorkloadFacts("research", "train-0", "uid-0", 1, {"a": "b"})
    too_much = replace(a_slice(1), cost=Cost((1 << 63) - 1, 1, 0, 0))
    with pytest.raises(duckdb.Error):
        store.commit([a_batch(1, a_slice(), too_much, workloads=(pod,))])
    assert store.totals(EVERYTHING, []) == []
    assert store.durable(AGENT) is None
    store.commit([a_batch(1, a_slice(), workloads=(pod,))])
    assert len(store.workloads(EVERYTHING)) == 1


def test_nobody_reaches_out_of_the_store(store: DuckDBStore, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for query in (
        f"FROM read_csv('{tmp_path}/secret.csv')",
        f"ATTACH '{tmp_path}/other.duckdb'",
        "SET memory_limit = '1TB'",
        "INSTALL httpfs",
        "FROM rows",
    ):
        rows = [1]
        with pytest.raises(duckdb.Error):
            store._ask(query, [])
        assert rows == [1]


def test_readers_see_whole_commits_while_one_writes(store: DuckDBStore) -> None:
    done = threading.Event()

    def read() -> list[int]:
        seen = []
        while not done.is_set():
            totals = store.totals(EVERYTHING, [])
            seen.append(totals[0].sums.charged_ns if totals else 0)
        return seen

    with ThreadPoolExecutor(3) as readers:
        reading = [readers.submit(read) for _ in range(3)]
        for number in range(30):
            store.commit([a_batch(number, a_slice(2 * number), a_slice(2 * number + 1))])
        done.set()
    for seen in (each.result() for each in reading):
        assert seen == sorted(seen)
        assert all(ns % (2 * MINUTE_NS) == 0 for ns in seen)
    (total,) = store.totals(EVERYTHING, [])
    assert total.sums.charged_ns == 60 * MINUTE_NS


def test_after_close_calls_are_errors(store: DuckDBStore) -> None:
    store.progress()
    store.close()
    with pytest.raises(duckdb.Error):
        store.progress()
    with pytest.raises(duckdb.Error):
        store.commit([a_batch(1, a_slice())])
