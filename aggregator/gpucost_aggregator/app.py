"""The only place that builds real things: store, streams, HTTP; starts them, and ends them in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from aiohttp import web
from gpucost import __version__
from gpucost.clock import Clock
from gpucost.logs import logger
from gpucost.settings_source import HostPort
from gpucost.system_clock import SystemClock
from gpucost.tls import server_credentials
from gpucost.v1 import stream_pb2_grpc
from gpucost.wire import MAX_MESSAGE_BYTES

from gpucost_aggregator.access.access_book import FILE_NAME as ACCESS_BOOK
from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.writers import WriterAccess, WritersParts
from gpucost_aggregator.admin.application import make_admin
from gpucost_aggregator.admin.backup_routes import backup_routes
from gpucost_aggregator.admin.join_routes import JoinParts, join_routes
from gpucost_aggregator.admin.prices_routes import PricesParts, prices_routes
from gpucost_aggregator.admin.quarantine_routes import quarantine_routes
from gpucost_aggregator.admin.reprice_routes import RepricingParts, reprice_routes
from gpucost_aggregator.admin.service_routes import service_routes
from gpucost_aggregator.admin.serving import serving_admin
from gpucost_aggregator.admin.socket_place import FILE_NAME as ADMIN_SOCKET_NAME
from gpucost_aggregator.api import Parts, make_app
from gpucost_aggregator.closing.closer import Closer
from gpucost_aggregator.entrances import (
    file_of_writers,
    reader_access,
    tell_failed_reviews,
    tell_refused_readers,
    tell_what_is_open,
)
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.limits import StreamLimits
from gpucost_aggregator.ingest.price_shelf import FILE_NAME as PRICES
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ingest.quarantine import Quarantine, QuarantineParts
from gpucost_aggregator.ingest.service import CostStreamService, IngestParts
from gpucost_aggregator.ingest.writer import Writer, WriterParts
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.metrics import Metrics
from gpucost_aggregator.ports import try_port, why_not_bound
from gpucost_aggregator.replicas import ReplicaParts, lease_of, peer_access, peers_of, replica_name
from gpucost_aggregator.settings import GRPC_LISTEN, HTTP_LISTEN, Settings
from gpucost_aggregator.store.backup_rows import Backup, BackupOrder
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore

_READERS = 8
_STOP_GRACE_S = 15.0
_GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Without this a second aggregator would share the port without a word, and get half of the agents.
    ("grpc.so_reuseport", 0),
    # Agents ping every 30 s; by default a server hangs up on who pings more often than every 5 minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # An agent that is gone without a word is noticed within a minute and a half.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # An agent hangs up within 36 minutes; whoever does not, and does not read either, is not kept for ever.
    ("grpc.max_connection_age_ms", 45 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    # A caller that does not even finish TLS, or opens many streams on one connection, stays small.
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_metadata_size", 16_384),
    # Else gRPC takes in megabytes of a fast sender that nobody reads yet. 64 KiB on their way are enough for an agent.
    ("grpc.http2.bdp_probe", 0),
)
_MOST_CALLS = StreamLimits().streams + StreamLimits().handshakes
"""Calls of any kind, before anything of ours looks at them; gRPC refuses the others itself."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What listens where, and the writer's task, which ends early only where the store can not be used any more."""

    grpc: HostPort
    http: HostPort
    writing: asyncio.Task[None]


async def run(settings: Settings) -> None:
    """
    Serve until SIGTERM or SIGINT; then acknowledge what has come, and close the store.

    Raises:
        Stop: Something can not be opened (exit codes 2, 4, 5, 6), or the store gave up (5).
    """
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with serving(settings) as served:
        waiting = asyncio.create_task(asked.wait())
        await asyncio.wait({waiting, served.writing}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    await served.writing


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    """
    Everything built and started; left, it ends in the opposite order.

    Raises:
        Stop: As in `run`.
    """
    log = logger("gpucost-aggregator")
    clock, counts = SystemClock(), Counts()
    credentials = _before_the_store(settings)
    readers_access = reader_access(settings, log, tell_failed_reviews(counts, clock, log))
    writers_file, peers_access = file_of_writers(settings, log), peer_access(settings.replicas)
    async with AsyncExitStack() as stack:
        store = DuckDBStore(settings.data_dir, StoreOptions(settings.memory_limit_bytes, settings.threads))
        stack.callback(store.close)
        book, prices = AccessBook(settings.data_dir), PriceShelf(settings.data_dir)
        access = WriterAccess(WritersParts(book, settings.access.asks_writers, writers_file))
        stack.callback(access.close)
        stack.callback(readers_access.rights.close)
        readers = stack.enter_context(ThreadPoolExecutor(_READERS, "reader"))
        here = ReplicaParts(replica_name(), readers, clock, counts, log)
        # Before all that is done under it, so that it is left only once that has ended.
        lease = await stack.enter_async_context(lease_of(settings.replicas, here))
        peers = await stack.enter_async_context(peers_of(settings.replicas, here))
        thread = stack.enter_context(ThreadPoolExecutor(1, "writer"))
        writer = Writer(WriterParts(store, thread, clock, counts, log))
        board = Board(counts.live)
        service = CostStreamService(
            IngestParts(
                store,
                readers,
                writer,
                clock,
                counts,
                log,
                access=access,
                book=book,
                board=board,
                prices=prices,
            )
        )
        is_serving = asyncio.Event()
        web_app = make_app(
            Parts(
                store=store,
                clock=clock,
                readers=readers,
                metrics_text=Metrics(
                    counts, writer, __version__, lambda: len(board.fresh(clock.now())), lease
                ).text,
                ready=_readiness(is_serving),
                version=__version__,
                access=readers_access,
                on_refused=tell_refused_readers(counts, clock, log),
                duplicate_agents=service.duplicate_agents,
                board=board,
                replica=here.replica,
                peers=peers,
                peer_access=peers_access,
                peer_counts=counts.peers,
            )
        )
        http = await stack.enter_async_context(_http(web_app, settings.http_listen))
        writing = asyncio.create_task(writer.run())
        stack.push_async_callback(_end_writer, writer, writing)
        await stack.enter_async_context(_closing(Closer(store, writer.alone, clock, counts, log, lease)))
        grpc_at = await stack.enter_async_context(
            _streams(service, writer, settings.grpc_listen, credentials)
        )
        identity = store.identity()
        admin = make_admin(
            log,
            service_routes(
                lambda: {
                    "version": __version__,
                    "store_id": identity.store_id,
                    "writers_asked": access.is_asked,
                    "readers_asked": readers_access.is_asked,
                    "duplicate_agents": [
                        f"{node.cluster}/{node.node}" for node in service.duplicate_agents()
                    ],
                }
            ),
            join_routes(
                JoinParts(
                    book,
                    readers,
                    clock,
                    log,
                    service.end_streams_of,
                    str(grpc_at),
                    is_encrypted=settings.tls is not None,
                )
            ),
            quarantine_routes(Quarantine(QuarantineParts(store, readers, writer, clock, counts, log))),
            prices_routes(
                PricesParts(prices, readers, clock, log, service.prices_changed, service.books_named)
            ),
            reprice_routes(RepricingParts(store, readers, writer.alone, clock, log)),
            backup_routes(_backup(store, settings.data_dir, clock), readers, log),
        )
        admin_path = settings.admin_socket or settings.data_dir / ADMIN_SOCKET_NAME
        await stack.enter_async_context(serving_admin(admin, admin_path))
        is_serving.set()
        stack.callback(is_serving.clear)
        log.info(
            "serving", version=__version__, grpc=str(grpc_at), http=str(http), store_id=identity.store_id
        )
        tell_what_is_open(settings, access, readers_access, log)
        yield Serving(grpc_at, http, writing)
        log.info("stopping")


def _before_the_store(settings: Settings) -> grpc.ServerCredentials | None:
    """
    What the streams are encrypted with; and the ports are free.

    A start that comes to nothing leaves nothing behind, so this is looked at before a store is made.
    """
    tls = settings.tls
    credentials = (
        None if tls is None else server_credentials(tls.ca, tls.cert, tls.key, _log_refused_certificate)
    )
    # gRPC tells only that it could not bind; this tells why.
    try_port(GRPC_LISTEN.flag, settings.grpc_listen)
    try_port(HTTP_LISTEN.flag, settings.http_listen)
    return credentials


def _readiness(is_serving: asyncio.Event) -> Callable[[], tuple[bool, str]]:
    return lambda: (True, "") if is_serving.is_set() else (False, "starting or stopping")


def _backup(store: DuckDBStore, data_dir: Path, clock: Clock) -> Callable[[Path], Backup]:
    """Who may write, and at what prices, belongs to a store as much as its rows, so it travels along."""

    def make(target: Path) -> Backup:
        files = {}
        for name in (ACCESS_BOOK, PRICES):
            with suppress(FileNotFoundError):
                files[name] = (data_dir / name).read_bytes()
        return store.backup(BackupOrder(target, clock.now().wall_ns, files))

    return make


@asynccontextmanager
async def _closing(closer: Closer) -> AsyncIterator[None]:
    task = asyncio.create_task(closer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _end_writer(writer: Writer, writing: asyncio.Task[None]) -> None:
    writer.drain()
    # A store that gave up is told by whoever awaits the task; here only the end matters.
    await asyncio.wait({writing})


@asynccontextmanager
async def _http(web_app: web.Application, address: HostPort) -> AsyncIterator[HostPort]:
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host or None, address.port).start()
        except OSError as trouble:
            raise why_not_bound(HTTP_LISTEN.flag, address, trouble) from None
        yield HostPort(address.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _streams(
    service: CostStreamService,
    writer: Writer,
    address: HostPort,
    credentials: grpc.ServerCredentials | None,
) -> AsyncIterator[HostPort]:
    server = grpc.aio.server(options=_GRPC_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
    stream_pb2_grpc.add_CostStreamServicer_to_server(service, server)  # type: ignore[no-untyped-call]  # generated
    place = str(HostPort(address.host or "::", address.port))
    try:
        port = (
            server.add_insecure_port(place)
            if credentials is None
            else server.add_secure_port(place, credentials)
        )
    except RuntimeError:
        # Somebody took it since it was tried.
        try_port(GRPC_LISTEN.flag, address)
        raise
    await server.start()
    try:
        yield HostPort(address.host, port)
    finally:
        # Streams end once what they have read is durable, so the writer stops gathering first.
        writer.drain()
        service.stop()
        await server.stop(_STOP_GRACE_S)


def _log_refused_certificate(reason: str) -> None:
    logger("gpucost-aggregator").error("certificate_not_taken", reason=reason)
