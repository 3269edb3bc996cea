"""An agent's end of the stream, by hand: says what a test wants, hears what comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from gpucost.cost_slice import CostSlice
from gpucost.v1 import stream_pb2, stream_pb2_grpc
from gpucost.wire import BatchContent, WindowSlices, batch_to_message

from contracts.ledger_rows import AGENT, MINUTE_NS, START_NS
from gpucost_aggregator.store.rows import AgentId


def a_hello(agent: AgentId = AGENT, **other: Any) -> stream_pb2.Hello:
    """A Hello in order; *other* are fields of it."""
    fields = {
        "role": stream_pb2.ROLE_AGENT,
        "cluster": agent.node.cluster,
        "node": agent.node.node,
        "boot_id": "boot-1",
        "version": "0.1.0",
        "epoch": agent.epoch,
        "next_sequence_number": 1,
        "window_ns": MINUTE_NS,
        **other,
    }
    return stream_pb2.Hello(**fields)


def a_message(number: int, *slices: CostSlice, **other: Any) -> stream_pb2.Batch:
    """The batch *number* with *slices* of one window; *other* are fields of BatchContent."""
    start_ns = slices[0].key.window_start_ns if slices else START_NS + number * MINUTE_NS
    window = WindowSlices(start_ns, MINUTE_NS, slices)
    closed = {"closed_through_ns": start_ns + MINUTE_NS, **other}
    return batch_to_message(BatchContent(number, window, **closed))


class Peer:
    """One open stream."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def say(self, **message: Any) -> None:
        """Send a message, by the name of its kind."""
        await self._call.write(stream_pb2.FromNode(**message))

    async def greet(self, hello: stream_pb2.Hello | None = None) -> stream_pb2.Welcome:
        """Say Hello, hear Welcome."""
        await self.say(hello=hello or a_hello())
        answer = await self.hear()
        assert answer.WhichOneof("message") == "welcome"
        return answer.welcome

    async def hear(self) -> stream_pb2.FromAggregator:
        """The next message."""
        answer = await self._call.read()
        assert answer is not grpc.aio.EOF, await self.end()
        return answer

    async def acknowledged(self, number: int) -> list[stream_pb2.FromAggregator]:
        """Read until *number* is acknowledged; what came before that, without acknowledgements."""
        others = []
        while True:
            answer = await self.hear()
            if answer.WhichOneof("message") != "ack":
                others.append(answer)
            elif answer.ack.sequence_number >= number:
                return others

    async def hang_up(self) -> None:
        """Say nothing more."""
        await self._call.done_writing()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the other side ended the stream."""
        while True:
            try:
                if await self._call.read() is grpc.aio.EOF:
                    break
            except grpc.aio.AioRpcError:
                break
        return await self._call.code(), await self._call.details()


@asynccontextmanager
async def a_peer(address: str) -> AsyncIterator[Peer]:
    """A stream to *address*, in plain text."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = stream_pb2_grpc.CostStreamStub(channel).Connect()
        yield Peer(call)
        call.cancel()
