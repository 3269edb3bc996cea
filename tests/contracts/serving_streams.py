"""An aggregator's end of the stream for tests: a real gRPC server over a store whose commits can be held up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from gpucost.clock import Clock, Instant
from gpucost.v1 import stream_pb2_grpc

from contracts.ledger_rows import (
    MINUTE_NS,
    START_NS,
)
from contracts.memory_store import MemoryStore
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ingest.service import CostStreamService, IngestParts
from gpucost_aggregator.ingest.writer import Writer, WriterLimits, WriterParts
from gpucost_aggregator.live.board import Board, LiveCounts
from gpucost_aggregator.store.rows import AcceptedBatch, CommitReport

NOW_NS = START_NS + 100 * MINUTE_NS


class StandingClock:
    def now(self) -> Instant:
        return Instant(NOW_NS, 0)


class GatedStore(MemoryStore):
    """A store whose commits wait until they are let through, and fail as they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.troubles: list[Exception] = []
        self.poison: AcceptedBatch | None = None
        self.sizes: list[int] = []

    def commit(self, batches: Sequence[AcceptedBatch]) -> CommitReport:
        assert self.gate.wait(30)
        if self.troubles:
            raise self.troubles.pop(0)
        if any(batch.boot_id == "poison" and batch.malformed is None for batch in batches):
            raise ValueError("a bug")
        self.sizes.append(len(batches))
        return super().commit(batches)


@dataclass
class Served:
    address: str
    store: GatedStore
    counts: Counts
    service: CostStreamService
    writer: Writer
    writing: asyncio.Task[None]
    board: Board | None = None

    @property
    def lives(self) -> LiveCounts:
        """What came of the Lives."""
        assert self.board is not None
        return self.board.counts


@asynccontextmanager
async def serving(
    folder: Path,
    limits: WriterLimits,
    store: GatedStore | None = None,
    *,
    board: Board | None = None,
    clock: Clock | None = None,
    prices: PriceShelf | None = None,
) -> AsyncIterator[Served]:
    store, counts, log = store or GatedStore(), Counts(), structlog.get_logger()
    clock = clock or StandingClock()
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as thread:
        writer = Writer(WriterParts(store, thread, clock, counts, log), limits)
        writing = asyncio.create_task(writer.run())
        parts = IngestParts(store, readers, writer, clock, counts, log, board=board, prices=prices)
        service = CostStreamService(parts)
        server = grpc.aio.server()
        stream_pb2_grpc.add_CostStreamServicer_to_server(service, server)
        address = f"unix:{folder}/grpc.sock"
        server.add_insecure_port(address)
        await server.start()
        try:
            yield Served(address, store, counts, service, writer, writing, board)
        finally:
            store.gate.set()
            writer.drain()
            service.stop()
            await server.stop(10)
            await asyncio.wait({writing})


Scene = Callable[[Served], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Runs a scene against a service of its own."""

    def run(
        scene: Scene,
        store: GatedStore | None = None,
        board: Board | None = None,
        clock: Clock | None = None,
        prices: PriceShelf | None = None,
        **limits: Any,
    ) -> None:
        async def whole() -> None:
            async with (
                asyncio.timeout(60),
                serving(
                    tmp_path,
                    WriterLimits(**{"coalesce_s": 0.0, "retry_s": 0.0, **limits}),
                    store,
                    board=board,
                    clock=clock,
                    prices=prices,
                ) as served,
            ):
                await scene(served)

        asyncio.run(whole())

    return run
