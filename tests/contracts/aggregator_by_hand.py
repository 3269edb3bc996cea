"""The aggregator's end of the stream as a real gRPC server that keeps what it gets in memory."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from gpucost.v1 import stream_pb2, stream_pb2_grpc

PATIENCE_S = 30.0
"""How long a test waits for what has to come; it comes within a moment."""


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for *condition*, generously."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what or "it did not come"
        time.sleep(0.005)


@dataclass
class Aggregator(stream_pb2_grpc.CostStreamServicer):
    """
    Acknowledges each batch unless told otherwise.

    *cuts* are numbers at whose first arrival the stream breaks instead; *slows* are numbers after which it says
    Slow. While *acknowledging* is not set it keeps silent. *book* is sent after the Welcome.
    """

    durable: int = 0
    sha256: bytes = b""
    epoch: str = ""
    cuts: set[int] = field(default_factory=set)
    slows: dict[int, int] = field(default_factory=dict)
    refuses: dict[int, str] = field(default_factory=dict)
    hellos: list[stream_pb2.Hello] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    live_every_ns: int = 0
    clock_ns: int = 0
    book: stream_pb2.PriceBook | None = None
    lives: list[stream_pb2.Live] = field(default_factory=list)
    goodbyes: list[tuple[int, int]] = field(default_factory=list)
    acknowledging: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.acknowledging.set()

    def Connect(  # noqa: N802  # the name of the call
        self, request_iterator: Iterator[stream_pb2.FromNode], context: Any
    ) -> Iterator[stream_pb2.FromAggregator]:
        hello = next(request_iterator).hello
        self.hellos.append(hello)
        if self.epoch and hello.epoch != self.epoch:
            self.durable, self.sha256 = 0, b""
        self.epoch = hello.epoch
        yield stream_pb2.FromAggregator(
            welcome=stream_pb2.Welcome(
                durable_sequence_number=self.durable,
                durable_batch_sha256=self.sha256,
                live_interval_ns=self.live_every_ns,
                clock_ns=self.clock_ns,
            )
        )
        if self.book is not None:
            yield stream_pb2.FromAggregator(price_book=self.book)
        for message in request_iterator:
            if message.HasField("goodbye"):
                self.goodbyes.append((message.goodbye.last_sequence_number, self.durable))
                return
            if message.HasField("live"):
                self.lives.append(message.live)
                continue
            yield from self._answers(message.batch.sequence_number, context)

    def _answers(self, number: int, context: Any) -> Iterator[stream_pb2.FromAggregator]:
        self.arrived.append(number)
        self.in_flight.append(number - self.durable)
        if number in self.cuts:
            self.cuts.remove(number)
            context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
        if number in self.slows:
            yield stream_pb2.FromAggregator(slow=stream_pb2.Slow(wait_ns=self.slows[number]))
        if number in self.refuses:
            refused = stream_pb2.Reject.Refused(slice=0, reason=self.refuses[number])
            yield stream_pb2.FromAggregator(
                reject=stream_pb2.Reject(sequence_number=number, refused=[refused])
            )
        if self.acknowledging.is_set():
            self.durable, self.sha256 = max(self.durable, number), b""
            yield stream_pb2.FromAggregator(ack=stream_pb2.Ack(sequence_number=self.durable))


class Door:
    """A port of this machine behind which an aggregator may be or not."""

    def __init__(self) -> None:
        self._server: grpc.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self, aggregator: Aggregator) -> None:
        """Somebody is there from now on, at the same port as before."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        stream_pb2_grpc.add_CostStreamServicer_to_server(aggregator, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def shut(self) -> None:
        """Nobody is there any more; streams break."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None
