"""The watcher against a simulated API server and an aggregator of its own, over real HTTP and gRPC."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gpucost.facts import NodeFacts, WaitingPod

from contracts.aggregator_by_hand import until
from contracts.kube_stage import Cluster, a_namespace, a_pod
from gpucost_agent.cluster_news import ClusterNews
from gpucost_agent.cluster_watch import ClusterUid, watched_kinds
from gpucost_agent.sources.pods.cluster_objects import parse_waiting
from gpucost_agent.sources.pods.kube_kinds import KindFollower


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.end()


class Watched:
    """What a watcher found out, with its threads."""

    def __init__(self, cluster: Cluster, page: int = 2) -> None:
        self.stop = threading.Event()
        self.troubles: list[tuple[str, str, bool]] = []
        self.news = ClusterNews(lambda *trouble: self.troubles.append(trouble))
        self.uid = ClusterUid()
        self.threads = []
        for access in watched_kinds(self.uid, ()):
            quick = type(access)(access.name, access.path, access.parse, access.query, page, 1, 0.05, 0.1)
            follower = KindFollower(cluster.api.url, quick, self.news)
            self.threads.append(threading.Thread(target=follower.follow, args=(self.stop,)))
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def watched(cluster: Cluster) -> Iterator[Watched]:
    watched = Watched(cluster)
    yield watched
    watched.end()


def test_everything_is_listed_by_pages_and_cut_down(watched: Watched) -> None:
    until(lambda: watched.news.is_whole)
    facts = watched.news.everything(7)
    assert (facts.seen_at_ns, facts.complete) == (7, True)
    assert [node.name for node in facts.nodes] == [f"node-{index}" for index in range(5)]
    assert facts.nodes[0] == NodeFacts(
        "node-0",
        "uid-node-0",
        {"node.kubernetes.io/instance-type": "p5.48xlarge"},
        1_793_491_200_000_000_000,
    )
    assert {each.name: each.labels for each in facts.namespaces} == {"kube-system": {}, "chat": {"team": "a"}}
    (waiting,) = facts.waiting_pods
    assert (waiting.pod, waiting.requests) == ("waits", {"nvidia.com/gpu": 1})
    assert watched.uid.value == "uid-kube-system"
    assert watched.news.changes(8) is None


def test_changes_are_told_once(cluster: Cluster, watched: Watched) -> None:
    until(lambda: watched.news.is_whole)
    watched.news.everything(7)
    cluster.remove("nodes", "", "node-3")
    cluster.put("namespaces", a_namespace("chat", team="b"))
    cluster.put("pods", a_pod("waits", node="node-1"))
    cluster.put("pods", a_pod("more", gpus=4))
    found: dict[str, Any] = {}

    def complete() -> bool:
        facts = watched.news.changes(8)
        if facts is not None:
            assert not facts.complete
            found.update({f"node {node.name}": node.deleted for node in facts.nodes})
            found.update({f"namespace {each.name}": each.labels for each in facts.namespaces})
            found.update({f"pod {pod.pod}": pod.requests for pod in facts.waiting_pods})
        return len(found) == 4

    until(complete)
    assert found == {
        "node node-3": True,
        "namespace chat": {"team": "b"},
        "pod waits": {},
        "pod more": {"nvidia.com/gpu": 4},
    }


def test_a_server_that_was_away_is_listed_again(cluster: Cluster, watched: Watched) -> None:
    until(lambda: watched.news.is_whole)
    watched.news.everything(7)
    cluster.do(cluster.api.stop())
    until(lambda: watched.troubles)

    async def forget() -> None:
        cluster.api.forget_history()

    cluster.do(forget())
    cluster.remove("nodes", "", "node-4")
    cluster.do(cluster.api.start())

    def gone() -> bool:
        facts = watched.news.changes(8)
        return facts is not None and [(node.name, node.deleted) for node in facts.nodes] == [("node-4", True)]

    until(gone)
    until(lambda: not watched.news.troubles)


@pytest.mark.parametrize(
    ("pod", "requests"),
    [
        (a_pod("a", gpus=2), {"nvidia.com/gpu": 2}),
        (a_pod("a", gpus=0), {}),
        (a_pod("a", node="n"), {}),
        (a_pod("a", phase="Running"), {}),
        (
            {
                **a_pod("a"),
                "spec": {
                    "containers": [
                        {"resources": {"requests": {"nvidia.com/mig-1g.10gb.shared": "1"}}},
                        {"resources": {"limits": {"nvidia.com/mig-1g.10gb.shared": "2", "memory": "1Gi"}}},
                    ],
                    "initContainers": [{"resources": {"limits": {"mine/gpu": 1}}}],
                },
            },
            {"nvidia.com/mig-1g.10gb.shared": 3, "mine/gpu": 1},
        ),
    ],
)
def test_what_a_pod_waits_for(pod: dict[str, Any], requests: dict[str, int]) -> None:
    since_ns = 1_795_248_000_000_000_000
    assert parse_waiting(pod, ("mine/gpu",)) == WaitingPod("chat", "a", "uid-a", since_ns, requests)


def test_what_is_forbidden_is_told_once_and_the_rest_goes_on() -> None:
    told: list[tuple[str, str, bool]] = []
    news = ClusterNews(lambda *trouble: told.append(trouble))
    for kind in ("nodes", "namespaces"):
        news.listed(kind, [])
    assert not news.is_whole
    for _ in range(3):
        news.failed("pods", "403 pods is forbidden", forbidden=True)
    assert told == [("pods", "403 pods is forbidden", True)]
    assert news.is_whole
    assert news.troubles == {"pods": "403 pods is forbidden"}
    news.listed("pods", [WaitingPod("chat", "a", "u", 1, {"nvidia.com/gpu": 1})])
    assert news.troubles == {}
