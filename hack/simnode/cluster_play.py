"""One cluster at work: its nodes' kubelets, /proc trees and log folders, its API server, and their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simnode import kubelet_answers
from simnode.cluster_life import ClusterLife
from simnode.control import Control, Refusal
from simnode.dcgm_exporter import DcgmExporter, addresses, with_pods
from simnode.host_files import HostFiles
from simnode.kube_api import KubeApi
from simnode.kube_store import Store
from simnode.kubelet import Kubelet
from simnode.manifests import Manifests
from simnode.mapping_reader import read
from simnode.pod_logs import PodLogs
from simnode.proc_tree import ProcTree, next_change
from simnode.world import Cluster, Node, Scenario

# /proc/uptime is written anew at least this often.
TICK_NS = 1_000_000_000


@dataclass(frozen=True)
class Setting:
    """How a cluster is to be played. `clock` answers Unix nanoseconds and may be asked from any thread."""

    scenario: Scenario
    cluster: Cluster
    start_unix_ns: int
    folder: Path
    clock: Callable[[], int]
    with_kubelet: bool = True
    with_api: bool = True
    api_port: int = 0
    mappings: Path | None = None  # where CLUSTER/NODE/nvml.map is, for the exporters


class NodePlay:
    def __init__(self, setting: Setting, node: Node) -> None:
        self.node = node
        folder = setting.folder / node.name
        self.proc = folder / "proc"
        self.host = folder / "host"
        seed, start = setting.scenario.seed, setting.start_unix_ns
        self.tree = ProcTree(self.proc, folder / ".proc-staging", node, seed, start)
        self.logs = PodLogs(self.host, node)
        self.files = HostFiles(self.host, node)
        self.kubelet: Kubelet | None = None
        if setting.with_kubelet:

            def now_ns() -> int:
                return setting.clock() - setting.start_unix_ns

            self.kubelet = Kubelet(
                folder / "kubelet" / "kubelet.sock",
                lambda: kubelet_answers.listed_pods(node, now_ns()),
                lambda: kubelet_answers.allocatable(node, now_ns()),
                has_get=node.kubelet.dynamic_resources,
            )

    def create(self, now_ns: int) -> None:
        self.logs.create(now_ns)
        self.files.create(now_ns)
        self.tree.create(now_ns)

    def update(self, now_ns: int) -> None:
        self.logs.update(now_ns)
        self.files.update(now_ns)
        self.tree.update(now_ns)


class ClusterPlay:
    """Belongs to one event loop. `start` returns when everything serves; `run` moves time until cancelled."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._clock = setting.clock
        seed = setting.scenario.seed
        self._exporters = {node.name: self._exporter(node) for node in setting.cluster.nodes if node.dcgm}
        ports = {name: exporter.port for name, exporter in self._exporters.items()}
        cluster = with_pods(setting.cluster, seed, ports)
        self.nodes = {node.name: NodePlay(setting, node) for node in cluster.nodes}
        self._store = Store()
        manifests = Manifests(cluster, seed, setting.start_unix_ns, addresses(cluster))
        boot_ids = {name: play.tree.boot_id for name, play in self.nodes.items()}
        self._life = ClusterLife(cluster, self._store, manifests, boot_ids)
        self._api = KubeApi(self._store, setting.api_port) if setting.with_api else None
        self._control = Control(setting.folder / "control.sock", self.command)

    def ready(self) -> dict[str, Any]:
        """Where everything is, for the one line that is printed."""
        return {
            "cluster": self._setting.cluster.name,
            "api": self._api.url if self._api else None,
            "control": str(self._control.socket),
            "nodes": {
                name: {
                    "kubelet": str(play.kubelet.socket) if play.kubelet else None,
                    "proc": str(play.proc),
                    "host": str(play.host),
                }
                for name, play in self.nodes.items()
            },
            "dcgm": {name: exporter.url for name, exporter in self._exporters.items()},
        }

    async def start(self) -> None:
        self._setting.folder.mkdir(parents=True, exist_ok=True)
        now_ns = self._now()
        self._life.update(now_ns)
        for play in self.nodes.values():
            play.create(now_ns)
            if play.kubelet:
                play.kubelet.start()
        for exporter in self._exporters.values():
            await exporter.update()
        if self._api:
            await self._api.start()
        await self._control.start()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run())
            for exporter in self._exporters.values():
                tasks.create_task(exporter.run())

    async def _run(self) -> None:
        while True:
            now_ns = self._now()
            self._life.update(now_ns)
            for play in self.nodes.values():
                play.update(now_ns)
            await asyncio.sleep(max(self._next_ns(now_ns) - self._now(), 0) / 1e9)

    async def stop(self) -> None:
        await self._control.stop()
        for play in self.nodes.values():
            if play.kubelet:
                await asyncio.to_thread(play.kubelet.stop)
        for exporter in self._exporters.values():
            await exporter.close()
        if self._api:
            await self._api.stop()

    async def toggle_kubelets(self) -> None:
        for play in self.nodes.values():
            if play.kubelet:
                await asyncio.to_thread(play.kubelet.stop if play.kubelet.running else play.kubelet.start)

    async def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command of the control socket."""
        match command:
            case {"do": "kubelet_stop", "node": str(name), **rest} if not rest:
                await asyncio.to_thread(self._kubelet(name).stop)
            case {"do": "kubelet_start", "node": str(name), **rest} if not rest:
                await asyncio.to_thread(self._kubelet(name).start)
            case {"do": "node_delete", "node": str(name), **rest} if not rest:
                if not self._life.delete_node(name):
                    raise Refusal(f"there is no node {name}")
            case {"do": "api_gone_410", **rest} if rest in ({}, {"as": "status"}, {"as": "event"}):
                self._served().forget_history("event" if rest == {"as": "event"} else "status")
            case {"do": "api_stop", **rest} if not rest:
                await self._served().stop()
            case {"do": "api_start", **rest} if not rest:
                await self._served().start()
            case _:
                raise Refusal(
                    "known are kubelet_stop, kubelet_start and node_delete (with node), api_stop, api_start,"
                    " and api_gone_410 (with or without as: status, event)"
                )
        return {}

    def _exporter(self, node: Node) -> DcgmExporter:
        setting = self._setting
        folder = setting.folder if setting.mappings is None else setting.mappings / setting.cluster.name
        return DcgmExporter(node, lambda: read(folder / node.name / "nvml.map"), self._now)

    def _kubelet(self, name: str) -> Kubelet:
        play = self.nodes.get(name)
        if play is None:
            raise Refusal(f"there is no node {name}; there are {', '.join(self.nodes)}")
        if play.kubelet is None:
            raise Refusal("the kubelets are left out by --no-kubelet")
        return play.kubelet

    def _served(self) -> KubeApi:
        if self._api is None:
            raise Refusal("the API server is left out by --no-api")
        return self._api

    def _now(self) -> int:
        return self._clock() - self._setting.start_unix_ns

    def _next_ns(self, now_ns: int) -> int:
        """The next instant at which anything changes, a tick from now at the latest."""
        instants = [self._life.next_ns, *(next_change(play.node, now_ns) for play in self.nodes.values())]
        return min([now_ns + TICK_NS, *(instant for instant in instants if instant is not None)])
