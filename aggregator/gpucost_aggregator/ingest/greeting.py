"""What an agent says first, and whether anything can come of it. Pure."""

from dataclasses import dataclass

from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.window import check_window_ns
from gpucost.wire import MAX_NAME_BYTES

from gpucost_aggregator.store.rows import AgentId

_MOST_HASH_BYTES = 64
"""It is kept as long as its stream lives."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """
    A Hello that is in order. *is_watcher* tells a cluster's watcher from a node's agent; it sends no slices.

    *cluster_uid* is that of the kube-system namespace; empty where the caller can not read it.
    *price_book_version* names the price book that the agent goes by; empty without one.
    """

    agent: AgentId
    boot_id: str
    window_ns: int
    version: str
    next_sequence_number: int
    last_batch_sha256: bytes
    is_watcher: bool
    cluster_uid: str = ""
    price_book_version: str = ""

    @property
    def place(self) -> tuple[NodeId, bool]:
        """What there may be one live stream of."""
        return (self.agent.node, self.is_watcher)


def read_hello(message: stream_pb2.FromNode) -> Greeting:
    """
    The greeting in a stream's first message.

    Raises:
        Reject: Nothing can come of this stream; the text says what to change.
    """
    if message.WhichOneof("message") != "hello":
        raise Reject("the first message of a stream has to be Hello")
    hello = message.hello
    is_watcher = hello.role == stream_pb2.ROLE_CLUSTER_WATCHER
    _check_names(hello, is_watcher)
    return Greeting(
        AgentId(NodeId(hello.cluster, hello.node), hello.epoch),
        hello.boot_id,
        hello.window_ns,
        hello.version,
        hello.next_sequence_number,
        hello.last_batch_sha256,
        is_watcher,
        hello.cluster_uid.strip(),
        hello.price_book_version,
    )


def _check_names(hello: stream_pb2.Hello, is_watcher: bool) -> None:
    hints = {
        "cluster": "start the agent with --cluster",
        "node": "start the agent with --node",
        "epoch": "the agent's spool names it",
    }
    for name in ("cluster", "node", "epoch", "boot_id", "version", "cluster_uid", "price_book_version"):
        text = getattr(hello, name)
        if len(text.encode()) > MAX_NAME_BYTES:
            raise Reject(f"Hello: {name} has more than {MAX_NAME_BYTES} bytes")
        if name in hints and not text.strip() and not (is_watcher and name != "cluster"):
            raise Reject(f"Hello: {name} is empty: {hints[name]}")
    if len(hello.last_batch_sha256) > _MOST_HASH_BYTES:
        raise Reject(f"Hello: last_batch_sha256 has {len(hello.last_batch_sha256)} bytes; a SHA-256 has 32")


def check_window(window_ns: int, fleet_window_ns: int | None) -> None:
    """
    See that an agent's windows are those of all others; *fleet_window_ns* is None if there are none.

    Raises:
        Reject: They are not, or are no windows at all; the text says what to change.
    """
    try:
        check_window_ns(window_ns)
    except ValueError as trouble:
        raise Reject(f"Hello: {trouble} (--window-seconds of the agent)") from None
    if fleet_window_ns is not None and window_ns != fleet_window_ns:
        raise Reject(
            f"Hello: windows of {window_ns / NS_PER_SECOND:g} s, and this fleet's are "
            f"{fleet_window_ns / NS_PER_SECOND:g} s: one length holds for a fleet; "
            f"start the agent with --window-seconds={fleet_window_ns / NS_PER_SECOND:g}"
        )
