"""The real client against a simulated API server, over real HTTP."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpucost.trouble import Stop

from contracts.hand_clock import HandClock
from contracts.source_contract import check_cluster
from gpucost_agent.readings import ClusterReading, Pod
from gpucost_agent.sources.pods.kube_pods import KubeAccess, KubePods, open_kube_pods
from simnode.cluster_life import ClusterLife
from simnode.kube_api import KubeApi
from simnode.kube_store import Store
from simnode.manifests import Manifests
from simnode.scenario import load

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
PATIENCE_S = 60
CLUSTER_UID = "6f1c9a52-7a0e-4f0e-9d1c-0c7f9a1b2c3d"

SCENARIO = f"""
name: small
clusters:
  - name: one
    uid: {CLUSTER_UID}
    nodes:
      - name: node-0
        instance_type: p5.48xlarge
        annotations: {{gpucost.dev/node-price-usd-per-hour: "98.32"}}
        gpus: [{{model: NVIDIA L4, replicas: 4}}]
        pods:
          - name: llama-7c9f5d6b8-x2v4q
            namespace: chat
            labels: {{app: llama, secret: x, mine: y}}
            owner: {{kind: Deployment, name: llama}}
            containers: [{{name: server, id: {"9f" * 32}, gpus: [{{gpu: 0, replicas: 1}}]}}]
          - name: train-abcde
            namespace: batch
            owner: {{kind: Job, name: train}}
            start: 1m
            end: 2m
            containers: [{{name: main}}]
      - name: node-1
        gpus: [{{model: NVIDIA L4}}]
        pods:
          - {{name: web-0, namespace: chat, containers: [{{name: web}}]}}
"""


class Server:
    """A cluster and its API on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        path = folder / "scenario.yaml"
        path.write_text(SCENARIO)
        scenario = load(path, None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        cluster = scenario.clusters[0]
        self.store = self._do(self._make())
        boots = {node.name: "boot" for node in cluster.nodes}
        self._life = ClusterLife(cluster, self.store, Manifests(cluster, scenario.seed, START), boots)
        self.api = KubeApi(self.store, bookmark_seconds=0.05)
        self.at(0)
        self._do(self.api.start())

    def at(self, seconds: int) -> None:
        async def update() -> None:
            self._life.update(seconds * SECOND)

        self._do(update())

    def gone(self, how: Any) -> None:
        async def forget() -> None:
            self.api.forget_history(how)

        self._do(forget())

    def down(self) -> None:
        self._do(self.api.stop())

    def up(self) -> None:
        self._do(self.api.start())

    def end(self) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _make(self) -> Store:
        return Store()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.end()


class Followed:
    def __init__(self, url: str, **asked: Any) -> None:
        self.clock = HandClock()
        access = KubeAccess(
            url, "node-0", frozenset({"mine"}), watch_s=1, first_wait_s=0.02, longest_wait_s=0.1
        )
        source = open_kube_pods(replace(access, **asked), self.clock)
        assert source is not None
        self.source: KubePods = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=source.follow, args=[self._stop])
        self._thread.start()

    def until(self, holds: Callable[[ClusterReading], bool]) -> ClusterReading:
        end = time.monotonic() + PATIENCE_S
        while True:
            reading = self.source.latest()
            if reading is not None and holds(reading):
                check_cluster(reading)
                return reading
            assert time.monotonic() < end, (reading, self.source.trouble)
            time.sleep(0.01)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def followed(server: Server) -> Iterator[Followed]:
    made = Followed(server.api.url)
    yield made
    made.end()


def named(name: str) -> Callable[[ClusterReading], bool]:
    return lambda reading: any(pod.name == name for pod in reading.pods)


def by_name(reading: ClusterReading, name: str) -> Pod:
    (pod,) = (pod for pod in reading.pods if pod.name == name)
    return pod


def test_the_nodes_own_pods_its_object_and_the_cluster(followed: Followed) -> None:
    reading = followed.until(lambda reading: reading.node is not None)
    assert reading.cluster_uid == CLUSTER_UID
    assert reading.node is not None
    assert reading.node.annotations == {"gpucost.dev/node-price-usd-per-hour": "98.32"}
    assert reading.node.labels["node.kubernetes.io/instance-type"] == "p5.48xlarge"
    (pod,) = reading.pods
    assert (pod.namespace, pod.name, pod.owner_kind, pod.owner_name) == (
        "chat",
        "llama-7c9f5d6b8-x2v4q",
        "Deployment",
        "llama",
    )
    assert pod.labels == {"app": "llama", "mine": "y"}
    assert [(c.name, c.container_id, c.started_at_ns) for c in pod.containers] == [
        ("server", "9f" * 32, START)
    ]
    assert followed.source.trouble is None
    assert followed.source.malformed == 0


def test_pods_come_and_go_and_are_remembered(server: Server, followed: Followed) -> None:
    followed.until(lambda _: True)
    server.at(60)
    assert by_name(followed.until(named("train-abcde")), "train-abcde").owner_name == "train"
    server.at(120)
    reading = followed.until(lambda reading: by_name(reading, "train-abcde").deleted_at_ns is not None)
    gone = by_name(reading, "train-abcde")
    assert gone.containers[0].finished_at_ns == START + 120 * SECOND


@pytest.mark.parametrize("how", ["status", "event"])
def test_a_version_that_is_too_old_is_listed_anew(server: Server, followed: Followed, how: str) -> None:
    followed.until(lambda _: True)
    server.gone(how)
    server.at(60)
    followed.until(named("train-abcde"))


def test_a_server_that_was_away_is_followed_again(server: Server, followed: Followed) -> None:
    before = followed.until(lambda reading: reading.node is not None)
    server.down()
    followed.clock.pass_ns(SECOND)
    end = time.monotonic() + PATIENCE_S
    while followed.source.trouble is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    latest = followed.source.latest()
    assert latest is not None
    assert latest.pods == before.pods
    server.up()
    server.at(60)
    followed.until(named("train-abcde"))


def test_pages_are_put_together(server: Server) -> None:
    server.at(60)
    followed = Followed(server.api.url, page=1)
    try:
        reading = followed.until(lambda _: True)
        assert len(reading.pods) == 2
    finally:
        followed.end()


def test_a_node_that_the_cluster_does_not_know_is_a_trouble_and_the_pods_go_on(server: Server) -> None:
    followed = Followed(server.api.url, node="other")
    try:
        reading = followed.until(lambda _: followed.source.trouble is not None)
        assert (reading.node, reading.pods) == (None, ())
        assert "404" in str(followed.source.trouble)
    finally:
        followed.end()


def test_nothing_is_followed_where_it_is_off() -> None:
    assert open_kube_pods(KubeAccess("", "node-0"), HandClock()) is None


def test_in_cluster_without_a_service_account_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Stop, match="service account"):
        open_kube_pods(KubeAccess("in-cluster", "node-0"), HandClock())


def test_what_is_no_address_stops() -> None:
    with pytest.raises(Stop, match="neither a URL"):
        open_kube_pods(KubeAccess("kubernetes.default", "node-0"), HandClock())
