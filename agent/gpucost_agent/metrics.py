"""What the agent says of its containers and of itself on /metrics, /healthz and /readyz."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from wsgiref.simple_server import WSGIRequestHandler, make_server

from gpucost.cost_slice import CostSlice
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_PERMISSION, EXIT_PORT, Stop
from gpucost.units import NS_PER_SECOND
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from gpucost_agent.ledger.laws import GPU_LAW, MONEY_LAW, RESERVATION_LAW

_LABELS = ("holder_kind", "namespace", "pod", "container", "reason")
_FORGET_AFTER_NS = 10 * 60 * NS_PER_SECOND
"""Series of a holder end so long after its last slice: some scrapes later, so that a busy node's list stays short."""

_SHUT_DOWN_LOOK_S = 600.0

LAWS = ("slice", GPU_LAW, RESERVATION_LAW, MONEY_LAW)
"""Laws that a window is checked against, by their label; each is there from the start, at 0."""

Health = Callable[[], tuple[bool, str]]


@dataclass
class _Sums:
    """Counters of one holder. Parts add up to what it was charged; reserved stands apart."""

    cost: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("used", "idle", "unmeasured"), 0))
    time_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("used", "idle", "unmeasured"), 0))
    reserved_ns: int = 0
    last_ns: int = 0


class HolderTotals(Collector):
    """Cost and GPU-time by holder, since the agent began. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, ...], _Sums] = {}

    def add(self, slices: Iterable[CostSlice], at_ns: int) -> None:
        """Count the slices of a closed window that ended at *at_ns*."""
        with self._lock:
            for row in slices:
                holder = row.key.holder
                key = (holder.kind.value, holder.namespace, holder.pod, holder.container, holder.reason)
                sums = self._sums.setdefault(key, _Sums())
                sums.cost["used"] += row.cost.used_nanodollars
                sums.cost["idle"] += row.cost.idle_nanodollars
                sums.cost["unmeasured"] += row.cost.unmeasured_nanodollars
                sums.time_ns["used"] += row.time.used_ns
                sums.time_ns["idle"] += row.time.idle_ns
                sums.time_ns["unmeasured"] += row.time.unmeasured_ns
                sums.reserved_ns += row.time.reserved_ns
                sums.last_ns = at_ns
            self._sums = {
                key: sums for key, sums in self._sums.items() if at_ns - sums.last_ns < _FORGET_AFTER_NS
            }

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Prometheus asks."""
        cost = CounterMetricFamily(
            "gpucost_cost_nanodollars",
            "What a holder was charged, in nano-dollars (10^-9 USD); the parts used, idle and unmeasured add up"
            " to it. A series ends ten minutes after the holder's last window.",
            labels=("part", *_LABELS),
        )
        time = CounterMetricFamily(
            "gpucost_gpu_time_seconds",
            "What a holder was charged, in seconds of one whole GPU; the parts used, idle and unmeasured add up"
            " to it. Much unmeasured time: see gpucost_source_troubles_total.",
            labels=("part", *_LABELS),
        )
        reserved = CounterMetricFamily(
            "gpucost_gpu_time_reserved_seconds",
            "What a holder blocked, in seconds of one whole GPU, used or not.",
            labels=_LABELS,
        )
        with self._lock:
            for key, sums in self._sums.items():
                for part, nanodollars in sums.cost.items():
                    cost.add_metric((part, *key), nanodollars)
                for part, time_ns in sums.time_ns.items():
                    time.add_metric((part, *key), time_ns / NS_PER_SECOND)
                reserved.add_metric(key, sums.reserved_ns / NS_PER_SECOND)
        yield cost
        yield time
        yield reserved


class KeptTotal(Collector):
    """A counter whose total is kept elsewhere and outlives the program. For any thread."""

    def __init__(self, name: str, help_text: str) -> None:
        self._name, self._help, self._total = name, help_text, 0

    def set(self, total: int) -> None:
        """The total is this now."""
        self._total = total

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Prometheus asks."""
        yield CounterMetricFamily(self._name, self._help, value=self._total)


class PriceBookInfo(Collector):
    """Which price book holds; *ask* it for its source and its version when Prometheus does."""

    def __init__(self) -> None:
        self.ask: Callable[[], tuple[str, str]] = lambda: ("none", "")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Prometheus asks."""
        info = GaugeMetricFamily(
            "gpucost_price_book_info",
            "1; the labels are where the price book of the next windows is from (file: --price-book, aggregator, none)"
            " and what it calls itself.",
            labels=["source", "version"],
        )
        info.add_metric(self.ask(), 1)
        yield info


class Metrics:
    """All of the agent's metrics; one registry of its own. Counters are named without ``_total``."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter tells nothing here
        self.registry = CollectorRegistry()
        self.holders = HolderTotals()
        self.registry.register(self.holders)
        self.windows = self._counter(
            "gpucost_windows_closed",
            "Windows closed and put into the spool. Standing still for longer than a window and its lateness,"
            " the agent bills nothing: see its log.",
        )
        self.law_breaches = self._counter(
            "gpucost_law_breaches",
            "Laws of the ledger that a closed window broke. Any is a bug: the window is sent as it is;"
            " report the event law_broken of the agent's log.",
            "law",
        )
        for law in LAWS:
            self.law_breaches.labels(law)
        self.troubles = self._counter(
            "gpucost_source_troubles",
            "Reads of a source that failed (trouble=read), or a part of them. What was not read becomes"
            " unmeasured or unobserved time; the event source_fails of the log says why.",
            "source",
            "trouble",
        )
        self.unmapped = self._gauge(
            "gpucost_unmapped_device_ids",
            "Device ids in the kubelet's latest answer that name no known GPU: who holds them is not charged, and"
            " as many free GPUs are unobserved. The event device_ids_unmapped of the log lists them.",
        )
        self.unpriced_gpus = self._gauge(
            "gpucost_unpriced_gpus",
            "GPUs without a price in the last window; their time is kept and costs 0. Add a rule to the price"
            " book, or annotate the node.",
        )
        self.price_book = PriceBookInfo()
        self.registry.register(self.price_book)
        self._add_stream()
        self.last_read = self._gauge(
            "gpucost_gpu_last_read_timestamp_seconds",
            "When a GPU was last read, as Unix time. More than a minute ago: its driver hangs, and its time"
            " is unmeasured until it answers.",
            "gpu_uuid",
        )

    def add_window(self, slices: Iterable[CostSlice], end_ns: int) -> None:
        """A window that ended at *end_ns* was closed."""
        slices = tuple(slices)
        self.holders.add(slices, end_ns)
        self.windows.inc()
        unpriced = {row.key.device.gpu_uuid for row in slices if row.price.nanodollars_per_hour is None}
        self.unpriced_gpus.set(len(unpriced))

    def _add_stream(self) -> None:
        self.spool_batches = self._gauge(
            "gpucost_spool_batches", "Batches on the node that the aggregator has not acknowledged."
        )
        self.spool_bytes = self._gauge(
            "gpucost_spool_bytes",
            "Bytes on the node that the aggregator has not acknowledged. Growing: see"
            " gpucost_stream_connected. Past 256 MiB or seven days the oldest windows are abridged.",
        )
        self.spool_lost = KeptTotal(
            "gpucost_spool_lost_windows",
            "Windows whose holders the full spool had no room for, since the spool was made: what their GPUs"
            " cost is billed as unobserved (spool_full), and is missing where not even that had room.",
        )
        self.registry.register(self.spool_lost)
        self.spool_on_disk = self._gauge(
            "gpucost_spool_on_disk",
            "1 while the spool is written to disk; 0 while windows are held in memory, where a restart loses"
            " them: make room on the disk of --spool-dir, or mend it.",
        )
        self.connected = self._gauge(
            "gpucost_stream_connected",
            "1 while a stream to the aggregator stands. 0: windows wait in the spool; the event"
            " stream_disconnected of the log says why.",
        )
        self.clock_skew = self._gauge(
            "gpucost_clock_skew_seconds",
            "The node's clock less the aggregator's, when a stream was last opened. Past five minutes windows are"
            " stamped by the offset at which both last agreed; the event clock_distrusted of the log says so.",
        )
        self.rejected = self._counter(
            "gpucost_rejected_batches",
            "Batches of which the aggregator set slices aside; they are in no report until a person decides."
            " The event slices_rejected of the log says why.",
        )
        self.price_books_refused = self._counter(
            "gpucost_price_books_refused",
            "Price books of the aggregator that can not be read here, as this agent is older or something changed them"
            " on the way; it goes on with the one that it has. The event price_book_refused of the log says why.",
        )

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Scrapes are no news."""


class _Ipv6Server(ThreadingWSGIServer):
    address_family = socket.AF_INET6


def serve(listen: HostPort, metrics: Metrics, healthy: Health, ready: Health) -> int:
    """
    Serve /metrics, /healthz and /readyz in threads of their own; the port that is listened on.

    Raises:
        Stop: The address is in use, or may not be used.
    """
    exposition = make_wsgi_app(metrics.registry)

    def answer(environ, start_response):  # type: ignore[no-untyped-def]  # WSGI has no types worth the name
        checks = {"/healthz": healthy, "/readyz": ready}
        if check := checks.get(environ["PATH_INFO"]):
            good, words = check()
            status = "200 OK" if good else "503 Service Unavailable"
        elif environ["PATH_INFO"] == "/metrics":
            return exposition(environ, start_response)
        else:
            status, words = "404 Not Found", "there are /metrics, /healthz and /readyz"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{words}\n".encode()]

    try:
        server = make_server(
            listen.host,
            listen.port,
            answer,
            _Ipv6Server if ":" in listen.host else ThreadingWSGIServer,
            _Quiet,
        )
    except PermissionError as error:
        raise Stop(
            f"--metrics-listen {listen}: {error.strerror}: take a port above 1023", EXIT_PERMISSION
        ) from error
    except OSError as error:
        raise Stop(
            f"--metrics-listen {listen}: {error.strerror}: take another port, or stop what uses this one",
            EXIT_PORT,
        ) from error
    # It looks so often whether it was shut down, which nobody does.
    often = {"poll_interval": _SHUT_DOWN_LOOK_S}
    threading.Thread(target=server.serve_forever, kwargs=often, name="metrics", daemon=True).start()
    return server.server_port
