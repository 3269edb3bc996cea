"""What aggregators tell each other of their nodes <-> protobuf; bounded and checked before anything else sees it."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.v1 import peers_pb2
from gpucost.wire_bounds import bounded_name, each_or_reject


@dataclass(frozen=True, slots=True)
class ToldGlimpse:
    """
    A node's latest Live, as the aggregator tells it at which the node's stream ends.

    *taken_at_ns* is by the node's clock; *age_ns* is how long ago it came there; *table* is unread.
    """

    node: NodeId
    taken_at_ns: int
    age_ns: int
    table: bytes


@dataclass(frozen=True, slots=True)
class ToldGlimpses:
    """
    All that one aggregator tells. *replica* is its process; *interval_ns* is how often its nodes are asked to tell.

    *unreadable*: so many were left out as they passed a bound.
    """

    replica: str
    interval_ns: int
    glimpses: tuple[ToldGlimpse, ...]
    unreadable: int = 0


def glimpses_to_bytes(replica: str, interval_ns: int, glimpses: Iterable[ToldGlimpse]) -> bytes:
    """The message of *replica*, encoded."""
    message = peers_pb2.Glimpses(
        replica=replica,
        interval_ns=interval_ns,
        glimpses=[
            peers_pb2.Glimpse(
                cluster=each.node.cluster,
                node=each.node.node,
                taken_at_ns=each.taken_at_ns,
                age_ns=each.age_ns,
                table=each.table,
            )
            for each in glimpses
        ],
    )
    return message.SerializeToString()


def glimpses_from_bytes(encoded: bytes) -> ToldGlimpses:
    """
    What *encoded* says; a glimpse that passes a bound is left out and counted.

    Raises:
        Reject: It is no such message, or names no replica.
    """
    try:
        message = peers_pb2.Glimpses.FromString(encoded)
    except DecodeError:
        raise Reject("its bytes are no glimpses") from None
    if not message.replica or message.interval_ns <= 0:
        raise Reject("it does not say whose glimpses they are, or how often they come")
    read = each_or_reject(_glimpse, message.glimpses)
    found = tuple(each for each in read if not isinstance(each, Reject))
    replica = bounded_name(message.replica, "the name of a replica")
    return ToldGlimpses(replica, message.interval_ns, found, len(read) - len(found))


def _glimpse(message: peers_pb2.Glimpse) -> ToldGlimpse:
    cluster, node = bounded_name(message.cluster, "a cluster"), bounded_name(message.node, "a node")
    if not cluster or not node or message.age_ns < 0:
        raise Reject("a glimpse of no node, or from the future")
    return ToldGlimpse(NodeId(cluster, node), message.taken_at_ns, message.age_ns, message.table)
