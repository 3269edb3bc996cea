"""
The agent, put together: the only place where real things are built and threads are started.

Threads, no event loop: a driver call that hangs holds up its own GPU and nothing else.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import grpc
from gpucost import __version__, logs, tls
from gpucost.clock import Clock, Instant
from gpucost.identity import NodeId
from gpucost.system_clock import SystemClock
from gpucost.trouble import EXIT_NO_DRIVER, Retry, Stop
from gpucost.units import NS_PER_DAY, NS_PER_SECOND
from gpucost.window import window_of
from structlog.typing import FilteringBoundLogger

from gpucost_agent import heap
from gpucost_agent.abridging import abridging
from gpucost_agent.fleet_clock import FleetClock, Offsets
from gpucost_agent.fleet_prices import open_prices
from gpucost_agent.glimpse import Glimpse
from gpucost_agent.journal import Beginning, Journal, read_story
from gpucost_agent.keeping import Keeping
from gpucost_agent.ledger.books import Books, Method
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.loops.closing import close_for_good, close_windows
from gpucost_agent.loops.exporter import watch_exporter
from gpucost_agent.loops.gpus import watch_driver, watch_gpu
from gpucost_agent.loops.holders import known_gpus, watch_holders, watch_nobody
from gpucost_agent.loops.relay import Relay
from gpucost_agent.loops.room import ClusterSource, Room
from gpucost_agent.metrics import Metrics, serve
from gpucost_agent.price_copy import PriceCopy
from gpucost_agent.price_news import PriceNews, recall_prices
from gpucost_agent.quoting import Quoting
from gpucost_agent.readings import Boot, Gpu, GpusSeen
from gpucost_agent.recovery import Recovery
from gpucost_agent.settings import Settings
from gpucost_agent.sources.dcgm import Dcgm
from gpucost_agent.sources.driver.nvml import Driver, open_driver
from gpucost_agent.sources.host.host_files import HostFiles
from gpucost_agent.sources.host.processes import Processes
from gpucost_agent.sources.kubelet.pod_resources import NodeFiles, PodResources
from gpucost_agent.sources.pods.kube_pods import KubeAccess, open_kube_pods
from gpucost_agent.sources.pods.kubelet_pods import KubeletAccess, KubeletPods
from gpucost_agent.spool import Bounds, Spool
from gpucost_agent.stand_alone import Table
from gpucost_agent.stream import Caller, Stream, Target
from gpucost_agent.stream_news import CLOCK_NOTE, StreamNews

LATENESS_NS = 10 * NS_PER_SECOND
"""Windows close this late, so that end times from the API server have arrived."""

ALONE_LATENESS_NS = 2 * NS_PER_SECOND
"""Without an API server only the driver's next sample is waited for."""

FLUSH_S = 25.0
"""How long an agent that was asked to stop waits for the last acknowledgement; Kubernetes kills after 30 s."""

SHOW_SPOOL_S = 5.0
"""How old what /metrics says of the spool may be."""

EXIT_BUG = 1

_SILENT_NS = 60 * NS_PER_SECOND
"""A GPU that was not read for this long has a hung driver."""


def run(settings: Settings) -> int:
    """
    Run until a signal; the exit code.

    Raises:
        Stop: It can not begin, or can not go on.
    """
    heap.share()
    logs.configure(settings.log_format, settings.log_level)
    where = {"cluster": settings.cluster, "node": settings.node}
    log = logs.logger("gpucost-agent").bind(**{name: value for name, value in where.items() if value})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = FleetClock(SystemClock())
    quoting = Quoting(open_prices(settings.price_book), settings.cluster)
    credentials = _credentials(settings)
    driver, gpus = _driver(log)
    spool = None if settings.stand_alone else _spool(settings, log)
    boot = _boot(Processes(settings.proc_root, clock), clock.now(), log)
    if spool is not None:
        _set_clock(clock, spool, boot)
        open_window = window_of(clock.now().wall_ns, settings.window_ns)
        recall_prices(quoting.prices, PriceCopy(settings.spool_dir), open_window, log)
    cluster = _follow_cluster(settings, clock, stop)
    node, metrics = NodeId(settings.cluster, settings.node), Metrics()
    metrics.price_book.ask = lambda: (quoting.prices.source, quoting.prices.version)
    method = Method(
        settings.window_ns,
        settings.kubelet_grace_ns,
        ALONE_LATENESS_NS if settings.stand_alone else LATENESS_NS,
        settings.fractions,
    )
    if spool is not None:
        _recover(Recovery(node, method, quoting, clock, metrics, log, spool), settings)
    first_look = clock.now()
    books = Books(
        node,
        method,
        lambda gpu_uuid, at_ns: quoting.quote(room, gpu_uuid, at_ns),
        first_look.wall_ns,
        replace(boot, booted_at_ns=boot.booted_at_ns + clock.off_ns()),
        _before(spool, log),
        Directory(stand_alone=settings.stand_alone),
    )
    room = Room(books, clock, metrics, log, cluster, stop, first_look.monotonic_ns)
    if spool is not None:
        room.journal = Journal(settings.spool_dir, _beginning(books))
    threading.excepthook = lambda failure: _bug(room, failure)
    room.take(GpusSeen(gpus, first_look.wall_ns), first_look)
    serve(settings.metrics_listen, room.metrics, lambda: _healthy(room), lambda: _ready(room))
    _start_driver(room, settings, driver, gpus)
    log.info("agent_started", version=__version__, gpus=len(gpus), driver=driver.version())
    if spool is None:
        return _stand_alone(room)
    _remember(room, spool)
    _start_holders(room, settings)
    keeping = Keeping(room, spool, quoting)
    _start("closing", close_windows, room, keeping.keep)
    stream = _start_stream(room, settings, spool, keeping, credentials)
    _wait(room, keeping)
    return _end(room, spool, keeping, stream)


def _start_driver(room: Room, settings: Settings, driver: Driver, gpus: tuple[Gpu, ...]) -> None:
    relay = Relay()

    def start(gpu: Gpu) -> None:
        # What a thread remembers of processes is its own: a GPU that hangs keeps no other from looking.
        processes = Processes(settings.proc_root, room.clock)
        _start(
            f"gpu-{gpu.index}",
            watch_gpu,
            room,
            gpu,
            driver.reader(gpu, room.clock, room.clock.off_ns),
            processes,
            relay.join(),
        )

    for gpu in gpus:
        start(gpu)
    _start("driver", watch_driver, room, driver.gpus, start)
    if settings.dcgm_url is not None:
        exporter = Dcgm(lambda: settings.dcgm_url or _exporter_url(room), room.clock)
        _start("dcgm", watch_exporter, room, exporter, bool(settings.dcgm_url))


def _exporter_url(room: Room) -> str:
    latest = room.cluster_now()
    return latest.dcgm_url if latest is not None else ""


def _start_holders(room: Room, settings: Settings) -> None:
    logs, names = HostFiles(settings.host_root), room.books.directory.name_of
    files = NodeFiles(
        settings.host_root, settings.proc_root, lambda pod_uid: names(pod_uid) or logs.pod_name(pod_uid)
    )
    holders = PodResources(
        settings.pod_resources_socket,
        lambda: known_gpus(room.books),
        room.clock,
        files,
        settings.device_resources,
    )
    _start("holders", watch_holders, room, holders, logs)


def _stand_alone(room: Room) -> int:
    """Nobody holds anything; who uses a GPU is told in a table, until a signal."""
    table = Table()
    _start("holders", watch_nobody, room)
    _start("closing", close_windows, room, table.keep)
    room.stop.wait()
    if room.failed:
        raise room.failed[0]
    close_for_good(room, table.keep)
    table.show_all()
    return 0


def _wait(room: Room, keeping: Keeping) -> None:
    heap.settle()
    while not room.wait(SHOW_SPOOL_S):
        keeping.show_spool()


def _start_stream(
    room: Room,
    settings: Settings,
    spool: Spool,
    keeping: Keeping,
    credentials: grpc.ChannelCredentials | None,
) -> Stream | None:
    if settings.aggregator is None:
        room.log.warning("no_aggregator", what="windows wait in the spool until --aggregator names one")
        return None

    def cluster_uid() -> str:
        latest = room.cluster_now()
        return (latest.cluster_uid or "") if latest is not None else ""

    prices = keeping.quoting.prices
    caller = Caller(
        room.books.node,
        cluster_uid,
        room.books.boot.boot_id,
        __version__,
        settings.window_ns,
        lambda: prices.version,
    )
    target = Target(str(settings.aggregator), credentials, settings.token_file)
    news = StreamNews(room, keeping.news, spool, PriceNews(room, prices, spool))
    stream = Stream(spool, target, caller, room.clock, news, Glimpse(room))
    _start("stream", stream.run)
    return stream


def _end(room: Room, spool: Spool, keeping: Keeping, stream: Stream | None) -> int:
    """Close the books, send what is there, and leave without waiting for threads that may be stuck."""
    trouble = room.failed[0] if room.failed else None
    if trouble is not None and trouble.exit_code == EXIT_BUG:
        raise trouble
    # What was seen until the driver failed for good is as true as ever.
    close_for_good(room, keeping.keep)
    if stream is not None:
        stream.draining.set()
        spool.appended.set()
        drained = stream.drained.wait(FLUSH_S)
        room.log.info("agent_stopped", everything_sent=drained)
    spool.close()
    if trouble is not None:
        raise trouble
    return 0


def _bug(room: Room, failure: threading.ExceptHookArgs) -> None:
    """A thread that ends by an error nobody expected would leave a hole in the books: begin anew instead."""
    name = failure.thread.name if failure.thread is not None else "unknown"
    room.log.error("thread_failed", thread=name, exc_info=failure.exc_value)
    room.fail(Stop(f"thread {name} failed: {failure.exc_value!r}; please report it", EXIT_BUG))


def _follow_cluster(settings: Settings, clock: Clock, stop: threading.Event) -> ClusterSource | None:
    if settings.kubelet_url:
        on_node = KubeletPods(KubeletAccess(settings.kubelet_url), clock)
        _start("kubelet-pods", on_node.follow, stop)
        return on_node
    pods = open_kube_pods(KubeAccess(settings.kube_api or "", settings.node), clock)
    if pods is not None:
        _start("kube-pods", pods.follow, stop)
    return pods


def _driver(log: FilteringBoundLogger) -> tuple[Driver, tuple[Gpu, ...]]:
    try:
        driver = open_driver()
        gpus = driver.gpus()
    except Retry as trouble:
        # Kubernetes starts the agent again, with its own growing pauses.
        raise Stop(str(trouble), EXIT_NO_DRIVER) from trouble
    if driver.nameless:
        log.error(
            "gpus_without_a_name", count=driver.nameless, what="the driver counts them and can not name them"
        )
    return driver, gpus


def _credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    if settings.aggregator is None or not settings.tls.wanted:
        return None
    return tls.channel_credentials(settings.tls.ca, settings.tls.cert, settings.tls.key)


def _boot(processes: Processes, now: Instant, log: FilteringBoundLogger) -> Boot:
    try:
        return processes.boot()
    except Retry as trouble:
        # The kernel's own monotonic clock begins at boot, so the books stay right without /proc.
        log.warning("boot_unknown", reason=str(trouble))
        return Boot("", now.wall_ns - now.monotonic_ns)


def _spool(settings: Settings, log: FilteringBoundLogger) -> Spool:
    batches = 7 * NS_PER_DAY // settings.window_ns
    spool = Spool(
        settings.spool_dir,
        Bounds(waiting_batches=batches),
        abridging(NodeId(settings.cluster, settings.node)),
    )
    if spool.trouble:
        log.warning(
            "spool_in_memory",
            reason=spool.trouble,
            what="windows are kept in memory until the disk works; what this agent can not send by its end is lost",
        )
    return spool


def _recover(recovery: Recovery, settings: Settings) -> None:
    """What a killed agent left is closed first."""
    try:
        story = read_story(settings.spool_dir)
        if story is not None:
            recovery.finish(story, _before(recovery.spool, recovery.log))
    except (OSError, ValueError) as error:
        recovery.log.warning("journal_unreadable", reason=str(error))


def _beginning(books: Books) -> Beginning:
    before = None if books.before is None else books.before.to_json()
    return Beginning(books.boot, books.first_look_ns, books.closed_through_ns, before)


def _set_clock(clock: FleetClock, spool: Spool, boot: Boot) -> None:
    """What the agent before this one knew of the clocks holds on, also before an aggregator is heard."""
    noted = spool.noted(CLOCK_NOTE)
    if noted is not None:
        with suppress(ValueError):
            clock.remember(Offsets.from_json(noted), boot.boot_id)


def _before(spool: Spool | None, log: FilteringBoundLogger) -> Checkpoint | None:
    text = spool.checkpoint() if spool is not None else None
    if text is None:
        return None
    try:
        return Checkpoint.from_json(text)
    except ValueError as error:
        log.warning("checkpoint_unreadable", reason=str(error))
        return None


def _remember(room: Room, spool: Spool) -> None:
    """Lives begin now, so they are known to the next agent even if this one ends at once."""
    try:
        spool.remember(room.books.checkpoint().to_json())
    except Retry as trouble:
        room.log.warning("spool_fails", reason=str(trouble))


def _healthy(room: Room) -> tuple[bool, str]:
    if room.failed:
        return False, str(room.failed[0])
    return True, "ok"


def _ready(room: Room) -> tuple[bool, str]:
    now = room.clock.now()
    silent = [
        gpu.uuid
        for gpu in room.books.gpus()
        if now.monotonic_ns - room.last_read_ns.get(gpu.uuid, room.began_ns) > _SILENT_NS
    ]
    if silent:
        return False, f"not read for {_SILENT_NS // NS_PER_SECOND} s: {', '.join(silent)}"
    return True, "ok"


def _start(name: str, target: Callable[..., None], *arguments: object) -> None:
    def run() -> None:
        # The kernel's name of the thread too, so that top and the like tell which one works.
        with suppress(OSError):
            Path("/proc/thread-self/comm").write_text(name, encoding="ascii")
        target(*arguments)

    threading.Thread(target=run, name=name, daemon=True).start()


def leave(exit_code: int) -> NoReturn:
    """End the process now, whatever its threads hang on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
