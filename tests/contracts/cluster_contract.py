"""What every store promises about what the clusters' watchers say; inherit it and give a fixture ``store``."""

from gpucost.facts import ClusterFacts, NamespaceFacts, NodeFacts, WaitingPod
from gpucost.identity import NodeId

from gpucost_aggregator.store import Store

_A, _B = NodeFacts("a", "uid-a", {"k": "v"}, 5), NodeFacts("b", "uid-b")
_CHAT, _LAB = NamespaceFacts("chat", {"team": "x"}), NamespaceFacts("lab")
_LATE = WaitingPod("chat", "late", "u1", 9, {"nvidia.com/gpu": 8})
_EARLY = WaitingPod("lab", "early", "u2", 3, {"nvidia.com/gpu": 1})


class ClusterContract:
    """Inherit it; every test gets a fresh ``store``."""

    def test_the_latest_of_a_cluster_is_kept(self, store: Store) -> None:
        assert (store.nodes(), store.waiting_pods(), store.watched_clusters()) == ({}, {}, {})
        store.keep_cluster_facts("east", ClusterFacts(7, True, (_A, _B), (_CHAT, _LAB), (_LATE, _EARLY)))
        store.keep_cluster_facts("west", ClusterFacts(8, True, (_A,), (_CHAT,), (_LATE,)))
        changes = ClusterFacts(
            9,
            nodes=(NodeFacts("a", "uid-c"), NodeFacts("b", "uid-b", deleted=True)),
            namespaces=(NamespaceFacts("chat", {"team": "y"}),),
            waiting_pods=(WaitingPod("chat", "late", "u1"),),
        )
        store.keep_cluster_facts("east", changes)
        assert store.nodes() == {
            NodeId("east", "a"): NodeFacts("a", "uid-c"),
            NodeId("east", "b"): NodeFacts("b", "uid-b", deleted=True),
            NodeId("west", "a"): _A,
        }
        assert store.namespace_facts()["east", "chat"].labels == {"team": "y"}
        assert store.namespace_facts()["west", "chat"].labels == {"team": "x"}
        assert {name: list(pods) for name, pods in store.waiting_pods().items()} == {
            "east": [_EARLY],
            "west": [_LATE],
        }
        assert store.watched_clusters() == {"east": 9, "west": 8}

    def test_what_is_not_named_among_everything_is_deleted(self, store: Store) -> None:
        store.keep_cluster_facts("east", ClusterFacts(7, True, (_A, _B), (_CHAT, _LAB), (_LATE, _EARLY)))
        store.keep_cluster_facts("east", ClusterFacts(8, True, (_B,), (), (_EARLY,)))
        assert {node.node: facts.deleted for node, facts in store.nodes().items()} == {"a": True, "b": False}
        # A cluster without namespaces is one whose watcher may not read them.
        assert [each.deleted for each in store.namespace_facts().values()] == [False, False]
        assert list(store.waiting_pods()["east"]) == [_EARLY]

    def test_those_who_wait_longest_come_first(self, store: Store) -> None:
        store.keep_cluster_facts("east", ClusterFacts(7, True, (), (), (_LATE, _EARLY)))
        assert list(store.waiting_pods()["east"]) == [_EARLY, _LATE]
