"""One run: the simulated nodes, a real agent on each, the real aggregator, and the peers beside them."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accuracy import answers
from accuracy.answers import Slice
from accuracy.looks import Looks, Stall
from demo.child import Child, Trouble, programs_environ
from demo.stage import free_port
from demo.wish import ROOT

NS = 10**9
SCRAPE_S = 15.0
_EARLIER_S = 4
"""The scenario may have begun so long before its programs; they catch it up."""

_UP_S = 60
_LATEST_S = 120
_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """
    What is to be run: a scenario whose truth is told by the second, and how much of it is compared.

    What is compared begins *lead_s* after the scenario. *agent_folder* is put before the product's own folders where
    another agent is to be tried.
    """

    scenario: Path
    seed: int
    window_s: int
    length_s: int
    lead_s: int = 20
    library: Path = ROOT / "hack" / "nvml" / "build"
    agent_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """What a run left to be scored: who was where, from when to when is compared, and what everybody said."""

    start_ns: int
    begin_ns: int
    end_ns: int
    window_ns: int
    truth: tuple[dict[str, Any], ...]
    slices: tuple[Slice, ...]
    peers: tuple[dict[str, Any], ...]
    longest_look_s: float
    stalls: tuple[Stall, ...]
    troubles: tuple[str, ...]


@dataclass
class Stage:
    """The programs of one run, in a folder of its own."""

    order: Order
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gpucost-acc-")))
    facts: dict[str, Any] = field(default_factory=dict)
    _outside: list[Child] = field(default_factory=list)
    _agents: dict[str, Child] = field(default_factory=dict)
    _peers: list[Child] = field(default_factory=list)
    _metrics: dict[str, str] = field(default_factory=dict)
    _looks: Looks = field(default_factory=Looks)

    def play(self) -> Recording:
        """Run it all, and end it all. Raises Trouble."""
        # The simulator becomes another user, who has to get in.
        self.folder.chmod(0o755)
        try:
            return self._play()
        finally:
            self._stop()

    def _play(self) -> Recording:
        order = self.order
        window_ns, first_ns = order.window_s * NS, time.time_ns() + (order.lead_s - _EARLIER_S) * NS
        begin_ns = -(-first_ns // window_ns) * window_ns
        start_ns = begin_ns - order.lead_s * NS
        time.sleep(max(0.0, (start_ns - time.time_ns()) / NS))
        grpc, base = self._aggregator()
        self._nodes(start_ns, grpc)
        self._wait_until_all_look()
        while begin_ns < time.time_ns():  # later than it was meant to be, which costs a window or two
            begin_ns += window_ns
        end_ns = begin_ns + order.length_s * NS
        self._looks.begin()
        self._watch(base, end_ns)
        found = answers.slices(base, begin_ns, end_ns)
        self._stop()
        peers = [line for child in self._peers for line in _lines(self._peer_file(child.name))]
        truth = _lines(self.folder / "truth.jsonl")
        return Recording(
            start_ns,
            begin_ns,
            end_ns,
            window_ns,
            tuple(truth),
            tuple(found),
            tuple(peers),
            self._looks.longest_s,
            tuple(self._looks.stalls),
            self._looks.troubles(),
        )

    def _aggregator(self) -> tuple[int, str]:
        grpc, http = free_port(), free_port()
        child = Child(
            "aggregator",
            [
                *("gpucost_aggregator", "run", "--data-dir", str(self.folder / "store")),
                *("--grpc-listen", f"127.0.0.1:{grpc}", "--http-listen", f"127.0.0.1:{http}"),
            ],
            programs_environ(),
            self.folder,
        )
        self._outside.append(child)
        child.start()
        deadline = time.monotonic() + _UP_S
        while True:
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", grpc)) == 0:
                    return grpc, f"http://127.0.0.1:{http}"
            if child.exit_code() is not None or time.monotonic() > deadline:
                raise child.trouble("did not get ready")
            time.sleep(0.05)

    def _nodes(self, start_ns: int, grpc: int) -> None:
        order, state = self.order, self.folder / "sim"
        scenario = ["--scenario", str(order.scenario), "--seed", str(order.seed), "--start", str(start_ns)]
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        truth = ["--truth", str(self.folder / "truth.jsonl")]
        simulator = self._child(
            "simulator", "simnode", "simulate", *scenario, "--state", str(state), *truth, *user
        )
        simulator.start()
        self.facts = simulator.ready()
        clusters = {}
        for number, name in enumerate(dict.fromkeys(node["cluster"] for node in self.facts["nodes"])):
            places = ["--state", str(self.folder / f"c{number}"), "--mappings", str(state), "--cluster", name]
            clusters[name] = self._child(f"cluster-{name}", "simnode", "node", *scenario, *places)
            clusters[name].start()
        for number, node in enumerate(self.facts["nodes"]):
            driver = {"NVML_SIM_MAPPING": node["mapping"], "LD_LIBRARY_PATH": str(order.library)}
            self._agent(node, clusters[node["cluster"]].ready(), grpc, driver)
            name = f"peers-{number}"
            arguments = ["accuracy.peers", str(self._peer_file(name)), str(SCRAPE_S)]
            peer = Child(name, arguments, programs_environ() | driver, self.folder)
            self._outside.append(peer)
            self._peers.append(peer)
            peer.start()

    def _agent(
        self, node: dict[str, Any], cluster: dict[str, Any], grpc: int, driver: dict[str, str]
    ) -> None:
        place, name, metrics = cluster["nodes"][node["node"]], node["node"], free_port()
        flags = {
            "cluster": node["cluster"],
            "node": name,
            "window-seconds": str(self.order.window_s),
            "aggregator": f"127.0.0.1:{grpc}",
            "spool-dir": str(self.folder / f"spool-{name}"),
            "pod-resources-socket": place["kubelet"],
            "proc-root": place["proc"],
            "host-root": place["host"],
            "kube-api": cluster["api"],
            "metrics-listen": f"127.0.0.1:{metrics}",
        }
        if name in cluster["dcgm"]:
            flags["dcgm-url"] = f"{cluster['dcgm'][name]}/metrics"
        words = [word for flag, value in flags.items() for word in (f"--{flag}", value)]
        environ = programs_environ() | driver
        if self.order.agent_folder is not None:
            environ["PYTHONPATH"] = f"{self.order.agent_folder}:{environ['PYTHONPATH']}"
        child = Child(f"agent-{name}", ["gpucost_agent", "run", *words], environ, self.folder)
        self._metrics[name] = f"http://127.0.0.1:{metrics}"
        self._agents[name] = child
        child.start()

    def _wait_until_all_look(self) -> None:
        gpus = {uuid for node in self.facts["nodes"] for uuid in node["gpus"]}
        deadline = time.monotonic() + _UP_S
        while not gpus <= self._looks.last.keys():
            self._supervise()
            self._look()
            if time.monotonic() > deadline:
                raise Trouble(
                    f"after {_UP_S} s {len(gpus - self._looks.last.keys())} GPUs were not looked at yet"
                )
            time.sleep(_TICK_S)

    def _watch(self, base: str, end_ns: int) -> None:
        """Until every window of the compared time is closed and stored."""
        while True:
            self._supervise()
            if time.time_ns() < end_ns:
                self._look()
            elif (answers.complete_through_ns(base) or 0) >= end_ns:
                return
            elif time.time_ns() > end_ns + _LATEST_S * NS:
                raise Trouble(f"{_LATEST_S} s after the compared time its windows are not complete")
            time.sleep(_TICK_S)

    def _look(self) -> None:
        """What the agents say of their looks."""
        for node, base in self._metrics.items():
            with suppress(OSError):
                self._looks.heard(node, answers.last_reads(base))

    def _supervise(self) -> None:
        for child in (*self._outside, *self._agents.values()):
            if child.exit_code() is not None:
                raise child.trouble("ended")

    def _peer_file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _child(self, name: str, *arguments: str) -> Child:
        child = Child(name, list(arguments), programs_environ(), self.folder)
        self._outside.append(child)
        return child

    def _stop(self) -> None:
        groups: Sequence[tuple[Sequence[Child], float]] = (
            (list(self._agents.values()), 30),
            (self._outside[:1], 20),
            (self._outside[1:], 10),
        )
        for group, within_s in groups:
            for child in group:
                child.ask_to_end()
            for child in group:
                child.end(within_s)


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as trouble:
        print(trouble, file=sys.stderr)
        return []
