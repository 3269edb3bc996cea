"""Several aggregators' web applications over real sockets, each with a board and a clock of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from gpucost.settings_source import HostPort

from contracts.agent_process import free_port
from contracts.hand_clock import HandClock
from contracts.memory_store import MemoryStore
from gpucost_aggregator.access.peer_access import PeerAccess, PeerTokens
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.api import Parts, make_app
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.peers.calling import peer_calls
from gpucost_aggregator.peers.counts import PeerCounts
from gpucost_aggregator.peers.gathering import Peers, PeersParts
from gpucost_aggregator.peers.names import LookUp, look_up

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Wish:
    """How a replica is set up. It asks all of them, itself among them, and *also* others; or only who is *named*."""

    token_file: Path | None = None
    also: tuple[HostPort, ...] = ()
    named: tuple[HostPort, ...] | None = None
    access: ReaderAccess = field(default_factory=ReaderAccess)
    is_served: bool = True
    look_up: LookUp = look_up
    answer_s: float = 5.0


@dataclass
class Replica:
    """One of them."""

    address: HostPort
    server: TestServer
    peers: Peers
    board: Board
    clock: HandClock
    store: MemoryStore
    counts: PeerCounts
    refused: list[Refused]

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        async with (
            ClientSession() as session,
            session.get(f"http://{self.address}{path}", headers=headers) as answer,
        ):
            return answer.status, dict(answer.headers), await answer.read()


@asynccontextmanager
async def replicas(now_ns: int, *wishes: Wish) -> AsyncIterator[Sequence[Replica]]:
    """One for each of *wishes*; their monotonic clocks have nothing in common."""
    addresses = [HostPort("127.0.0.1", free_port()) for _ in wishes]
    found: list[Replica] = []
    async with AsyncExitStack() as stack:
        readers = stack.enter_context(ThreadPoolExecutor(4))
        for number, (address, wish) in enumerate(zip(addresses, wishes, strict=True)):
            clock = HandClock(now_ns, (number + 1) * 10**15)
            board, store, counts = Board(), MemoryStore(), PeerCounts()
            refused: list[Refused] = []
            tokens = PeerTokens(wish.token_file)
            calls = await stack.enter_async_context(peer_calls(wish.answer_s))
            named = (*addresses, *wish.also) if wish.named is None else wish.named
            peers = Peers(
                PeersParts(
                    named, f"replica-{number}", tokens.shown, calls.ask, readers, clock, counts,
                    structlog.get_logger(), wish.look_up, wish.answer_s,
                )
            )  # fmt: skip
            stack.push_async_callback(peers.close)
            app = make_app(
                Parts(
                    store=store,
                    clock=clock,
                    readers=readers,
                    metrics_text=lambda: b"",
                    ready=lambda: (True, ""),
                    version="1",
                    access=wish.access,
                    on_refused=lambda trouble, _, refused=refused: refused.append(trouble),
                    board=board,
                    replica=f"replica-{number}",
                    peers=peers,
                    peer_access=PeerAccess(wish.is_served, tokens),
                    peer_counts=counts,
                )
            )
            server = TestServer(app, port=address.port)
            await server.start_server()
            stack.push_async_callback(server.close)
            found.append(Replica(address, server, peers, board, clock, store, counts, refused))
        yield found


@asynccontextmanager
async def a_stranger_at(address: HostPort, handle: Handler) -> AsyncIterator[HostPort]:
    """Something that listens at *address*, or port 0 for any, and is no aggregator of ours."""
    server = await asyncio.start_server(handle, address.host, address.port)
    try:
        yield HostPort(address.host, server.sockets[0].getsockname()[1])
    finally:
        server.close()


def a_stranger(handle: Handler) -> AbstractAsyncContextManager[HostPort]:
    """The same, at any port."""
    return a_stranger_at(HostPort("127.0.0.1", 0), handle)


def answering(head: str, body: bytes = b"") -> Handler:
    """Answers every request so, and hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what is said, and says nothing."""
    while await reader.read(1024):
        pass
    writer.close()


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Within a minute."""

    async def whole() -> None:
        async with asyncio.timeout(60):
            await scene

    asyncio.run(whole())
