"""From a GPU to /api/v1/live, with both programs: a change of use is seen while its window is still open."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.agent_process import free_port
from contracts.node_stage import SECOND, Stage, wait_for

WINDOW_S = 3_600
BEGINS_S = 22
SCENARIO = f"""
name: awakes
window_seconds: {WINDOW_S}
clusters:
  - name: c
    nodes:
      - name: n
        gpus: [{{model: NVIDIA H100 80GB HBM3}}]
        pods:
          - name: sleeper
            namespace: research
            containers:
              - name: main
                gpus: [0]
                processes: [{{gpu: 0, start: {BEGINS_S}s, busy: {{pattern: constant, share: 0.8}}}}]
"""


@contextmanager
def an_aggregator(data: Path, grpc_port: int, http_port: int) -> Iterator[None]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    flags = (
        f"--data-dir={data}",
        f"--grpc-listen=127.0.0.1:{grpc_port}",
        f"--http-listen=127.0.0.1:{http_port}",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "gpucost_aggregator", "run", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ | {"PYTHONPATH": ":".join(sys.path)},
    ) as program:
        try:
            yield
        finally:
            program.terminate()
            program.wait(60)
    assert program.returncode == 0


def get(http_port: int, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}{path}", timeout=30) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


def test_a_gpu_that_begins_to_work_is_seen_before_its_window_ends(ports: tuple[int, int]) -> None:
    grpc_port, http_port = ports

    def used() -> float | None:
        rows = (get(http_port, "/api/v1/live?namespace=research") or {"rows": []})["rows"]
        return next((row["used_ratio"] for row in rows if row["pod"] == "sleeper"), None)

    flags = {"n": {"aggregator": f"127.0.0.1:{grpc_port}"}}
    with (
        tempfile.TemporaryDirectory(prefix="live-", dir="/tmp") as data,
        an_aggregator(Path(data), grpc_port, http_port),
        Stage(SCENARIO, flags, window_s=WINDOW_S) as stage,
    ):
        wait_for(lambda: get(http_port, "/api/v1/openapi.json"))
        stage.start_agents()
        wait_for(lambda: used() is not None)
        before = used()
        seen_idle_s = stage.seconds
        wait_for(lambda: (used() or 0.0) > 0.5)
        (row,) = [row for row in get(http_port, "/api/v1/live")["rows"] if row["holder_kind"] == "container"]
        assert (row["node"], row["container"], row["method"]) == ("n", "main", "gpm")
        assert row["reserved_ratio"] == 1.0
        assert 0.7 < row["used_ratio"] <= 1.0 or row["unmeasured_ratio"] > 0
        if seen_idle_s < BEGINS_S:
            assert before == 0.0
        closed = get(http_port, "/api/v1/slices?window=1h&limit=1000")
        begun_ns = stage.start_ns + BEGINS_S * SECOND
        assert not [each for each in closed["slices"] if int(each["window_start_ns"]) >= begun_ns]
        assert not any(int(each["used_ns"]) for each in closed["slices"])
        stage.stop_agents()
        wait_for(lambda: get(http_port, "/api/v1/live")["rows"] == [])
        assert get(http_port, "/api/v1/live")["nodes"]["heard"] == 0
