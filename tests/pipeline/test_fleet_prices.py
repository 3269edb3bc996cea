"""The fleet's price book from a file to the bill, with both programs: set, changed, offline, own, cleared."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gpucost.cost_slice import CostSlice
from gpucost.window import window_of
from gpucost.wire import BatchContent

from contracts.agent_process import AgentHome, free_port, simulated_driver, stop
from contracts.ledger_rows import EVERYTHING
from contracts.node_stage import SECOND, Program, wait_for
from contracts.price_books import a_book
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore

WINDOW_S = 5
PRICES = {"v1": "4.2", "v2": "5.5", "own": "1.25"}


class Fleet:
    """An aggregator that comes and goes, and the one agent that it has."""

    def __init__(self, folder: Path, mapping: Path) -> None:
        self.folder, self.mapping = folder, mapping
        self.ports = free_port(), free_port()
        self.data = folder / "data"
        flags = (
            f"--data-dir={self.data}",
            f"--grpc-listen=127.0.0.1:{self.ports[0]}",
            f"--http-listen=127.0.0.1:{self.ports[1]}",
        )
        environ = {"PYTHONPATH": ":".join(sys.path)}
        self.aggregator = Program(folder / "aggregator.log", ["gpucost_aggregator", "run", *flags], environ)
        self.home = self._home()
        for version, usd in PRICES.items():
            self.file(version).write_bytes(a_book(version, usd))

    def file(self, version: str) -> Path:
        return self.folder / f"{version}.yaml"

    def start_aggregator(self) -> None:
        self.aggregator.start()
        wait_for(lambda: self.prices("show")[0] == 0)

    def prices(self, *words: str) -> tuple[int, str]:
        """`gpucost-aggregator prices`: exit code, and what it said."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
        run = subprocess.run(
            [sys.executable, "-m", "gpucost_aggregator", "prices", *words, f"--data-dir={self.data}"],
            capture_output=True, text=True, check=False, env=environ | {"PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        return run.returncode, run.stdout + run.stderr

    @contextmanager
    def agent(self, **flags: str) -> Iterator[subprocess.Popen[str]]:
        self.home = self._home(**flags)
        with self.home.start() as agent:
            try:
                yield agent
            finally:
                agent.kill()

    def goes_by(self, source: str, version: str) -> None:
        """Wait until the agent says so."""
        line = f'gpucost_price_book_info{{source="{source}",version="{version}"}} 1.0'
        wait_for(lambda: line in self.home.get("/metrics"))

    def bills_by(self, version: str) -> None:
        """Wait until one more window was closed, and the last one is priced by that book and says so."""
        known = len(self.home.batches())
        wait_for(
            lambda: len(self.home.batches()) > known and self.home.batches()[-1].price_book_version == version
        )

    def kept(self) -> list[CostSlice]:
        """All that the aggregator keeps; it has to be away."""
        store = DuckDBStore(self.data, StoreOptions(256 << 20, 1, 0))
        try:
            return list(store.slices(EVERYTHING, None, 10_000).slices)
        finally:
            store.close()

    def _home(self, **flags: str) -> AgentHome:
        given = {"window-seconds": f"{WINDOW_S}", "aggregator": f"127.0.0.1:{self.ports[0]}"}
        more = {name.replace("_", "-"): value for name, value in flags.items()}
        return AgentHome(self.folder, self.mapping, {**given, **more})


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with simulated_driver(tmp_path / "driver") as mapping:
        fleet = Fleet(tmp_path, mapping)
        yield fleet
        fleet.aggregator.kill()


def test_the_fleets_book_from_a_file_to_the_bill(fleet: Fleet) -> None:
    fleet.start_aggregator()
    with fleet.agent() as agent:
        fleet.goes_by("none", "")
        code, said = fleet.prices("set", str(fleet.file("v1")))
        assert code == 0, said
        fleet.goes_by("aggregator", "v1")
        fleet.bills_by("v1")

        bad = fleet.folder / "bad.yaml"
        bad.write_bytes(a_book("v2", "5,5"))
        code, said = fleet.prices("set", str(bad))
        assert (code, f"{bad}:3:" in said, "nothing was changed" in said) == (2, True, True), said
        fleet.goes_by("aggregator", "v1")

        assert fleet.prices("set", str(fleet.file("v2")))[0] == 0
        fleet.goes_by("aggregator", "v2")
        fleet.bills_by("v2")
        assert fleet.aggregator.stop() == 0
        agent.kill()

    with fleet.agent() as agent:
        # Nobody is there to ask; the window in which the agent was killed is finished by the book of its beginning.
        fleet.goes_by("aggregator", "v2")
        fleet.bills_by("v2")
        code, log = stop(agent)
        assert (code, "stream_connected" in log) == (0, False), log

    fleet.start_aggregator()
    with fleet.agent(price_book=str(fleet.file("own"))) as agent:
        fleet.goes_by("file", "own")
        fleet.bills_by("own")
        wait_for(lambda: "c/n goes by version own" in fleet.prices("show")[1])
        code, log = stop(agent)
        assert code == 0, log
        assert log.count('"price_book_passed_over"') == 1

    with fleet.agent() as agent:
        fleet.goes_by("aggregator", "v2")
        assert fleet.prices("clear")[0] == 0
        fleet.goes_by("none", "")
        fleet.bills_by("")
        code, log = stop(agent)
        assert (code, "price_book_taken" in log) == (0, True), log

    assert fleet.aggregator.stop() == 0
    _see_bill(fleet)
    lines = [line for line in fleet.aggregator.said().splitlines() if line.startswith("{")]
    told = [json.loads(line)["event"] for line in lines]
    assert [event for event in told if event.startswith("prices_")] == ["prices_set"] * 2 + ["prices_cleared"]
    assert "Traceback" not in fleet.aggregator.said()


def _see_bill(fleet: Fleet) -> None:
    """The aggregator keeps all that the agent said, at the prices of the books that it named."""
    batches = fleet.home.batches()
    assert {batch.price_book_version for batch in batches} == {"", *PRICES}
    by_start = {row.key.window_start_ns: batch for batch in batches for row in batch.slices}
    kept = fleet.kept()
    assert {row.key.window_start_ns for row in kept} == set(by_start)
    for row in kept:
        version = by_start[row.key.window_start_ns].price_book_version
        if version:
            nanodollars = round(float(PRICES[version]) * 10**9)
            assert (row.price.source, row.price.nanodollars_per_hour) == ("book:r0", nanodollars)
        else:
            assert not row.price.source.startswith("book:")
    _no_window_has_two_books(batches)


def _no_window_has_two_books(batches: list[BatchContent]) -> None:
    """Of the fleet: a file that is given at a start holds at once, in the middle of a window too."""
    named: dict[int, set[str]] = defaultdict(set)
    for batch in batches:
        named[window_of(batch.window.window_start_ns, WINDOW_S * SECOND).start_ns].add(
            batch.price_book_version
        )
    assert [versions for versions in named.values() if len(versions - {"own"}) > 1] == []
