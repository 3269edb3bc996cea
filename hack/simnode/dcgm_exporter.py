"""Plays a node's dcgm-exporter: its page over HTTP, and the pod that it runs in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from aiohttp import web

from simnode import draws
from simnode.dcgm_text import page
from simnode.dcgm_values import Entity, Means
from simnode.mapping_reader import EngineCounters
from simnode.world import Cluster, Container, Dcgm, Namespace, Node, Owner, Pod

NAMESPACE, NAME = "gpu-operator", "dcgm-exporter"
ADDRESS = "127.0.0.1"
LABELS = {"app": "nvidia-dcgm-exporter", "app.kubernetes.io/name": NAME}
SUFFIX_LENGTH = 5
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# It looks at the clock at least this often; a scrape itself never makes DCGM look at a GPU.
TICK_NS = 1_000_000_000


class DcgmExporter:
    """
    Belongs to one event loop. *counters* reads a mapping, and raises OSError or ValueError while it can not.

    Its port is taken for good when it is made, so that nobody else answers while it is down.
    """

    def __init__(
        self,
        node: Node,
        counters: Callable[[], Sequence[EngineCounters]],
        now_ns: Callable[[], int],
    ) -> None:
        self._node = node
        self._dcgm = node.dcgm or Dcgm()
        self._counters = counters
        self._now_ns = now_ns
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind((ADDRESS, 0))
        self._runner: web.AppRunner | None = None
        self._means = Means(node)
        self._cached: tuple[Entity, ...] = ()
        self._next_ns = 0

    @property
    def port(self) -> int:
        port: int = self._place.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    async def run(self) -> None:
        """Listens and takes values as time goes on, until it is cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(max(self._wakes_ns() - self._now_ns(), 0) / 1e9)

    async def update(self) -> None:
        """Does what is due. Who comes back has forgotten what was before."""
        now = self._now_ns()
        is_up = not any(begin <= now and (end is None or now < end) for begin, end in self._dcgm.down)
        if is_up and self._runner is None:
            self._means, self._cached, self._next_ns = Means(self._node), (), now
            await self._listen()
        elif not is_up:
            await self.stop()
        if is_up and self._next_ns <= now:
            self._take(now)

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def close(self) -> None:
        """For good."""
        await self.stop()
        self._place.close()

    def _take(self, now: int) -> None:
        late = (now - self._next_ns) // self._dcgm.interval_ns
        self._next_ns += (late + 1) * self._dcgm.interval_ns
        try:
            counters = self._counters()
        except (OSError, ValueError):
            # DCGM goes on showing what it has; without a simulator that is nothing.
            return
        self._cached = self._means.take(counters)

    def _wakes_ns(self) -> int:
        now = self._now_ns()
        edges = [edge for span in self._dcgm.down for edge in span if edge is not None and edge > now]
        return min([now + TICK_NS, *edges, *([self._next_ns] if self._runner else [])])

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health", _healthy)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, ADDRESS, self.port, reuse_address=True).start()
        self._runner = runner

    async def _metrics(self, _: web.Request) -> web.Response:
        text = page(self._node, self._dcgm, self._cached, self._now_ns())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


def with_pods(cluster: Cluster, seed: int, ports: dict[str, int]) -> Cluster:
    """The cluster with a pod for each exporter that is to be found; *ports* are by name of the node."""
    nodes = tuple(
        replace(node, pods=(*node.pods, pod_of(node, seed, ports[node.name])))
        if node.dcgm is not None and node.dcgm.pod
        else node
        for node in cluster.nodes
    )
    if nodes == cluster.nodes:
        return cluster
    namespaces = cluster.namespaces
    if not any(namespace.name == NAMESPACE for namespace in namespaces):
        uid = draws.lower_uuid(seed, f"{cluster.path}/namespaces/{NAMESPACE}", "uid")
        namespaces = (*namespaces, Namespace(NAMESPACE, uid, {}))
    return replace(cluster, nodes=nodes, namespaces=namespaces)


def addresses(cluster: Cluster) -> dict[str, str]:
    """The exporters' pods answer where their programs do, whatever the other pods' addresses are."""
    return {pod.uid: ADDRESS for node in cluster.nodes for pod in node.pods if pod.labels == LABELS}


def pod_of(node: Node, seed: int, port: int) -> Pod:
    path = f"{node.path}/pods/{NAMESPACE}/{NAME}"
    container_path = f"{path}/containers/{NAME}"
    container = Container(container_path, NAME, draws.hexadecimal(seed, container_path, "id"), (), ())
    return Pod(
        path=path,
        name=f"{NAME}-{draws.hexadecimal(seed, path, 'suffix')[:SUFFIX_LENGTH]}",
        namespace=NAMESPACE,
        uid=draws.lower_uuid(seed, path, "uid"),
        labels=LABELS,
        annotations={},
        owner=Owner("DaemonSet", NAME),
        start_ns=0,
        end_ns=None,
        containers=(container,),
        ports={"metrics": port},
    )


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="OK")
