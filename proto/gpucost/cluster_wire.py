"""What a cluster's watcher says <-> protobuf; bounded and checked here, before anything else sees it."""

from collections.abc import Mapping
from typing import TypeVar

from gpucost.facts import ClusterFacts, NamespaceFacts, NodeFacts, WaitingPod
from gpucost.trouble import Reject
from gpucost.v1 import stream_pb2
from gpucost.wire_bounds import MAX_LABELS, bounded_name

MAX_NODES = 20_000
MAX_NAMESPACES = 50_000
MAX_WAITING_PODS = 10_000
"""Kubernetes is built for 5,000 nodes and 10,000 namespaces a cluster; ten thousand pods wait in no queue for long."""


_Value = TypeVar("_Value")


def cluster_facts_to_message(facts: ClusterFacts) -> stream_pb2.ClusterFacts:
    """The message for *facts*."""
    return stream_pb2.ClusterFacts(
        seen_at_ns=facts.seen_at_ns,
        complete=facts.complete,
        nodes=[
            stream_pb2.NodeFacts(
                name=node.name,
                uid=node.uid,
                deleted=node.deleted,
                labels=node.labels,
                created_at_ns=node.created_at_ns,
            )
            for node in facts.nodes
        ],
        namespaces=[
            stream_pb2.NamespaceFacts(name=each.name, deleted=each.deleted, labels=each.labels)
            for each in facts.namespaces
        ],
        waiting_pods=[
            stream_pb2.WaitingPod(
                namespace=pod.namespace,
                pod=pod.pod,
                pod_uid=pod.pod_uid,
                waiting_since_ns=pod.waiting_since_ns,
                requests=pod.requests,
            )
            for pod in facts.waiting_pods
        ],
    )


def cluster_facts_from_message(message: stream_pb2.ClusterFacts) -> ClusterFacts:
    """
    What *message* says.

    Raises:
        Reject: It passes a bound.
    """
    for name, most in (
        ("nodes", MAX_NODES),
        ("namespaces", MAX_NAMESPACES),
        ("waiting_pods", MAX_WAITING_PODS),
    ):
        if len(getattr(message, name)) > most:
            raise Reject(f"cluster facts: {len(getattr(message, name))} {name}; {most} is the most")
    return ClusterFacts(
        message.seen_at_ns,
        message.complete,
        tuple(
            NodeFacts(
                bounded_name(node.name, "a node"),
                bounded_name(node.uid, "a node's UID"),
                _labels(node.labels),
                node.created_at_ns,
                node.deleted,
            )
            for node in message.nodes
        ),
        tuple(
            NamespaceFacts(bounded_name(each.name, "a namespace"), _labels(each.labels), each.deleted)
            for each in message.namespaces
        ),
        tuple(
            WaitingPod(
                bounded_name(pod.namespace, "a waiting pod's namespace"),
                bounded_name(pod.pod, "a waiting pod"),
                bounded_name(pod.pod_uid, "a waiting pod's UID"),
                pod.waiting_since_ns,
                {bounded_name(key, "a resource"): count for key, count in _few(pod.requests).items()},
            )
            for pod in message.waiting_pods
        ),
    )


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        bounded_name(key, "a label"): bounded_name(value, "a label") for key, value in _few(labels).items()
    }


def _few(values: Mapping[str, _Value]) -> Mapping[str, _Value]:
    if len(values) > MAX_LABELS:
        raise Reject(
            f"cluster facts: {len(values)} labels or requests of one object; {MAX_LABELS} is the most"
        )
    return values
