"""What a cluster's watcher sends: nodes, namespaces, pods that wait."""

from google.protobuf.message import DecodeError
from gpucost.cluster_wire import cluster_facts_from_message, cluster_facts_to_message
from gpucost.trouble import Reject
from gpucost.v1 import stream_pb2
from hypothesis import strategies as st

from fuzz.drawing import changed
from fuzz.shapes import see_typed
from fuzz.target import Target, holds
from fuzz.targets.batches import MAX_LABELS, MAX_NAME_BYTES, TOKENS, amounts, maps, names

counts = st.dictionaries(names, amounts, max_size=2) | st.just({f"r{n}": n for n in range(MAX_LABELS + 1)})
facts = st.builds(
    stream_pb2.ClusterFacts,
    seen_at_ns=amounts,
    complete=st.booleans(),
    nodes=st.lists(
        st.builds(
            stream_pb2.NodeFacts,
            name=names,
            uid=names,
            deleted=st.booleans(),
            labels=maps,
            created_at_ns=amounts,
        ),
        max_size=2,
    ),
    namespaces=st.lists(
        st.builds(stream_pb2.NamespaceFacts, name=names, deleted=st.booleans(), labels=maps), max_size=2
    ),
    waiting_pods=st.lists(
        st.builds(
            stream_pb2.WaitingPod,
            namespace=names,
            pod=names,
            pod_uid=names,
            waiting_since_ns=amounts,
            requests=counts,
        ),
        max_size=2,
    ),
)
SAMPLE = stream_pb2.ClusterFacts(
    seen_at_ns=5,
    nodes=[stream_pb2.NodeFacts(name="n1", uid="u", labels={"a": "b"}, created_at_ns=3)],
    namespaces=[stream_pb2.NamespaceFacts(name="chat", labels={"team": "a"})],
    waiting_pods=[
        stream_pb2.WaitingPod(namespace="chat", pod="p", waiting_since_ns=4, requests={"nvidia.com/gpu": 2})
    ],
).SerializeToString()
fact_bytes = st.one_of(facts.map(lambda message: message.SerializeToString()), changed([SAMPLE], TOKENS))


def check_facts(data: bytes) -> bool:
    """Facts are refused by Reject, or are those of the message, bounded, and come back as they were."""
    try:
        message = stream_pb2.ClusterFacts.FromString(data)
    except DecodeError:
        return False
    try:
        found = cluster_facts_from_message(message)
    except Reject:
        return False
    see_typed(found)
    holds(
        cluster_facts_from_message(cluster_facts_to_message(found)) == found,
        "written and read again they differ",
    )
    for node, said in zip(found.nodes, message.nodes, strict=True):
        read = (node.name, node.uid, node.created_at_ns, node.deleted, dict(node.labels))
        holds(
            read == (said.name, said.uid, said.created_at_ns, said.deleted, dict(said.labels)),
            f"{node} is not {said}",
        )
        holds(len(node.name.encode()) <= MAX_NAME_BYTES, "a name passes the bound")
        holds(len(node.labels) <= MAX_LABELS, "labels pass the bound")
    for each, raw in zip(found.namespaces, message.namespaces, strict=True):
        holds(
            (each.name, each.deleted, dict(each.labels)) == (raw.name, raw.deleted, dict(raw.labels)),
            f"{each}",
        )
    for pod, wait in zip(found.waiting_pods, message.waiting_pods, strict=True):
        names_read = (pod.namespace, pod.pod, pod.pod_uid, pod.waiting_since_ns, dict(pod.requests))
        names_said = (wait.namespace, wait.pod, wait.pod_uid, wait.waiting_since_ns, dict(wait.requests))
        holds(names_read == names_said, f"{pod} is not {wait}")
        holds(len(pod.requests) <= MAX_LABELS, "requests pass the bound")
    return True


TARGETS = (Target("cluster_facts", ("proto/gpucost/cluster_wire.py",), fact_bytes, check_facts),)
