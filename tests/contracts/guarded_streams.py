"""An aggregator's door for tests: real gRPC, real TLS where asked for, and callers who show what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog
from gpucost.clock import Instant
from gpucost.tls import channel_credentials, server_credentials
from gpucost.v1 import stream_pb2_grpc

from contracts.agent_peer import Peer
from contracts.certificates import Pair
from contracts.memory_store import MemoryStore
from contracts.serving_streams import NOW_NS
from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.writers import WriterAccess, WritersParts
from gpucost_aggregator.access.writers_file import Writers
from gpucost_aggregator.app import _GRPC_OPTIONS
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.limits import StreamLimits
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ingest.service import CostStreamService, IngestParts
from gpucost_aggregator.ingest.writer import Writer, WriterLimits, WriterParts


@dataclass
class SetClock:
    """Stands where a test sets it."""

    wall_ns: int = NOW_NS
    monotonic_ns: int = 0

    def now(self) -> Instant:
        return Instant(self.wall_ns, self.monotonic_ns)


@dataclass
class Guarded:
    """What is guarded, and how to call it."""

    address: str
    book: AccessBook
    counts: Counts
    store: MemoryStore
    service: CostStreamService
    clock: SetClock
    prices: PriceShelf

    @asynccontextmanager
    async def call(
        self, token: str = "", pair: Pair | None = None, ca: Path | None = None, *, small: bool = False
    ) -> AsyncIterator[Peer]:
        """
        A stream by somebody who shows *token* or *pair*; encrypted where there is an authority to trust.

        A *small* one takes few bytes before its caller reads them.
        """
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
        if small:
            options += [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1_024)]
        trusted = ca or (pair.ca if pair else None)
        if trusted is None:
            channel = grpc.aio.insecure_channel(self.address, options)
        else:
            shown = (pair.cert, pair.key) if pair else (None, None)
            channel = grpc.aio.secure_channel(self.address, channel_credentials(trusted, *shown), options)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with channel:
            call = stream_pb2_grpc.CostStreamStub(channel).Connect(metadata=metadata)
            yield Peer(call)
            call.cancel()


@dataclass(frozen=True)
class Doors:
    """How the aggregator is set up."""

    always: bool = True
    writers: Writers = field(default_factory=Writers)
    limits: StreamLimits = field(default_factory=StreamLimits)
    server: Pair | None = None
    authority: Path | None = None


Scene = Callable[[Guarded], Coroutine[Any, Any, None]]


def play_at(folder: Path, doors: Doors, scene: Scene) -> None:
    """Runs *scene* against an aggregator behind *doors*, with its book in *folder*."""

    async def whole() -> None:
        async with asyncio.timeout(60), _guarded(folder, doors) as guarded:
            await scene(guarded)

    asyncio.run(whole())


@asynccontextmanager
async def _guarded(folder: Path, doors: Doors) -> AsyncIterator[Guarded]:
    store, counts, clock, log = MemoryStore(), Counts(), SetClock(), structlog.get_logger()
    book = AccessBook(folder)
    access = WriterAccess(WritersParts(book, doors.always, lambda: doors.writers))
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as thread:
        writer = Writer(WriterParts(store, thread, clock, counts, log), WriterLimits(coalesce_s=0.0))
        writing = asyncio.create_task(writer.run())
        prices = PriceShelf(folder)
        parts = IngestParts(
            store, readers, writer, clock, counts, log, access, book, limits=doors.limits, prices=prices
        )
        service = CostStreamService(parts)
        server = grpc.aio.server(options=_GRPC_OPTIONS)
        stream_pb2_grpc.add_CostStreamServicer_to_server(service, server)
        if doors.server is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            own = doors.server
            port = server.add_secure_port(
                "127.0.0.1:0", server_credentials(doors.authority, own.cert, own.key)
            )
        await server.start()
        try:
            yield Guarded(f"127.0.0.1:{port}", book, counts, store, service, clock, prices)
        finally:
            writer.drain()
            service.stop()
            await server.stop(1)
            await asyncio.wait({writing})
            access.close()
