"""A simulated API server with a few nodes, namespaces and pods, on an event loop of its own."""

import asyncio
import threading
from typing import Any

from simnode.kube_api import KubeApi
from simnode.kube_store import Store


def a_node(name: str) -> dict[str, Any]:
    labels = {"node.kubernetes.io/instance-type": "p5.48xlarge", "kubernetes.io/os": "linux"}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "creationTimestamp": "2026-11-01T00:00:00Z",
        }
    }


def a_namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}}


def a_pod(name: str, gpus: int = 1, node: str = "", phase: str = "Pending") -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": str(gpus), "cpu": "500m"}} if gpus else {}
    return {
        "metadata": {
            "name": name,
            "namespace": "chat",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-11-21T08:00:00Z",
        },
        "spec": {
            "containers": [{"name": "c", "resources": resources}],
            **({"nodeName": node} if node else {}),
        },
        "status": {"phase": phase},
    }


class Cluster:
    """An API server on an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.store = self.do(self._make())
        self.api = KubeApi(self.store, bookmark_seconds=0.05)
        for index in range(5):
            self.put("nodes", a_node(f"node-{index}"))
        self.put("namespaces", a_namespace("kube-system"))
        self.put("namespaces", a_namespace("chat", team="a", secret="x"))
        self.put("pods", a_pod("waits"))
        self.put("pods", a_pod("small", gpus=0))
        self.put("pods", a_pod("placed", node="node-0"))
        self.put("pods", a_pod("runs", node="node-0", phase="Running"))
        self.do(self.api.start())

    async def _make(self) -> Store:
        return Store()

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def put(self, kind: str, manifest: dict[str, Any]) -> None:
        async def put() -> None:
            self.store.put(kind, manifest)

        self.do(put())

    def remove(self, kind: str, namespace: str, name: str) -> None:
        async def remove() -> None:
            self.store.remove(kind, namespace, name)

        self.do(remove())

    def end(self) -> None:
        self.do(self.api.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
