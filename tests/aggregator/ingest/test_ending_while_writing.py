"""A stream that is ended while an answer is on its way: gRPC ends no call that still writes."""

import asyncio
from typing import cast

from gpucost.v1 import stream_pb2

from gpucost_aggregator.ingest.greeting import Greeting
from gpucost_aggregator.ingest.sessions import Session


class SlowLine:
    """Takes a message once it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.written = 0

    async def write(self, message: stream_pb2.FromAggregator) -> None:
        await self.open.wait()
        self.written += 1


def test_an_answer_that_was_begun_is_written_before_the_end() -> None:
    async def scene() -> None:
        line = SlowLine()
        sending = asyncio.create_task(asyncio.sleep(60))
        session = Session(cast(Greeting, None), line, sending)
        sending.cancel()
        sending = asyncio.create_task(
            session.send(stream_pb2.FromAggregator(ack=stream_pb2.Ack(sequence_number=1)))
        )
        await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert line.written == 0
        await session.settle(0.01)
        assert line.written == 0
        line.open.set()
        await session.settle(5)
        assert line.written == 1

    asyncio.run(scene())


def test_a_stream_that_writes_nothing_is_settled() -> None:
    async def scene() -> None:
        session = Session(cast(Greeting, None), SlowLine(), asyncio.create_task(asyncio.sleep(0)))
        await session.settle(0.01)

    asyncio.run(scene())
