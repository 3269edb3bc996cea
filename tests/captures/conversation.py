"""
One conversation of each kind on the wire, as today's programs speak it, with every field that they fill.

`python tests/captures/conversation.py` (`make capture`) writes its bytes for the version that is being released.
What was written for a release is never written again: newer programs have to understand it as it is.
"""

import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / part) for part in ("proto", "agent", "aggregator", "hack", "tests")]

from gpucost import __version__  # noqa: E402
from gpucost.cluster_wire import cluster_facts_to_message  # noqa: E402
from gpucost.facts import (  # noqa: E402
    ClusterFacts,
    GpuFacts,
    NamespaceFacts,
    NodeFacts,
    WaitingPod,
    WorkloadFacts,
)
from gpucost.v1 import stream_pb2  # noqa: E402
from gpucost.wire import WindowSlices, table_to_message  # noqa: E402

from contracts import sliced_fleet  # noqa: E402
from contracts.agent_peer import a_hello, a_message  # noqa: E402
from contracts.ledger_rows import GPU, MINUTE_NS, POD, START_NS, a_free_slice, a_slice  # noqa: E402
from contracts.price_books import a_book  # noqa: E402
from gpucost_aggregator.store.rows import AgentId  # noqa: E402

_LENGTH = struct.Struct(">I")
AGENT = AgentId(sliced_fleet.NODE, "5b0a7f3e-6f0c-4f65-9a55-0d0a3f6c8e11")


def from_agent() -> Iterator[stream_pb2.FromNode]:
    """A node's agent: two windows on every kind of device, what it looks like now, and its farewell."""
    yield stream_pb2.FromNode(
        hello=a_hello(
            AGENT,
            cluster_uid="6d1f0c0e-8f4b-4c1e-9a0e-2b7f3a1c9d55",
            next_sequence_number=3,
            last_batch_sha256=bytes(range(32)),
            clock_ns=START_NS + 3 * MINUTE_NS,
            price_book_version="2026-11-01",
            version=__version__,
        )
    )
    pod = WorkloadFacts(
        POD.namespace,
        POD.pod,
        POD.pod_uid,
        START_NS,
        {"team": "a"},
        {"gpucost.dev/model": "m"},
        "Job",
        "train",
    )
    gpu = GpuFacts(GPU.gpu_uuid, "NVIDIA H100 80GB HBM3", 80 << 30, "p5.48xlarge", "us-east-1", START_NS)
    for number in (1, 2):
        rows = sliced_fleet.window_of_fleet(START_NS + (number - 1) * MINUTE_NS, number - 1, 2, MINUTE_NS)
        told = {"workloads": (pod,), "gpus": (gpu,)} if number == 1 else {}
        yield stream_pb2.FromNode(batch=a_message(number, *rows, price_book_version="2026-11-01", **told))
    seen = WindowSlices(START_NS + 2 * MINUTE_NS, MINUTE_NS // 10, (a_slice(2), a_free_slice(2)))
    yield stream_pb2.FromNode(
        live=stream_pb2.Live(taken_at_ns=START_NS + 3 * MINUTE_NS, table=table_to_message(seen))
    )
    yield stream_pb2.FromNode(
        goodbye=stream_pb2.Goodbye(reason="the agent was asked to stop", last_sequence_number=2)
    )


def from_watcher() -> Iterator[stream_pb2.FromNode]:
    """A cluster's watcher: everything, and then what changed."""
    yield stream_pb2.FromNode(
        hello=stream_pb2.Hello(
            role=stream_pb2.ROLE_CLUSTER_WATCHER, cluster="east", cluster_uid="uid", version=__version__
        )
    )
    node = NodeFacts("node-1", "uid-1", {"nvidia.com/gpu.product": "H100"}, START_NS)
    waiting = WaitingPod("research", "train-1", "uid-9", START_NS, {"nvidia.com/gpu": 8})
    everything = ClusterFacts(
        START_NS, True, (node,), (NamespaceFacts("research", {"team": "a"}),), (waiting,)
    )
    gone = ClusterFacts(
        START_NS + 1, False, (NodeFacts("node-1", "uid-1", {}, START_NS, deleted=True),), (), ()
    )
    for facts in (everything, gone):
        yield stream_pb2.FromNode(cluster_facts=cluster_facts_to_message(facts))


def from_aggregator() -> Iterator[stream_pb2.FromAggregator]:
    """All that an aggregator says."""
    yield stream_pb2.FromAggregator(
        welcome=stream_pb2.Welcome(
            durable_sequence_number=1,
            durable_batch_sha256=bytes(range(32)),
            store_id="8c1b1b0e-54a4-4b7e-b0b4-0f7cbd5a5a0f",
            store_generation=2,
            clock_ns=START_NS,
            price_book_version="2026-11-01",
            live_interval_ns=8_000_000_000,
        )
    )
    yield stream_pb2.FromAggregator(
        price_book=stream_pb2.PriceBook(version="2026-11-01", yaml=a_book("2026-11-01"))
    )
    yield stream_pb2.FromAggregator(slow=stream_pb2.Slow(wait_ns=2_000_000_000))
    refused = stream_pb2.Reject.Refused(slice=3, reason="is from the future")
    yield stream_pb2.FromAggregator(reject=stream_pb2.Reject(sequence_number=2, refused=[refused]))
    yield stream_pb2.FromAggregator(ack=stream_pb2.Ack(sequence_number=2))


def framed(messages: Iterable[stream_pb2.FromNode | stream_pb2.FromAggregator]) -> bytes:
    """Messages one after the other, each behind its length."""
    encoded = (message.SerializeToString(deterministic=True) for message in messages)
    return b"".join(_LENGTH.pack(len(each)) + each for each in encoded)


def unframed(data: bytes) -> Iterator[bytes]:
    """The bytes of each message."""
    place = 0
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size + length
        yield data[place - length : place]


CONVERSATIONS = {"agent": from_agent, "watcher": from_watcher, "aggregator": from_aggregator}


def main() -> int:
    """Write what is not there yet."""
    folder = FOLDER / __version__
    if folder.exists():
        sys.stderr.write(f"{folder} is there already: what is out does not change; move the version first\n")
        return 1
    folder.mkdir()
    for name, messages in CONVERSATIONS.items():
        (folder / f"{name}.frames").write_bytes(framed(messages()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
