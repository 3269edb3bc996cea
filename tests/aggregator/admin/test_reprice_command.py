"""`reprice` as an operator runs it, against a running server."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gpucost.cost_slice import CostSlice
from gpucost.facts import GpuFacts
from gpucost.window import to_rfc3339

from contracts.ledger_rows import EVERYTHING, GPU, MINUTE_NS, START_NS, a_batch, a_slice
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore

_SMALL = StoreOptions(256 << 20, 1, 0)
_BOOK = """
version: "2"
rules:
  - {name: lab, date: 2026-11-01, match: {gpu_model: "*H100*"}, gpu_usd_per_hour: "7.2"}
"""


def test_the_books_are_priced_anew_once(tmp_path: Path) -> None:
    data, book = tmp_path / "data", tmp_path / "book.yaml"
    book.write_text(_BOOK)
    store = DuckDBStore(data, _SMALL)
    board = GpuFacts(GPU.gpu_uuid, "NVIDIA H100", None)
    slices = [a_slice(window) for window in range(3)]
    # Prices of the annotation stay; these are of an older book.
    old = [_of_old_book(row) for row in slices]
    store.commit([a_batch(3, *old, gpus=(board,))])
    store.close()
    command = [sys.executable, "-m", "gpucost_aggregator"]
    environ = {"PYTHONPATH": ":".join(sys.path)}
    ports = ["--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", f"--data-dir={data}"]
    with subprocess.Popen([*command, *ports], stderr=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stderr is not None
        assert '"serving"' in server.stderr.readline()
        window = [f"--from={to_rfc3339(START_NS)}", f"--to={to_rfc3339(START_NS + 2 * MINUTE_NS)}"]
        asked = [*command, "reprice", f"--data-dir={data}", f"--price-book={book}", *window]

        def said(*more: str) -> str:
            run = subprocess.run([*asked, *more], capture_output=True, text=True, env=environ, check=False)
            assert run.returncode == 0, run.stderr
            return run.stdout

        try:
            change = "2 slices of 2 windows {} priced anew: +0.120000000 USD\n"
            assert said("--dry-run") == change.format("would be")
            assert said() == change.format("were")
            assert said() == "0 slices of 0 windows were priced anew: +0.000000000 USD\n"
        finally:
            server.terminate()
    store = DuckDBStore(data, _SMALL)
    try:
        (total,) = store.totals(EVERYTHING, [])
        assert total.sums.cost_nanodollars == 2 * 120_000_000 + 60_000_000
        assert len(store.adjustments(EVERYTHING, None, 10).adjustments) == 4
    finally:
        store.close()


def _of_old_book(row: CostSlice) -> CostSlice:
    cost = replace(row.cost, used_nanodollars=60_000_000, reserved_nanodollars=60_000_000)
    return replace(row, price=replace(row.price, source="book:old"), cost=cost)
