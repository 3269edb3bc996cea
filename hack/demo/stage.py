"""Everything that runs in the demo: simulator, clusters, aggregator, agents; who dies by a kill is started again."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from demo.audit.story import NodeStory, Span
from demo.child import Child, Trouble, programs_environ
from demo.wish import Wish

RESTART_S = 2.0
"""What was killed stays away for so long, as in a cluster."""

UP_S = 30
"""So long an aggregator may take to open its store and its ports."""

PAGE_PORT = 8080

DEFAULT_GRACE_S = 60
"""How long holders hold without a kubelet, by the ledger, where nobody says otherwise."""

_SIGKILL = -9
_PORT_IN_USE = 6
_NS = 10**9


class Stage:
    """The running programs, and what happened to them."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        # Short, as a path of a Unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="gpucost-demo-"))
        # The simulator becomes another user, who has to get in.
        self.folder.chmod(0o755)
        self.facts: dict[str, Any] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.stories: dict[tuple[str, str], NodeStory] = {}
        self.happened: list[str] = []
        self._outside: list[Child] = []
        self._agents: dict[tuple[str, str], Child] = {}
        self._again: dict[str, float] = {}
        self._environ = programs_environ()
        self._grpc = self._http = 0
        self._aggregator = self._new_aggregator(PAGE_PORT if is_free(PAGE_PORT) else free_port())

    @property
    def base(self) -> str:
        """Where the page and the reports are."""
        return f"http://127.0.0.1:{self._http}"

    @property
    def notice(self) -> str:
        """What a reader of the README has to know: its addresses are somebody else's."""
        if self._http == PAGE_PORT:
            return ""
        return f"{PAGE_PORT} is in use; this demo's page is at {self.base}/"

    def start(self) -> None:
        """
        Start everything.

        Raises:
            Trouble: Something does not start.
        """
        self._aggregator.start()
        self._start_outside()
        if not self._is_aggregator_up():
            # Somebody else took the port in between; a page elsewhere is better than none.
            self._aggregator = self._new_aggregator(free_port())
            self._aggregator.start()
        for node in self.facts["nodes"]:
            key = (node["cluster"], node["node"])
            self._agents[key] = self._agent(key, node["mapping"])
            grace = DEFAULT_GRACE_S if self.wish.grace_seconds is None else self.wish.grace_seconds
            self.stories[key] = NodeStory(time.time_ns(), grace * _NS)
            self._agents[key].start()

    def supervise(self) -> None:
        """
        Start again what was killed; to be called often.

        Raises:
            Trouble: Something ended by itself.
        """
        now = time.monotonic()
        for child in self._outside:
            if child.exit_code() is not None:
                raise child.trouble("ended")
        for child in (self._aggregator, *self._agents.values()):
            code = child.exit_code()
            if code is None:
                continue
            if code != _SIGKILL:
                raise child.trouble("ended")
            if child.name not in self._again:
                self._again[child.name] = now + RESTART_S
                self._note_death(child)
            elif now >= self._again[child.name]:
                del self._again[child.name]
                child.start()
                self._note_return(child)

    def kill_aggregator(self) -> None:
        """Kill -9."""
        self._aggregator.kill()

    def kill_agent(self, key: tuple[str, str]) -> None:
        """Kill -9."""
        self._agents[key].kill()

    def kubelet(self, key: tuple[str, str], is_there: bool) -> None:
        """Take a node's kubelet away, or bring it back."""
        cluster, node = key
        command = {"do": "kubelet_start" if is_there else "kubelet_stop", "node": node}
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(20)
                control.connect(self.clusters[cluster]["control"])
                began = time.time_ns()
                control.sendall(json.dumps(command).encode() + b"\n")
                answer = json.loads(control.makefile().readline())
        except (OSError, ValueError) as trouble:
            self.supervise()
            raise Trouble(f"the cluster {cluster} does not answer {command}: {trouble}") from None
        if not answer["ok"]:
            raise Trouble(f"the cluster refused {command}: {answer['error']}")
        spans = self.stories[key].without_kubelet
        if is_there:
            spans[-1].end_ns = time.time_ns()
        else:
            spans.append(Span(began))
        self.happened.append(f"{'/'.join(key)}: kubelet {'is back' if is_there else 'stopped'}")

    def stop(self) -> None:
        """End everything: agents first, so that they can send what they have."""
        agents = list(self._agents.values())
        for group, within_s in ((agents, 30), ([self._aggregator], 20), (self._outside, 10)):
            for child in group:
                child.ask_to_end()
            for child in group:
                child.end(within_s)

    def _start_outside(self) -> None:
        scenario = ["--scenario", str(self.wish.scenario), "--seed", str(self.wish.seed)]
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        began = time.time_ns()
        simulator = self._child(
            "simulator",
            ["simnode", "simulate", *scenario, "--start", str(began)],
            ["--state", str(self.folder / "sim"), *user],
        )
        self._outside.append(simulator)
        simulator.start()
        self.facts = simulator.ready()
        names = list(dict.fromkeys(node["cluster"] for node in self.facts["nodes"]))
        clusters = []
        for number, name in enumerate(names):
            cluster = self._child(
                f"cluster/{name}",
                ["simnode", "node", *scenario, "--start", str(began), "--cluster", name],
                ["--state", str(self.folder / f"c{number}"), "--mappings", str(self.folder / "sim")],
            )
            self._outside.append(cluster)
            cluster.start()
            clusters.append(cluster)
        self.clusters = {name: cluster.ready() for name, cluster in zip(names, clusters, strict=True)}

    def _new_aggregator(self, http_port: int) -> Child:
        self._grpc, self._http = free_port(), http_port
        return self._child(
            "aggregator",
            ["gpucost_aggregator", "run", "--data-dir", str(self.folder / "store")],
            ["--grpc-listen", f"127.0.0.1:{self._grpc}", "--http-listen", f"127.0.0.1:{self._http}"],
        )

    def _is_aggregator_up(self) -> bool:
        """Wait until it takes streams, which it does last; False if it could not have its port."""
        deadline = time.monotonic() + UP_S
        while time.monotonic() < deadline:
            code = self._aggregator.exit_code()
            if code is not None:
                if code == _PORT_IN_USE:
                    return False
                break
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", self._grpc)) == 0:
                    return True
            time.sleep(0.05)
        raise self._aggregator.trouble("did not get ready")

    def _agent(self, key: tuple[str, str], mapping: str) -> Child:
        cluster, node = key
        place = self.clusters[cluster]["nodes"][node]
        arguments = {
            "cluster": cluster,
            "node": node,
            "window-seconds": str(self.facts["window_seconds"]),
            "aggregator": f"127.0.0.1:{self._grpc}",
            "spool-dir": str(self.folder / f"spool-{cluster}-{node}"),
            "pod-resources-socket": place["kubelet"],
            "proc-root": place["proc"],
            "host-root": place["host"],
            "kube-api": self.clusters[cluster]["api"],
            "metrics-listen": f"127.0.0.1:{free_port()}",
        }
        if self.wish.price_book is not None:
            arguments["price-book"] = str(self.wish.price_book)
        if self.wish.grace_seconds is not None:
            arguments["kubelet-grace-seconds"] = str(self.wish.grace_seconds)
        flags = [word for name, value in arguments.items() for word in (f"--{name}", value)]
        driver = {"NVML_SIM_MAPPING": mapping, "LD_LIBRARY_PATH": str(self.wish.library)}
        return Child(
            f"agent/{cluster}/{node}", ["gpucost_agent", "run", *flags], self._environ | driver, self.folder
        )

    def _child(self, name: str, module: list[str], flags: list[str]) -> Child:
        return Child(name, [*module, *flags], self._environ, self.folder)

    def _note_death(self, child: Child) -> None:
        self.happened.append(f"{child.name} was killed")
        for key, agent in self._agents.items():
            if agent is child:
                self.stories[key].without_agent.append(Span(time.time_ns()))

    def _note_return(self, child: Child) -> None:
        self.happened.append(f"{child.name} was started again")
        for key, agent in self._agents.items():
            if agent is child:
                self.stories[key].without_agent[-1].end_ns = time.time_ns()


def is_free(port: int) -> bool:
    """Whether somebody may listen there."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
