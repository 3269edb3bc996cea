"""A stream that tells what its node looks like now, and the law that nothing of it stays anywhere."""

import asyncio
from collections.abc import Callable

import grpc
from gpucost.v1 import stream_pb2

from contracts.agent_peer import Peer, a_message, a_peer
from contracts.ledger_rows import AGENT, a_slice
from contracts.live_glimpses import a_live, seen
from contracts.serving_streams import NOW_NS, Served


async def until(condition: Callable[[], object]) -> None:
    """Until it is so; the scene itself has an end."""
    while not condition():
        await asyncio.sleep(0.005)


async def tell(served: Served, peer: Peer, taken_at_ns: int = NOW_NS, used: int = 3) -> None:
    """Send a Live, until it has arrived."""
    before = served.lives.messages
    await peer.say(live=a_live(taken_at_ns, [seen(used=used)]))
    await until(lambda: served.lives.messages > before)


async def a_live_leaves_nothing(served: Served) -> None:
    """A Live between two batches is neither stored nor acknowledged, and moves no number of the stream."""
    answers: list[stream_pb2.FromAggregator] = []
    async with a_peer(served.address) as peer:
        await peer.greet()
        await tell(served, peer)
        for number in (1, 2):
            await peer.say(batch=a_message(number, a_slice(number)))
            while not answers or answers[-1].ack.sequence_number < number:
                answers.append(await peer.hear())
        await peer.say(goodbye=stream_pb2.Goodbye(reason="over", last_sequence_number=2))
        assert await peer.end() == (grpc.StatusCode.OK, "")
    assert [answer.WhichOneof("message") for answer in answers] == ["ack", "ack"]
    assert [answer.ack.sequence_number for answer in answers] == [1, 2]
    assert sorted(row.key.window_start_ns for row in served.store.rows.values()) == [
        a_slice(number).key.window_start_ns for number in (1, 2)
    ]
    durable = served.store.durable(AGENT)
    assert durable is not None
    assert durable.sequence_number == 2
    (progress,) = served.store.progress()
    assert progress.closed_through_ns == a_slice(3).key.window_start_ns
    assert served.counts.batches == len(served.store.sizes) == 2
    assert served.counts.sequence_gaps == served.counts.slices_refused == 0
