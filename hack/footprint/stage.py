"""The simulated node, the agent on it with every source on, an aggregator that takes its books, and the peer."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.child import Child, Trouble, programs_environ
from demo.stage import free_port
from footprint import peer
from footprint.busy_node import CLUSTER, NODE
from proofs.proof import ROOT

SCRAPE_EVERY_S = 15.0
_UP_S = 30.0
LIBRARY = Path(os.environ.get("NVML_LIBRARY_DIR") or ROOT / "hack" / "nvml" / "build")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is started: a scenario, and folders that come first on the agent's path (for a broken agent)."""

    scenario: str
    seed: int
    window_seconds: int
    agent_path: tuple[Path, ...] = ()
    with_peer: bool = True


class Foreign(Child):
    """A program that is no module of this repository."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        super().__init__(name, (), environ, folder)
        self._arguments = command


class Stage:
    """The running programs. *peer* is None where there is none; *no_peer* says why."""

    def __init__(self, plan: Plan) -> None:
        # Short, as a path of a Unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="gpucost-fp-"))
        self.folder.chmod(0o755)
        self.agent: Child
        self.peer: Child | None = None
        self.no_peer = ""
        self.peer_name = peer.NAME
        self.began_ns = 0
        self.scrapes = 0
        self._plan = plan
        self._children: list[Child] = []
        self._environ = programs_environ()
        self._over = threading.Event()
        self._facts: dict[str, Any] = {}
        self._http = free_port()

    @property
    def base(self) -> str:
        """Where the aggregator answers."""
        return f"http://127.0.0.1:{self._http}"

    @property
    def truth(self) -> Path:
        """What really happened, by the simulator."""
        return self.folder / "truth.jsonl"

    @property
    def scenario(self) -> Path:
        """What is played."""
        return self.folder / "scenario.yaml"

    def start(self) -> None:
        """Everything. Raises demo.child.Trouble where something does not start."""
        self.scenario.write_text(self._plan.scenario, encoding="utf-8")
        # On a whole second, by which what really happens is told.
        self.began_ns = time.time_ns() // 10**9 * 10**9
        play = [
            "--scenario",
            str(self.scenario),
            "--seed",
            str(self._plan.seed),
            "--start",
            str(self.began_ns),
        ]
        grpc = free_port()
        state = ["--state", str(self.folder / "s"), "--truth", str(self.truth)]
        simulator = self._run("simulator", ["simnode", "simulate", *play, *state])
        self._facts = simulator.ready()
        mappings = ["--state", str(self.folder / "c"), "--mappings", str(self.folder / "s")]
        cluster = self._run("cluster", ["simnode", "node", *play, "--cluster", CLUSTER, *mappings]).ready()
        listen = ["--grpc-listen", f"127.0.0.1:{grpc}", "--http-listen", f"127.0.0.1:{self._http}"]
        store = ["--data-dir", str(self.folder / "store")]
        self._run("aggregator", ["gpucost_aggregator", "run", *store, *listen])
        self._wait_for(f"{self.base}/healthz")
        self._start_agent(cluster, grpc)
        if self._plan.with_peer:
            self._start_peer()

    def check(self) -> None:
        """Raises demo.child.Trouble where a program ended."""
        for child in self._children:
            if child.exit_code() is not None:
                raise child.trouble("ended")

    def stop(self) -> None:
        """End everything, the agent first, which sends what it has."""
        self._over.set()
        for child in reversed(self._children):
            child.ask_to_end()
            child.end(30)

    def remove(self) -> None:
        """The logs and all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def driver_environ(self) -> dict[str, str]:
        """What a program needs to meet the simulated driver."""
        return {"NVML_SIM_MAPPING": self._facts["nodes"][0]["mapping"], "LD_LIBRARY_PATH": str(LIBRARY)}

    def _start_agent(self, cluster: Mapping[str, Any], grpc: int) -> None:
        place, metrics = cluster["nodes"][NODE], free_port()
        flags = {
            "cluster": CLUSTER,
            "node": NODE,
            "window-seconds": str(self._plan.window_seconds),
            "aggregator": f"127.0.0.1:{grpc}",
            "spool-dir": str(self.folder / "spool"),
            "pod-resources-socket": place["kubelet"],
            "proc-root": place["proc"],
            "host-root": place["host"],
            "kube-api": cluster["api"],
            "metrics-listen": f"127.0.0.1:{metrics}",
        }
        path = ":".join([*map(str, self._plan.agent_path), self._environ["PYTHONPATH"]])
        # As in an image: what the bare interpreter does, without the switches that a developer may have set.
        environ = self._environ | self.driver_environ | {"PYTHONPATH": path}
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        self.agent = self._run("agent", ["gpucost_agent", "run", *words], environ)
        self._scrape(f"http://127.0.0.1:{metrics}/metrics")

    def _start_peer(self) -> None:
        try:
            interpreter = peer.python(ROOT)
        except peer.NoPeer as trouble:
            self.no_peer = str(trouble)
            return
        self.peer_name = f"{peer.NAME} {peer.version(interpreter)}"
        port = free_port()
        own = {name: value for name, value in self._environ.items() if name != "PYTHONPATH"}
        command = [
            str(interpreter),
            "-m",
            "nvitop_exporter",
            "--bind-address",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        self.peer = Foreign("peer", command, own | self.driver_environ, self.folder)
        self._begin(self.peer)
        self._scrape(f"http://127.0.0.1:{port}/metrics")

    def _run(self, name: str, module: list[str], environ: Mapping[str, str] | None = None) -> Child:
        child = Child(name, module, environ or self._environ, self.folder)
        self._begin(child)
        return child

    def _begin(self, child: Child) -> None:
        self._children.append(child)
        child.start()

    def _scrape(self, url: str) -> None:
        self._wait_for(url)
        threading.Thread(target=self._scrape_on, args=(url,), daemon=True).start()

    def _scrape_on(self, url: str) -> None:
        while not self._over.wait(SCRAPE_EVERY_S):
            if _get(url):
                self.scrapes += 1

    def _wait_for(self, url: str) -> None:
        wait_for(lambda: _get(url), self.check, f"{url} does not answer")


def wait_for(happened: Callable[[], bool], check: Callable[[], None], words: str) -> None:
    """Raises demo.child.Trouble if it takes too long, or a program ended meanwhile."""
    deadline = time.monotonic() + _UP_S
    while not happened():
        check()
        if time.monotonic() > deadline:
            raise Trouble(words)
        time.sleep(0.1)


def _get(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
            return True
    except OSError:
        return False
