"""Simulated nodes with a real agent on each, in real time: what a test stops, kills, steps and starts again."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from contracts.agent_process import LIBRARY, ROOT, free_port

SECOND = 1_000_000_000
WINDOW_S = 5
CLUSTER = "c"
USD_PER_HOUR = "3.217654321"
NANODOLLARS_PER_HOUR = 3_217_654_321
_PATIENCE_S = 90.0
_SHIM = ROOT / "hack/clockshim"
_PRICES = f"""
version: failures
rules:
  - {{name: all, date: 2026-07-01, match: {{}}, gpu_usd_per_hour: {USD_PER_HOUR}}}
"""
_BARE = {
    name: value for name, value in os.environ.items() if not name.startswith(("GPUCOST_", "NVML_", "LD_"))
}


class Program:
    """One process, whose words go into a file; it may be started again, and the file goes on."""

    def __init__(self, log: Path, arguments: Iterable[str], environ: dict[str, str]) -> None:
        self.log = log
        self._arguments = [sys.executable, "-m", *arguments]
        self._environ = _BARE | environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ready(self) -> dict[str, Any]:
        """What it says behind `ready`."""
        wait_for(lambda: "\nready {" in f"\n{self.said()}" or self.exit_code() is not None)
        lines = [line for line in self.said().splitlines() if line.startswith("ready {")]
        assert lines, self.said()
        facts: dict[str, Any] = json.loads(lines[-1].removeprefix("ready "))
        return facts

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(_PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """If it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass
class NodeAgent:
    """The agent of one node, now and after each start of it."""

    node: str
    program: Program
    spool: Path
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """An answer of its small server: status and text; 0 while there is none."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                return 200, str(answer.read().decode())
        except HTTPError as refusal:
            return refusal.code, str(refusal.read().decode())
        except (URLError, ConnectionError, TimeoutError):
            return 0, ""

    @property
    def reads(self) -> bool:
        """Whether it has read a GPU."""
        return "gpucost_gpu_last_read_timestamp_seconds{" in self.get("/metrics")[1]


class Stage:
    """
    One cluster of a scenario, whose simulation begins at a whole second, and with it the life of every node.

    *flags* are the agents', by node, beside the usual ones. *stepping*: the wall clock of its agents, and of the
    driver's samples, can be stepped. *product* is the tree of which the agents are.
    """

    def __init__(
        self,
        scenario: str,
        flags: dict[str, dict[str, str]] | None = None,
        stepping: bool = False,
        product: Path = ROOT,
        window_s: int = WINDOW_S,
    ) -> None:
        # Short, as a path of a Unix socket has 107 bytes at most.
        self._temporary = tempfile.TemporaryDirectory(prefix="node-", dir="/tmp", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.scenario = self.folder / "scenario.yaml"
        self.scenario.write_text(scenario)
        self.truth = self.folder / "truth.jsonl"
        self.window_ns = window_s * SECOND
        self._flags, self._product = flags or {}, product
        self._clock = self.folder / "ahead"
        self._clock.write_bytes(bytes(8))
        self._stepping = stepping
        self._outside: list[Program] = []
        self._cluster: dict[str, Any] = {}
        self.agents: dict[str, NodeAgent] = {}
        self.start_ns = 0

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in (*(agent.program for agent in self.agents.values()), *self._outside):
            program.kill()
        self._temporary.cleanup()

    @property
    def seconds(self) -> float:
        """How long the simulation has run, by the clock that nobody steps."""
        return (time.time_ns() - self.start_ns) / SECOND

    def wait(self, until_s: float) -> None:
        while (left := until_s - self.seconds) > 0:
            for program in self._outside:
                assert program.exit_code() is None, program.said()
            time.sleep(min(left, 1.0))

    def start_agents(self) -> None:
        """All of them, until each has read a GPU."""
        for agent in self.agents.values():
            agent.program.start()
        for agent in self.agents.values():
            wait_for(
                lambda agent=agent: agent.reads or agent.program.exit_code() is not None  # type: ignore[misc]
            )
            assert agent.program.exit_code() is None, agent.program.said()

    def stop_agents(self) -> None:
        """All that run, by a signal; each has to end well."""
        running = [agent for agent in self.agents.values() if agent.program.exit_code() is None]
        for agent in running:
            agent.program.send(signal.SIGTERM)
        for agent in running:
            assert agent.program.wait() == 0, agent.program.said()

    def stop_outside(self) -> None:
        """The simulators, so that the truth is complete."""
        for program in reversed(self._outside):
            assert program.stop() == 0, program.said()

    def command(self, **command: str) -> None:
        """A fault of the cluster, by its control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_PATIENCE_S)
            control.connect(self._cluster["control"])
            control.sendall(json.dumps(command).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        assert answer["ok"], answer

    def set_clock(self, ahead_ns: int) -> None:
        """The agents' wall clock is so far ahead from now on."""
        assert self._stepping
        with self._clock.open("r+b") as file:
            file.write(struct.pack("=q", ahead_ns))

    def _begin(self) -> None:
        subprocess.run(["make", "-s", "-C", str(LIBRARY.parent)], check=True)
        if self._stepping:
            subprocess.run(["make", "-s", "-C", str(_SHIM)], check=True)
        (self.folder / "prices.yaml").write_text(_PRICES)
        self.start_ns = time.time_ns() // SECOND * SECOND
        scenario = ["--scenario", str(self.scenario), "--start", str(self.start_ns)]
        shift = ["--clock-shift", str(self._clock)] if self._stepping else []
        state = ["--state", str(self.folder / "sim"), "--truth", str(self.truth)]
        simulator = self._simnode("simulate", *scenario, *state, *shift)
        mappings = {node["node"]: node["mapping"] for node in simulator.ready()["nodes"]}
        places = ["--state", str(self.folder / "k"), "--mappings", str(self.folder / "sim")]
        self._cluster = self._simnode("node", *scenario, "--cluster", CLUSTER, *places).ready()
        for node, mapping in mappings.items():
            self.agents[node] = self._agent(node, mapping)

    def _simnode(self, command: str, *arguments: str) -> Program:
        program = Program(
            self.folder / f"{command}.log",
            ["simnode", command, *arguments],
            {"PYTHONPATH": str(ROOT / "hack")},
        )
        self._outside.append(program)
        program.start()
        return program

    def _agent(self, node: str, mapping: str) -> NodeAgent:
        place, port, spool = self._cluster["nodes"][node], free_port(), self.folder / f"spool-{node}"
        flags = {
            "cluster": CLUSTER,
            "node": node,
            "window-seconds": str(self.window_ns // SECOND),
            "spool-dir": str(spool),
            "pod-resources-socket": place["kubelet"],
            "proc-root": place["proc"],
            "host-root": place["host"],
            "kube-api": self._cluster["api"],
            "metrics-listen": f"127.0.0.1:{port}",
            "price-book": str(self.folder / "prices.yaml"),
            "dcgm-url": self._cluster["dcgm"].get(node, "none"),
            **self._flags.get(node, {}),
        }
        environ = {
            "PYTHONPATH": f"{self._product}/proto:{self._product}/agent",
            "NVML_SIM_MAPPING": mapping,
            "LD_LIBRARY_PATH": str(LIBRARY),
        }
        if self._stepping:
            environ |= {
                "LD_PRELOAD": str(_SHIM / "build/libclockshim.so"),
                "CLOCK_SHIM_FILE": str(self._clock),
            }
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        program = Program(self.folder / f"agent-{node}.log", ["gpucost_agent", "run", *arguments], environ)
        return NodeAgent(node, program, spool, port)


Action = Callable[[], object]


def play(stage: Stage, actions: dict[float, Action]) -> None:
    """Carry out each action at its second of the simulation, or as soon as the one before it is done."""
    for at_s in sorted(actions):
        stage.wait(at_s)
        actions[at_s]()


def wait_for(condition: Callable[[], object]) -> None:
    """Generously."""
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
