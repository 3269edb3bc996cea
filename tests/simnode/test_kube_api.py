"""The simulated API server holds against the real Kubernetes client."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from simnode.cluster_life import ClusterLife
from simnode.kube_api import KubeApi
from simnode.kube_store import Store
from simnode.manifests import Manifests
from simnode.scenario import load

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
BOOT_ID = "11111111-2222-4333-8444-555555555555"

SCENARIO = """
name: small
clusters:
  - name: one
    uid: 6f1c9a52-7a0e-4f0e-9d1c-0c7f9a1b2c3d
    namespaces:
      - {name: chat, labels: {team: search}}
    nodes:
      - name: node-0
        instance_type: p5.48xlarge
        region: us-east-1
        annotations: {gpucost.dev/node-price-usd-per-hour: "98.32"}
        gpus:
          - {model: NVIDIA L4, replicas: 4}
          - {model: NVIDIA L4}
        pods:
          - name: llama-7c9f5d6b8-x2v4q
            namespace: chat
            labels: {app: llama}
            owner: {kind: Deployment, name: llama}
            end: 5m
            containers:
              - {name: server, gpus: [{gpu: 0, replicas: 2}, 1]}
          - name: train-abcde
            namespace: batch
            owner: {kind: Job, name: train}
            start: 1m
            end: 2m
            containers: [{name: main, gpus: [{gpu: 0, replicas: 1}]}]
      - name: node-1
        gpus: [{model: NVIDIA L4}]
        pods:
          - {name: web-0, namespace: chat, owner: {kind: StatefulSet, name: web}, containers: [{name: web}]}
          - {name: web-1, namespace: chat, owner: {kind: StatefulSet, name: web}, containers: [{name: web}]}
"""

Result = TypeVar("Result")

# The client annotates itself in part only.
Watch: Any = watch.Watch


class Played:
    """The server on an event loop of its own, as it needs one, and the test's hands on it."""

    def __init__(self, file: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.cluster = load(file, seed=7).cluster("one")
        self.api, self._life = self.run(self._build())

    async def _build(self) -> tuple[KubeApi, ClusterLife]:
        store = Store()
        boot_ids = {node.name: BOOT_ID for node in self.cluster.nodes}
        life = ClusterLife(self.cluster, store, Manifests(self.cluster, 7, START), boot_ids)
        life.update(0)
        api = KubeApi(store, bookmark_seconds=0.01)
        await api.start()
        return api, life

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def call(self, work: Callable[..., None], *arguments: Any) -> None:
        async def called() -> None:
            work(*arguments)

        self.run(called())

    def at(self, seconds: int) -> None:
        self.call(self._life.update, seconds * SECOND)

    def forget(self, gone_as: str = "status") -> None:
        self.call(self.api.forget_history, gone_as)

    def close(self) -> None:
        self.run(self.api.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fetch(self, path: str) -> Any:
        with urllib.request.urlopen(self.api.url + path, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO)
    server = Played(file)
    yield server
    server.close()


@pytest.fixture
def core(played: Played) -> Iterator[Any]:
    configuration = client.Configuration(host=played.api.url)
    configuration.retries = False
    with client.ApiClient(configuration) as connection:
        yield client.CoreV1Api(connection)


def said(error: ApiException) -> Any:
    return json.loads(error.body or "")


def names(listing: Any) -> list[str]:
    return [item.metadata.name for item in listing.items]


def test_version_namespaces_and_the_clusters_uid(played: Played, core: Any) -> None:
    assert client.VersionApi(core.api_client).get_code().git_version == "v1.35.8"
    assert core.read_namespace("kube-system").metadata.uid == played.cluster.uid
    assert names(core.list_namespace()) == ["batch", "chat", "kube-system"]
    assert core.read_namespace("chat").metadata.labels["team"] == "search"


def test_nodes_carry_what_prices_are_looked_up_by(core: Any) -> None:
    node = core.read_node("node-0")
    assert node.metadata.labels["node.kubernetes.io/instance-type"] == "p5.48xlarge"
    assert node.metadata.labels["topology.kubernetes.io/region"] == "us-east-1"
    assert node.metadata.annotations == {"gpucost.dev/node-price-usd-per-hour": "98.32"}
    assert node.status.capacity["nvidia.com/gpu"] == "5"
    assert node.status.node_info.boot_id == BOOT_ID
    assert "node.kubernetes.io/instance-type" not in core.read_node("node-1").metadata.labels


def test_pods_of_one_node(played: Played, core: Any) -> None:
    (pod,) = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=node-0").items
    spec = played.cluster.node("node-0").pods[0]
    assert (pod.metadata.uid, pod.spec.node_name, pod.status.phase) == (spec.uid, "node-0", "Running")
    assert pod.spec.containers[0].resources.limits["nvidia.com/gpu"] == "3"
    assert pod.status.container_statuses[0].container_id == f"containerd://{spec.containers[0].id}"
    assert int(pod.status.container_statuses[0].state.running.started_at.timestamp()) == START // SECOND


def test_a_deployments_pod_is_owned_by_way_of_its_replica_set(core: Any) -> None:
    pod = core.read_namespaced_pod("llama-7c9f5d6b8-x2v4q", "chat")
    (owner,) = pod.metadata.owner_references
    assert (owner.kind, owner.name) == ("ReplicaSet", "llama-7c9f5d6b8")
    assert pod.metadata.labels == {"app": "llama", "pod-template-hash": "7c9f5d6b8"}
    apps: Any = client.AppsV1Api(core.api_client)
    replica_set = apps.read_namespaced_replica_set(owner.name, "chat")
    assert replica_set.metadata.uid == owner.uid
    (top,) = replica_set.metadata.owner_references
    assert (top.kind, top.name, top.controller) == ("Deployment", "llama", True)


def test_lists_by_pages_from_one_snapshot(played: Played, core: Any) -> None:
    first = core.list_pod_for_all_namespaces(limit=2)
    assert first.metadata.remaining_item_count == 1
    played.at(60)
    second = core.list_pod_for_all_namespaces(limit=2, _continue=first.metadata._continue)
    assert names(first) + names(second) == ["llama-7c9f5d6b8-x2v4q", "web-0", "web-1"]
    assert second.metadata._continue is None
    assert second.metadata.resource_version == first.metadata.resource_version
    assert len(core.list_pod_for_all_namespaces().items) == 4
    played.forget()
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(limit=2, _continue=first.metadata._continue)
    assert (caught.value.status, said(caught.value)["reason"]) == (410, "Expired")


def test_selectors(core: Any) -> None:
    assert names(core.list_namespaced_pod("chat", label_selector="app=llama")) == ["llama-7c9f5d6b8-x2v4q"]
    assert names(core.list_namespaced_pod("chat", label_selector="!app")) == ["web-0", "web-1"]
    chosen = core.list_namespaced_pod("chat", field_selector="spec.nodeName!=node-0,metadata.name=web-1")
    assert names(chosen) == ["web-1"]
    assert names(core.list_namespaced_pod("nowhere")) == []
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(field_selector="spec.color=red")
    assert (caught.value.status, said(caught.value)["code"]) == (400, 400)


def test_a_name_that_is_not_there(core: Any) -> None:
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod("nobody", "chat")
    status = said(caught.value)
    assert (caught.value.status, status["reason"], status["message"]) == (
        404,
        "NotFound",
        'pods "nobody" not found',
    )


def test_watches_a_job_from_its_start_to_its_deletion(played: Played, core: Any) -> None:
    version = core.list_pod_for_all_namespaces().metadata.resource_version
    watching = Watch()
    seen = []
    played.at(60)
    for event in watching.stream(
        core.list_pod_for_all_namespaces,
        field_selector="spec.nodeName=node-0",
        resource_version=version,
        timeout_seconds=10,
    ):
        pod = event["object"]
        assert pod.metadata.name == "train-abcde"
        seen.append((event["type"], pod.status.phase))
        if len(seen) == 2:
            played.at(120)
        if event["type"] == "DELETED":
            watching.stop()
    assert seen == [
        ("ADDED", "Pending"),
        ("MODIFIED", "Running"),
        ("MODIFIED", "Succeeded"),
        ("DELETED", "Succeeded"),
    ]
    ended = pod.status.container_statuses[0].state.terminated
    assert int(ended.finished_at.timestamp()) == START // SECOND + 120
    assert (ended.exit_code, pod.metadata.deletion_timestamp) == (0, None)


def test_a_deleted_pod_says_first_that_it_is_leaving(played: Played, core: Any) -> None:
    version = core.list_pod_for_all_namespaces().metadata.resource_version
    played.at(300)
    events = Watch().stream(core.list_namespaced_pod, "chat", resource_version=version, timeout_seconds=1)
    seen = [
        (e["type"], e["object"].status.phase, bool(e["object"].metadata.deletion_timestamp)) for e in events
    ]
    assert seen == [
        ("MODIFIED", "Running", True),
        ("MODIFIED", "Succeeded", True),
        ("DELETED", "Succeeded", True),
    ]


def test_bookmarks_carry_the_version_on(played: Played, core: Any) -> None:
    watching = Watch()
    seen = []
    for event in watching.stream(
        core.list_namespaced_pod, "batch", allow_watch_bookmarks=True, timeout_seconds=10
    ):
        seen.append(event["type"])
        watching.stop()
    assert seen == ["BOOKMARK"]
    assert watching.resource_version == core.list_namespaced_pod("batch").metadata.resource_version


@pytest.mark.parametrize("gone_as", ["status", "event"])
def test_a_too_old_version_is_refused_in_both_ways(played: Played, core: Any, gone_as: str) -> None:
    version = core.list_pod_for_all_namespaces().metadata.resource_version
    played.forget(gone_as)
    with pytest.raises(ApiException) as caught:
        list(Watch().stream(core.list_pod_for_all_namespaces, resource_version=version, timeout_seconds=10))
    assert caught.value.status == 410
    path = f"/api/v1/pods?watch=1&resourceVersion={version}"
    if gone_as == "event":
        answer = played.fetch(path)
        assert (answer["type"], answer["object"]["code"]) == ("ERROR", 410)
    else:
        with pytest.raises(urllib.error.HTTPError) as refused:
            played.fetch(path)
        assert refused.value.code == 410
        refused.value.close()
    fresh = core.list_pod_for_all_namespaces()
    assert int(fresh.metadata.resource_version) > int(version)
    assert len(fresh.items) == 3


def test_a_running_watch_ends_with_an_error_event(played: Played) -> None:
    with urllib.request.urlopen(f"{played.api.url}/api/v1/nodes?watch=true", timeout=30) as answer:
        kinds = [json.loads(answer.readline())["type"] for _ in range(2)]
        played.forget()
        last = json.loads(answer.readline())
        assert answer.read() == b""
    assert kinds == ["ADDED", "ADDED"]
    assert (last["type"], last["object"]["code"], last["object"]["kind"]) == ("ERROR", 410, "Status")


def test_stops_under_a_watch_and_comes_back_on_its_port(played: Played, core: Any) -> None:
    url = played.api.url
    with urllib.request.urlopen(f"{url}/api/v1/pods?watch=true", timeout=30) as answer:
        answer.readline()
        played.run(played.api.stop())
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{url}/version", timeout=30)
    played.run(played.api.start())
    assert played.api.url == url
    assert len(core.list_pod_for_all_namespaces().items) == 3


def test_versions_depend_on_the_scenario_alone(tmp_path: Path, played: Played) -> None:
    for second in (30, 60, 90, 120, 600):
        played.at(second)
    other = Played(tmp_path / "small.yaml")
    try:
        other.at(600)
        for path in ("/api/v1/pods", "/api/v1/nodes", "/apis/apps/v1/replicasets"):
            assert other.fetch(path) == played.fetch(path)
    finally:
        other.close()
