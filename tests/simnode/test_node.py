"""The program as it is run: one process that plays a cluster, and its faults."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simnode import node

HACK = Path(node.__file__).resolve().parents[1]
SCENARIO = HACK / "scenarios" / "demo.yaml"
PATIENCE_SECONDS = 30


WITH_EXPORTER = """
name: watched
clusters:
  - name: prod-us
    nodes:
      - name: us-gpu-0
        dcgm: {interval: 1s}
        gpus: [{model: NVIDIA H100 80GB HBM3}]
        pods:
          - name: works
            namespace: a
            containers: [{name: main, gpus: [0], processes: [{gpu: 0, busy: {pattern: constant, share: 0.6}}]}]
"""


class Running:
    """A sub-command of simnode; by default the cluster prod-us."""

    def __init__(self, state: Path, *more: str, scenario: Path = SCENARIO, what: str = "node") -> None:
        arguments = [
            "--scenario",
            str(scenario),
            "--start",
            str(time.time_ns()),
            "--state",
            str(state),
            *more,
        ]
        if what == "node":
            arguments += ["--cluster", "prod-us"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simnode", what, *arguments],
            env={**os.environ, "PYTHONPATH": str(HACK)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        word, _, text = self.process.stdout.readline().partition(" ")
        assert word == "ready"
        self.ready: dict[str, Any] = json.loads(text)

    def command(self, **command: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.ready["control"])
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        return answer

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="simnode-") as folder:
        yield Path(folder)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plays_takes_faults_and_ends_cleanly(state: Path) -> None:
    running = Running(state)
    try:
        place = running.ready["nodes"]["us-gpu-0"]
        kubelet = Path(place["kubelet"])
        assert kubelet.is_socket()
        assert (Path(place["proc"]) / "sys/kernel/random/boot_id").is_file()
        assert (Path(place["host"]) / "var/log/pods").is_dir()

        assert running.command(do="kubelet_stop", node="us-gpu-0") == {"ok": True}
        assert not kubelet.exists()
        assert running.command(do="kubelet_start", node="us-gpu-0") == {"ok": True}
        inode = kubelet.stat().st_ino
        running.process.send_signal(signal.SIGUSR1)
        eventually(lambda: not kubelet.exists())
        running.process.send_signal(signal.SIGUSR1)
        eventually(kubelet.exists)
        assert kubelet.stat().st_ino != inode

        for command in ("api_gone_410", "api_stop", "api_start"):
            assert running.command(do=command) == {"ok": True}
        assert running.command(do="kubelet_stop", node="nobody") == {
            "ok": False,
            "error": "there is no node nobody; there are us-gpu-0",
        }
        assert not running.command(do="dance")["ok"]
        assert running.command(do="node_delete", node="us-gpu-0") == {"ok": True}
        for kind in ("nodes", "pods"):
            with urllib.request.urlopen(f"{running.ready['api']}/api/v1/{kind}") as answer:
                assert json.load(answer)["items"] == []
        assert not running.command(do="node_delete", node="us-gpu-0")["ok"]
    finally:
        assert running.end() == 0
    assert not kubelet.exists()


def test_an_exporter_shows_what_the_simulator_counts(state: Path) -> None:
    file = state / "watched.yaml"
    file.write_text(WITH_EXPORTER)
    simulator = Running(state / "sim", scenario=file, what="simulate")
    running = Running(state / "c", "--mappings", str(state / "sim"), scenario=file)
    try:
        (url,) = running.ready["dcgm"].values()
        with urllib.request.urlopen(f"{running.ready['api']}/api/v1/namespaces/gpu-operator/pods") as answer:
            (pod,) = json.load(answer)["items"]
        (port,) = pod["spec"]["containers"][0]["ports"]
        assert url == f"http://{pod['status']['podIP']}:{port['containerPort']}"

        def is_right() -> bool:
            with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_SECONDS) as answer:
                text = answer.read().decode()
            found = re.search(r'^DCGM_FI_PROF_GR_ENGINE_ACTIVE{.*pod="works"} (\S+)$', text, re.MULTILINE)
            return found is not None and float(found[1]) == pytest.approx(0.6, abs=0.05)

        eventually(is_right)
    finally:
        assert running.end() == simulator.end() == 0


def test_parts_can_be_left_out(state: Path) -> None:
    running = Running(state, "--no-kubelet", "--no-api")
    try:
        assert running.ready["api"] is None
        assert running.ready["nodes"]["us-gpu-0"]["kubelet"] is None
        assert "--no-api" in running.command(do="api_stop")["error"]
        assert "--no-kubelet" in running.command(do="kubelet_stop", node="us-gpu-0")["error"]
    finally:
        assert running.end() == 0


def test_an_unknown_cluster_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenario", str(SCENARIO), "--start", "0", "--state", str(state), "--cluster", "nowhere"]
    assert node.main(arguments) == 2
    assert "has no cluster nowhere; it has prod-us, lab-eu" in capsys.readouterr().err
