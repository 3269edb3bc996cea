"""What the aggregator counts, as Prometheus reads it."""

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.writer import Writer

_COUNTERS: dict[str, tuple[str, Callable[[Counts], float]]] = {
    "gpucost_streams_opened": ("Streams of agents and watchers that said Hello.", lambda c: c.streams_opened),
    "gpucost_hellos_refused": ("Streams that were refused at their Hello.", lambda c: c.hellos_refused),
    "gpucost_stream_takeovers": ("Streams that a newer one of the same node ended.", lambda c: c.takeovers),
    "gpucost_batches": ("Batches taken.", lambda c: c.batches),
    "gpucost_batches_resent": ("Batches that were durable already.", lambda c: c.batches_resent),
    "gpucost_batches_malformed": (
        "Batches set aside whole: no table of slices.",
        lambda c: c.batches_malformed,
    ),
    "gpucost_slices_written": ("Slices kept.", lambda c: c.slices_written),
    "gpucost_slices_duplicate": ("Slices that were there already.", lambda c: c.slices_duplicate),
    "gpucost_slices_refused": ("Slices set aside: they can never be accepted.", lambda c: c.slices_refused),
    "gpucost_conflicts": ("Slices of a known key with other content.", lambda c: c.conflicts),
    "gpucost_sequence_gaps": ("Gaps in the sequence numbers of agents.", lambda c: c.sequence_gaps),
    "gpucost_cluster_facts": ("Messages of cluster watchers; not kept yet.", lambda c: c.cluster_facts),
    "gpucost_slows": ("Times that a sender was told to wait.", lambda c: c.slows),
    "gpucost_commits": ("Commits of the store.", lambda c: c.commits),
    "gpucost_commit_seconds": ("Time spent in commits.", lambda c: c.commit_ns / 1e9),
    "gpucost_commit_retries": (
        "Commits that could not be made and are tried again.",
        lambda c: c.commit_retries,
    ),
    "gpucost_commit_failures": ("Batches that the store could not keep.", lambda c: c.commit_failures),
}
"""Counters by their names without ``_total``."""

_GAUGES: dict[str, tuple[str, Callable[[Counts], float]]] = {
    "gpucost_streams": ("Streams that are open.", lambda c: c.streams),
    "gpucost_store_writable": (
        "1 if the last commit was made, 0 if the store takes nothing.",
        lambda c: c.writable,
    ),
}

LAWS = ("gpu_time", "money", "slice")
"""Laws of the ledger that are checked again on what arrives, by their label."""


class Metrics:
    """A registry of its own, so that a library's metrics do not come along unasked."""

    def __init__(self, counts: Counts, writer: Writer, version: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Ingest(counts, writer, version))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format; does not block."""
        return generate_latest(self._registry)


class _Ingest(Collector):
    def __init__(self, counts: Counts, writer: Writer, version: str) -> None:
        self._counts = counts
        self._writer = writer
        self._version = version

    def collect(self) -> Iterator[Metric]:
        for name, (text, read) in _COUNTERS.items():
            yield CounterMetricFamily(name, text, value=read(self._counts))
        for name, (text, read) in _GAUGES.items():
            yield GaugeMetricFamily(name, text, value=read(self._counts))
        yield GaugeMetricFamily(
            "gpucost_write_queue_rows", "Rows that are not durable yet.", value=self._writer.waiting_rows
        )
        breaches = CounterMetricFamily(
            "gpucost_law_breaches", "Breaches of the ledger's laws in what agents sent.", labels=["law"]
        )
        for law in LAWS:
            breaches.add_metric([law], self._counts.law_breaches[law])
        yield breaches
        info = GaugeMetricFamily("gpucost_build_info", "Always 1.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
