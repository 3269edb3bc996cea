"""The watcher and the aggregator as processes: what the cluster says is kept, and a node that goes is known."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gpucost.identity import NodeId

from contracts.agent_process import free_port
from contracts.aggregator_by_hand import until
from contracts.kube_stage import Cluster, a_namespace
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.end()


@contextmanager
def running(module: str, *arguments: str) -> Iterator[list[str]]:
    """A program; what it logs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environ | {"PYTHONPATH": ":".join(sys.path)},
    ) as program:
        lines: list[str] = []
        assert program.stderr is not None
        reading = threading.Thread(target=lines.extend, args=(program.stderr,))
        reading.start()
        try:
            yield lines
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
            reading.join()
    assert program.returncode == 0, "".join(lines)


def test_the_cluster_is_known_to_the_aggregator(cluster: Cluster, tmp_path: Path) -> None:
    port, http = free_port(), free_port()
    serve = (f"--data-dir={tmp_path}", f"--grpc-listen=127.0.0.1:{port}", f"--http-listen=127.0.0.1:{http}")
    watch = (
        "watch",
        "--cluster=east",
        f"--aggregator=127.0.0.1:{port}",
        f"--kube-api={cluster.api.url}",
        "--metrics-listen=127.0.0.1:0",
    )
    with running("gpucost_aggregator", *serve) as logged:
        until(lambda: any('"serving"' in line for line in logged))
        with running("gpucost_agent", *watch):
            until(lambda: kept(http) >= 1)
            cluster.remove("nodes", "", "node-3")
            until(lambda: kept(http) >= 2)
            cluster.put("namespaces", a_namespace("chat", team="b"))
            until(lambda: kept(http) >= 3)
    store = DuckDBStore(tmp_path, StoreOptions(256 << 20, 1, 0))
    try:
        deleted = {node.node: facts.deleted for node, facts in store.nodes().items()}
        assert deleted == {f"node-{index}": index == 3 for index in range(5)}
        assert store.nodes()[NodeId("east", "node-0")].uid == "uid-node-0"
        assert store.namespace_facts()["east", "chat"].labels == {"team": "b"}
        (waiting,) = store.waiting_pods()["east"]
        assert (waiting.pod, waiting.requests) == ("waits", {"nvidia.com/gpu": 1})
        assert list(store.watched_clusters()) == ["east"]
    finally:
        store.close()


def kept(http: int) -> int:
    """How many messages of watchers the aggregator kept."""
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics") as answer:
        (line,) = [
            line
            for line in answer.read().decode().splitlines()
            if line.startswith("gpucost_cluster_facts_total ")
        ]
    return int(float(line.split()[1]))
