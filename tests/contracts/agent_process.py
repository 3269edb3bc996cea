"""The agent as a process on a simulated driver: its own node, its own folders, its own ports."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from gpucost.cost_slice import CostSlice
from gpucost.identity import NodeId
from gpucost.v1 import stream_pb2
from gpucost.wire import BatchContent, batch_from_message

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "hack" / "nvml" / "build"
SCENARIO = """
name: one-gpu
window_seconds: 10
clusters:
  - name: c
    nodes:
      - name: n
        gpus: [{model: NVIDIA L4}]
        host_processes: [{gpu: 0, busy: {pattern: constant, share: 0.5}}]
"""
BARE = {
    name: value for name, value in os.environ.items() if not name.startswith(("GPUCOST_", "NVML_", "LD_"))
}


@contextmanager
def simulated_driver(folder: Path) -> Iterator[Path]:
    """The mapping of a driver with one GPU, which follows the clock."""
    subprocess.run(["make", "-s", "-C", str(LIBRARY.parent)], check=True)
    folder.mkdir()
    (folder / "scenario.yaml").write_text(SCENARIO)
    arguments = ("--scenario", str(folder / "scenario.yaml"), "--state", str(folder / "state"))
    with subprocess.Popen(
        [sys.executable, "-m", "simnode", "simulate", *arguments, "--truth", str(folder / "truth.jsonl")],
        env={**BARE, "PYTHONPATH": str(ROOT / "hack")},
        stdout=subprocess.PIPE,
        text=True,
    ) as simulator:
        assert simulator.stdout is not None
        assert simulator.stdout.readline().startswith("ready ")
        try:
            yield folder / "state" / "c" / "n" / "nvml.map"
        finally:
            simulator.send_signal(signal.SIGTERM)


@dataclass
class AgentHome:
    """Where an agent runs. *mapping* is its driver; None: the machine's own, if it has one."""

    folder: Path
    mapping: Path | None = None
    flags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.flags = {
            "cluster": "c",
            "node": "n",
            "window-seconds": "10",
            "spool-dir": str(self.folder / "spool"),
            "pod-resources-socket": str(self.folder / "kubelet.sock"),
            "host-root": str(self.folder / "host"),
            "kube-api": "",
            "metrics-listen": f"127.0.0.1:{self.port}",
            **self.flags,
        }

    def start(self, command: str = "run") -> subprocess.Popen[str]:
        """The agent, begun."""
        environ = {**BARE, "PYTHONPATH": f"{ROOT}/proto:{ROOT}/agent"}
        if self.mapping is not None:
            environ |= {"NVML_SIM_MAPPING": str(self.mapping), "LD_LIBRARY_PATH": str(LIBRARY)}
        flags = [f"--{name}={value}" for name, value in self.flags.items()]
        return subprocess.Popen(
            [sys.executable, "-m", "gpucost_agent", command, *flags],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str = "run") -> tuple[int, str, str]:
        """The agent until it ends by itself: exit code, what it said, and what it complained of."""
        with self.start(command) as agent:
            try:
                out, complaints = agent.communicate(timeout=60)
            finally:
                agent.kill()
        return agent.returncode, out, complaints

    def get(self, path: str) -> str:
        """An answer of its small server; empty while there is none."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return str(answer.read().decode())
        except (URLError, ConnectionError):
            return ""

    def batches(self) -> list[BatchContent]:
        """What lies in its spool."""
        with sqlite3.connect(f"file:{self.folder}/spool/spool.sqlite?mode=ro", uri=True) as database:
            rows = database.execute("SELECT message FROM batches ORDER BY sequence_number").fetchall()
        database.close()
        return [batch_from_message(stream_pb2.Batch.FromString(row[0]), NodeId("c", "n")) for row in rows]

    def slices(self) -> list[CostSlice]:
        """All slices in its spool."""
        return [row for batch in self.batches() for row in batch.slices]


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(agent: subprocess.Popen[str]) -> tuple[int, str]:
    """Ask it to end; its exit code and what it said."""
    agent.send_signal(signal.SIGTERM)
    out, complaints = agent.communicate(timeout=60)
    return agent.returncode, out + complaints
