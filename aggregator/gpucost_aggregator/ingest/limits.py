"""How much of the aggregator callers may take up before they are known, and after."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """
    Bounds of streams.

    *handshakes*: streams between their call and their Welcome; each takes a thread's look into the store.
    *streams*: all of them: 10,000 nodes, twice, as each may be replaced by a newer one.
    *streams_a_writer*: those of one identity; Kubernetes holds 5,000 nodes in a cluster.
    *hello_s*: how long a caller may keep silent before its Hello.
    *send_s*: how long an answer may wait for a caller who does not read.
    *end_s*: how long the word that a stream has ended may wait for the same.
    """

    handshakes: int = 256
    streams: int = 20_000
    streams_a_writer: int = 10_000
    hello_s: float = 30.0
    send_s: float = 60.0
    end_s: float = 5.0
