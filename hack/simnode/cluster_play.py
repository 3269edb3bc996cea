"""One cluster at work: its nodes' kubelets, /proc trees and log folders, its API server, and their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simnode.cluster_life import ClusterLife
from simnode.control import Control, Refusal
from simnode.kube_api import KubeApi
from simnode.kube_store import Store
from simnode.kubelet import Kubelet, ListedContainer, ListedPod
from simnode.manifests import Manifests
from simnode.pod_logs import PodLogs, present
from simnode.proc_tree import ProcTree, next_change
from simnode.world import Cluster, Container, Node, Scenario

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


class NodePlay:
    def __init__(self, setting: Setting, node: Node) -> None:
        self.node = node
        folder = setting.folder / node.name
        self.proc = folder / "proc"
        self.host = folder / "host"
        seed, start = setting.scenario.seed, setting.start_unix_ns
        self.tree = ProcTree(self.proc, folder / ".proc-staging", node, seed, start)
        self.logs = PodLogs(self.host, node)
        self.kubelet: Kubelet | None = None
        if setting.with_kubelet:
            ids = [i for gpu in node.gpus for i in advertised(gpu.uuid, gpu.replicas)]
            self.kubelet = Kubelet(
                folder / "kubelet" / "kubelet.sock",
                lambda: listed_pods(node, setting.clock() - setting.start_unix_ns),
                ids,
            )

    def update(self, now_ns: int) -> None:
        self.logs.update(now_ns)
        self.tree.update(now_ns)


class ClusterPlay:
    """Belongs to one event loop. `start` returns when everything serves; `run` moves time until cancelled."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._clock = setting.clock
        self.nodes = {node.name: NodePlay(setting, node) for node in setting.cluster.nodes}
        self._store = Store()
        manifests = Manifests(setting.cluster, setting.scenario.seed, setting.start_unix_ns)
        boot_ids = {name: play.tree.boot_id for name, play in self.nodes.items()}
        self._life = ClusterLife(setting.cluster, self._store, manifests, boot_ids)
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
        }

    async def start(self) -> None:
        self._setting.folder.mkdir(parents=True, exist_ok=True)
        now_ns = self._now()
        self._life.update(now_ns)
        for play in self.nodes.values():
            play.logs.create(now_ns)
            play.tree.create(now_ns)
            if play.kubelet:
                play.kubelet.start()
        if self._api:
            await self._api.start()
        await self._control.start()

    async def run(self) -> None:
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
            case {"do": "api_gone_410", **rest} if rest in ({}, {"as": "status"}, {"as": "event"}):
                self._served().forget_history("event" if rest == {"as": "event"} else "status")
            case {"do": "api_stop", **rest} if not rest:
                await self._served().stop()
            case {"do": "api_start", **rest} if not rest:
                await self._served().start()
            case _:
                raise Refusal(
                    "known are kubelet_stop and kubelet_start (with node), api_stop, api_start,"
                    " and api_gone_410 (with or without as: status, event)"
                )
        return {}

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


def advertised(uuid: str, replicas: int) -> tuple[str, ...]:
    """The ids under which a device plugin offers a whole GPU."""
    return (uuid,) if replicas == 1 else tuple(f"{uuid}::{number}" for number in range(replicas))


def listed_pods(node: Node, now_ns: int) -> list[ListedPod]:
    """What the kubelet lists at an instant: every pod it has admitted, with or without devices."""

    def listed(container: Container) -> ListedContainer:
        ids = [i for hold in container.holds for i in node.gpus[hold.gpu].device_ids(hold)]
        return ListedContainer(container.name, tuple(ids))

    return [
        ListedPod(pod.namespace, pod.name, tuple(listed(container) for container in pod.containers))
        for pod in present(node, now_ns)
    ]
