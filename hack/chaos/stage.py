"""Everything that runs: simulators, the aggregator behind a proxy, an agent a node and a watcher a cluster."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from accuracy import answers
from chaos.identities import Identities
from chaos.log_book import LogBook
from chaos.mapped import Clock, Disk
from chaos.places import RESTART_S, AgentPlace, Place, ProxyControl
from chaos.scenario_draw import Scene
from chaos.wish import WINDOW_S, Wish
from demo.child import Child, Trouble, programs_environ
from demo.stage import free_port
from demo.wish import ROOT

NS = 10**9
_LOOK_S = 0.2
_DISK_EXITS = (4, 5)
"""No permission; a store or spool that can not be used."""

_UP_S = 60
_LIBRARY = ROOT / "hack" / "nvml" / "build"
_SHIMS = " ".join(str(ROOT / "hack" / name / "build" / f"lib{name}.so") for name in ("clockshim", "diskshim"))


class Stage:
    """The programs of one run, in a folder of its own; *book* is what the harness writes down."""

    def __init__(self, wish: Wish, scene: Scene) -> None:
        self.wish, self.scene = wish, scene
        # Short, as a path of a Unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="gpucost-chaos-"))
        # The simulator becomes another user, who has to get in.
        self.folder.chmod(0o755)
        self.book = LogBook()
        self.start_ns = 0
        self.facts: dict[str, dict[str, Any]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.clocks = {name: Clock(self.folder / f"ahead-{name}") for name in (*scene.clusters, "aggregator")}
        self.identities = Identities(self.folder / "identities", tuple(scene.clusters))
        self.agents: dict[str, AgentPlace] = {}
        self.watchers: list[Place] = []
        self._outside: list[Child] = []
        self._failures: list[tuple[AgentPlace, str, int, int]] = []
        self._environ = programs_environ()
        if wish.product is not None:
            self._environ["PYTHONPATH"] = f"{wish.product}:{self._environ['PYTHONPATH']}"
        (self.folder / "prices.yaml").write_text(scene.prices, encoding="utf-8")
        self.data = self.folder / "store"
        self._grpc, self._http = free_port(), free_port()
        self.aggregator = self._aggregator()
        self.proxy = ProxyControl(self.folder / "proxy.sock")

    @property
    def base(self) -> str:
        """Where the ledger answers."""
        return f"http://127.0.0.1:{self._http}"

    @property
    def seconds(self) -> float:
        """Since the scenario began."""
        return (time.time_ns() - self.start_ns) / NS

    @property
    def end_ns(self) -> int:
        """Where what is compared ends."""
        return self.start_ns + self.wish.length_s * NS

    def truth_file(self, cluster: str) -> Path:
        """What really happened in a cluster."""
        return self.folder / f"truth-{cluster}.jsonl"

    def start(self) -> None:
        """Start it all, until every agent looks. Raises Trouble."""
        # Of whole windows, so that the books of all begin with one; what has passed since is caught up.
        self.start_ns = time.time_ns() // (WINDOW_S * NS) * WINDOW_S * NS
        self.aggregator.child.start()
        for name in self.scene.clusters:
            self._simulator(name)
        for name in self.scene.clusters:
            self._cluster(name)
        ports = [place.port for place in self.agents.values()]
        watching = {name: free_port() for name in self.scene.clusters}
        proxy = self._child(
            "proxy",
            "chaos.proxy",
            str(self._grpc),
            str(self.proxy.path),
            *map(str, [*ports, *watching.values()]),
        )
        proxy.start()
        proxy.ready()
        for place in self.agents.values():
            self.book.begin(place.gpus, place.name, self.start_ns)
            self._begin(place)
        for name, port in watching.items():
            watcher = Place(self._watcher(name, port))
            self.watchers.append(watcher)
            watcher.child.start()
        self._note_failures()
        deadline = time.monotonic() + _UP_S
        while any(place.unread for place in self.agents.values()):
            self.supervise()
            if time.monotonic() > deadline:
                raise Trouble(f"after {_UP_S} s not every GPU was looked at")
            time.sleep(0.05)

    def supervise(self) -> None:
        """Start again what ended, and hear who looks; to be called often. Raises Trouble if the outside ended."""
        for child in self._outside:
            if child.exit_code() is not None:
                raise child.trouble("ended")
        self._count_failures()
        for place in (self.aggregator, *self.watchers, *self.agents.values()):
            self._mind(place)
        for place in self.agents.values():
            if place.unread and place.runs and time.monotonic() >= place.look_at:
                place.look_at = time.monotonic() + _LOOK_S
                self._look(place)

    def command(self, cluster: str, **command: str) -> None:
        """Something that happens to a cluster, by its control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(self.clusters[cluster]["control"])
            control.sendall(json.dumps(command).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if not answer["ok"]:
            raise Trouble(f"the cluster {cluster} refused {command}: {answer['error']}")

    def operate(self, name: str, *words: str) -> Child:
        """Begin a command of the aggregator's operator."""
        child = self._child(name, "gpucost_aggregator", *words, "--data-dir", str(self.data), outside=False)
        child.start()
        return child

    def pass_time(self, ahead_ns: int) -> None:
        """For the aggregator so much time passes at once."""
        self.clocks["aggregator"].set(ahead_ns)

    def calm(self) -> None:
        """End everything that still goes wrong."""
        for place in self.agents.values():
            self.proxy.ask(place, "release")
            self.proxy.ask(place, "delay", seconds=0)
            self.proxy.ask(place, "shut", is_shut=False)
            self.identities.renew(place.cluster, place.node)
            place.held = place.is_gone
        for each in (self.aggregator, *self.agents.values()):
            if each.disk is not None:
                each.disk.fail(0)
                each.disk.slow(0)
        self.aggregator.held = False

    def stop(self) -> None:
        """End everything, agents first; the truth is complete then."""
        self.proxy.close()
        agents = [place.child for place in (*self.agents.values(), *self.watchers)]
        for group, within_s in ((agents, 30), ([self.aggregator.child], 20), (self._outside, 10)):
            for child in group:
                child.ask_to_end()
            for child in group:
                child.end(within_s)

    def _mind(self, place: Place) -> None:
        code = place.child.exit_code()
        if code is None or (isinstance(place, AgentPlace) and place.is_gone):
            return
        now = time.monotonic()
        if place.again_at is None:
            place.again_at = now + RESTART_S
            if place.killed_at_ns is None and not _gave_up(place, code):
                words = " | ".join(place.child.trouble(f"ended with {code}").last_words[-2:])
                self.book.ends.append(f"{self.seconds:.1f} s: {place.name} ended with {code}: {words}")
            if isinstance(place, AgentPlace):
                self._died(place)
        elif now >= place.again_at and not place.held:
            self._begin(place)

    def _died(self, place: AgentPlace) -> None:
        at_ns = place.killed_at_ns or time.time_ns()
        if place.alone_since_ns is not None:
            # What it had since then, in memory or on a disk that went with it, is gone.
            at_ns = min(at_ns, place.alone_since_ns)
        self.book.begin(place.gpus, place.name, at_ns)
        place.unread = set()

    def _begin(self, place: Place) -> None:
        place.again_at = place.killed_at_ns = None
        if place.disk is not None:
            place.disk.begun()
        if isinstance(place, AgentPlace):
            place.unread = set(place.gpus)
        place.child.start()

    def _look(self, place: AgentPlace) -> None:
        with suppress(OSError):
            for uuid in place.unread & answers.last_reads(place.metrics).keys():
                place.unread = place.unread - {uuid}
                self.book.end(uuid, place.name, time.time_ns())

    def _note_failures(self) -> None:
        for failure in self.scene.failures():
            place = self.agents[f"{failure.cluster}/{failure.node}"]
            gpus = place.gpus if failure.gpu is None else [place.gpus[failure.gpu]]
            begin, end = (min(self.start_ns + at, self.end_ns) for at in (failure.at_ns, failure.until_ns))
            if begin < end:
                self.book.begin(gpus, failure.kind, begin)
                for uuid in gpus:
                    self.book.end(uuid, failure.kind, end)
                self._failures.append((place, failure.kind, begin, end))

    def _count_failures(self) -> None:
        """A driver's failure has hit where an agent looks meanwhile."""
        now_ns = time.time_ns()
        for each in list(self._failures):
            place, kind, begin, end = each
            looks = place.runs and not place.unread and now_ns >= begin + NS
            if looks or now_ns >= end:
                self._failures.remove(each)
                (self.book.fired if looks and now_ns < end else self.book.missed)[f"driver_{kind}"] += 1

    def _simulator(self, name: str) -> None:
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        places = ["--state", str(self.folder / f"s-{name}"), "--truth", str(self.truth_file(name))]
        clock = ["--clock-shift", str(self.clocks[name].path)]
        child = self._child(
            f"simulator-{name}", "simnode", "simulate", *self._played(name), *places, *clock, *user
        )
        child.start()
        self.facts[name] = child.ready()

    def _cluster(self, name: str) -> None:
        places = ["--state", str(self.folder / f"c-{name}"), "--mappings", str(self.folder / f"s-{name}")]
        child = self._child(
            f"cluster-{name}", "simnode", "node", *self._played(name), *places, "--cluster", name
        )
        child.start()
        self.clusters[name] = child.ready()
        for node in self.facts[name]["nodes"]:
            self.agents[f"{name}/{node['node']}"] = self._agent(name, node)

    def _played(self, name: str) -> Sequence[str]:
        file = self.folder / f"scenario-{name}.yaml"
        file.write_text(self.scene.clusters[name], encoding="utf-8")
        return "--scenario", str(file), "--seed", str(self.wish.seed), "--start", str(self.start_ns)

    def _aggregator(self) -> Place:
        disk = Disk(self.folder / "disk-aggregator", self.data)
        identities = self.identities
        flags = {
            "data-dir": self.data,
            "grpc-listen": f"127.0.0.1:{self._grpc}",
            "http-listen": f"127.0.0.1:{self._http}",
            "tls-cert": identities.certificate,
            "tls-key": identities.key,
            "writers-file": identities.writers,
        }
        environ = self._environ | self._shims("aggregator") | disk.environ()
        arguments = ["gpucost_aggregator", "run", *_flags(flags)]
        return Place(Child("aggregator", arguments, environ, self.folder), disk)

    def _agent(self, cluster: str, node: dict[str, Any]) -> AgentPlace:
        name, port, metrics = node["node"], free_port(), free_port()
        where, spool = self.clusters[cluster]["nodes"][name], self.folder / f"spool-{name}"
        disk = Disk(self.folder / f"disk-{name}", spool)
        self.identities.renew(cluster, name)
        flags = self._of_agents(cluster, name, port) | {
            "node": name,
            "window-seconds": WINDOW_S,
            "spool-dir": spool,
            "pod-resources-socket": where["kubelet"],
            "proc-root": where["proc"],
            "host-root": where["host"],
            "price-book": self.folder / "prices.yaml",
            "metrics-listen": f"127.0.0.1:{metrics}",
            "dcgm-url": "none",
        }
        driver = {"NVML_SIM_MAPPING": node["mapping"], "LD_LIBRARY_PATH": str(_LIBRARY)}
        environ = self._environ | driver | self._shims(cluster) | disk.environ()
        child = Child(
            f"agent/{cluster}/{name}", ["gpucost_agent", "run", *_flags(flags)], environ, self.folder
        )
        return AgentPlace(
            child,
            disk,
            cluster=cluster,
            node=name,
            gpus=tuple(node["gpus"]),
            spool=spool,
            port=port,
            metrics=f"http://127.0.0.1:{metrics}",
        )

    def _watcher(self, cluster: str, port: int) -> Child:
        self.identities.renew(cluster, None)
        flags = self._of_agents(cluster, None, port) | {"metrics-listen": f"127.0.0.1:{free_port()}"}
        arguments = ["gpucost_agent", "watch", *_flags(flags)]
        return Child(f"watcher/{cluster}", arguments, self._environ, self.folder)

    def _of_agents(self, cluster: str, node: str | None, port: int) -> dict[str, object]:
        return {
            "cluster": cluster,
            "aggregator": f"127.0.0.1:{port}",
            "tls-ca": self.identities.ca,
            "token-file": self.identities.token_file(cluster, node),
            "kube-api": self.clusters[cluster]["api"],
        }

    def _shims(self, clock: str) -> dict[str, str]:
        return {"LD_PRELOAD": _SHIMS, "CLOCK_SHIM_FILE": str(self.clocks[clock].path)}

    def _child(self, name: str, *arguments: str, outside: bool = True) -> Child:
        child = Child(name, list(arguments), self._environ, self.folder)
        if outside:
            self._outside.append(child)
        return child


def _gave_up(place: Place, code: int) -> bool:
    """Whether it ended because of its disk, as it may: what starts it again is told by the exit code."""
    return place.disk is not None and place.disk.has_failed and code in _DISK_EXITS


def _flags(flags: dict[str, object]) -> list[str]:
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]
