"""One machine without Kubernetes: a table by container, unit and process, and its sum when it ends."""

import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.agent_process import LIBRARY, ROOT, AgentHome, free_port
from contracts.node_stage import SECOND, Program, wait_for

CONTAINER = "c0ffee" + "0" * 58
PLACES = {
    4194301: f"0::/system.slice/docker-{CONTAINER}.scope",
    4194302: "0::/system.slice/ollama.service",
    4194303: "0::/user.slice/user-1000.slice/session-3.scope",
}
"""Where three processes stand: in Docker, in a service, and in somebody's shell."""
SCENARIO = """
name: workstation
window_seconds: 5
clusters:
  - name: c
    nodes:
      - name: n
        booted: -2h
        gpus: [{model: NVIDIA L4}, {model: NVIDIA L4}]
        host_processes:
          - {gpu: 0, pid: 4194301, memory_mib: 3000, busy: {pattern: constant, share: 0.4}}
          - {gpu: 0, pid: 4194302, memory_mib: 1000, busy: {pattern: constant, share: 0.2}}
          - {gpu: 1, pid: 4194303, memory_mib: 2000, busy: {pattern: constant, share: 0.5}}
"""
DEFAULT_PORT = 9810


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the driver's mapping and a /proc with three processes of its GPUs."""
    with tempfile.TemporaryDirectory(prefix="alone-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "scenario.yaml").write_text(SCENARIO)
        begin = ["--start", str(time.time_ns() // SECOND * SECOND), "--truth", str(folder / "truth.jsonl")]
        arguments = ["--scenario", str(folder / "scenario.yaml"), "--state", str(folder / "sim"), *begin]
        simulator = Program(
            folder / "sim.log", ["simnode", "simulate", *arguments], {"PYTHONPATH": str(ROOT / "hack")}
        )
        for pid, cgroup in PLACES.items():
            place = folder / "proc" / str(pid)
            place.mkdir(parents=True)
            (place / "cgroup").write_text(f"{cgroup}\n")
            (place / "stat").write_text(f"{pid} (train me) S 1 1 1 0 -1 0 {'0 ' * 12}77 0 0\n")
            (place / "environ").write_bytes(b"HOME=/root\0")
        (folder / "proc" / "stat").write_text("btime 1700000000\n")
        simulator.start()
        try:
            simulator.ready()
            yield folder
        finally:
            simulator.kill()


def started(machine: Path, log: Path, *flags: str) -> Program:
    environ = {
        "PYTHONPATH": f"{ROOT}/proto:{ROOT}/agent",
        "NVML_SIM_MAPPING": str(machine / "sim" / "c" / "n" / "nvml.map"),
        "LD_LIBRARY_PATH": str(LIBRARY),
    }
    agent = Program(log, ["gpucost_agent", "run", "--stand-alone", *flags], environ)
    agent.start()
    return agent


def tables(text: str) -> list[list[list[str]]]:
    """The rows of each table, cut where two spaces part columns; the headings are the first row."""
    found: list[list[list[str]]] = []
    for line in text.splitlines():
        if line.startswith("GPU  "):
            found.append([])
        if found and re.match(r"GPU[ -]", line):
            found[-1].append(re.split(r" {2,}", line.strip()))
    return found


def test_a_table_tells_who_uses_the_machines_gpus_and_ends_with_the_sum(
    machine: Path, tmp_path: Path
) -> None:
    agent = started(
        machine,
        tmp_path / "log",
        "--window-seconds=5",
        f"--proc-root={machine / 'proc'}",
        f"--metrics-listen=127.0.0.1:{free_port()}",
    )
    try:
        wait_for(lambda: len(tables(agent.said())) >= 2 or agent.exit_code() is not None)
        assert agent.stop(signal.SIGINT) == 0, agent.said()
    finally:
        agent.kill()
    said = agent.said()
    assert "Traceback" not in said
    every_window, told_all, sum_of_all = said.partition("in all:")
    assert told_all
    windows, (last,) = tables(every_window), tables(sum_of_all)
    users = {"container c0ffee000000", "unit ollama.service", "process train me (4194303)"}
    assert {row[1] for row in last} >= users
    assert all(users & {row[1] for row in table} for table in windows)
    used = {row[1]: row for row in last[1:]}
    assert "memory" in last[0]
    assert "2.9 GiB" in used["container c0ffee000000"]
    assert "ring_process" in used["unit ollama.service"][-1]
    assert "kubelet" not in said
    assert '"cluster"' not in said
    assert '"node"' in said
    assert not list(tmp_path.glob("**/*.sqlite"))


def test_it_needs_no_other_setting(machine: Path, tmp_path: Path) -> None:
    with socket.socket() as door:
        try:
            door.bind(("0.0.0.0", DEFAULT_PORT))  # noqa: S104 - the default that is looked at
        except OSError:
            pytest.skip(f"somebody listens on port {DEFAULT_PORT} here")
    agent = started(machine, tmp_path / "log")
    try:
        wait_for(lambda: "agent_started" in agent.said() or agent.exit_code() is not None)
        time.sleep(3)
        assert agent.stop(signal.SIGINT) == 0, agent.said()
    finally:
        agent.kill()
    # On a /proc that does not know the driver's processes nobody is named, and nobody is called idle for it.
    (*_, last) = tables(agent.said())
    assert {row[1] for row in last[1:]} <= {"unattributed", "unallocated", "host"}
    assert "in all:" in agent.said()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"stand-alone": "true", "aggregator": "127.0.0.1:1"}, "--stand-alone: contradicts --aggregator"),
        ({"stand-alone": "true", "kube-api": "in-cluster"}, "--stand-alone: contradicts --kube-api"),
        ({"cluster": ""}, "--cluster"),
        ({"insecure": "true", "tls-ca": "/nonexistent"}, "--insecure: contradicts --tls-ca"),
        ({"dcgm-url": "localhost:9400"}, "--dcgm-url"),
    ],
)
def test_settings_that_contradict_or_mean_nothing_refuse_to_start(
    tmp_path: Path, flags: dict[str, str], words: str
) -> None:
    code, out, complaints = AgentHome(tmp_path, flags=flags).run()
    assert code == 2, out + complaints
    assert words in complaints
    assert "Traceback" not in complaints
    assert not (tmp_path / "spool").exists()
