"""What the aggregator counts, as Prometheus reads it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gpucost_aggregator.access.refusal import WHYS
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.writer import Writer
from gpucost_aggregator.lease import Lease, StoreLease
from gpucost_aggregator.live.board import Why
from gpucost_aggregator.peers.counts import Why as PeerWhy


class _Told(NamedTuple):
    """What a metric tells the person on call, and where its value is."""

    text: str
    read: Callable[[Counts], float]


_COUNTERS: dict[str, _Told] = {
    "gpucost_streams_opened": _Told(
        "Streams of agents and watchers that said Hello. Growing much faster than gpucost_streams: agents come"
        " and go; their logs say why.",
        lambda c: c.streams_opened,
    ),
    "gpucost_hellos_refused": _Told(
        "Streams that were refused at their Hello: wrong settings or another version. The event hello_refused"
        " names the peer and the reason; its windows wait in its spool.",
        lambda c: c.hellos_refused,
    ),
    "gpucost_hellos_unbound": _Told(
        "Hellos without the UID of their kube-system namespace, as their agent can not read it: nobody sees that two"
        " clusters have one name.",
        lambda c: c.hellos_unbound,
    ),
    "gpucost_duplicate_agents": _Told(
        "Times that three takeovers of one node's stream within ten minutes were seen: two agents call themselves"
        " by the same cluster and node. The event duplicate_agent names them.",
        lambda c: c.duplicate_agents,
    ),
    "gpucost_slow_readers": _Told(
        "Streams that were ended because their agent did not read what it was told for a minute.",
        lambda c: c.slow_readers,
    ),
    "gpucost_readers_refused": _Told(
        "Requests for reports and pages that were refused, as they brought no valid token. The event reader_refused"
        " names the address.",
        lambda c: c.readers_refused,
    ),
    "gpucost_access_reviews_failed": _Told(
        "Requests that were not answered, as the API server could not be asked what their reader may see. The event"
        " access_review_failed says why.",
        lambda c: c.reviews_failed,
    ),
    "gpucost_stream_takeovers": _Told(
        "Streams that a newer one of the same node ended. More than one for a restart: two agents call"
        " themselves by the same cluster and node.",
        lambda c: c.takeovers,
    ),
    "gpucost_batches": _Told("Batches that were read, with those set aside.", lambda c: c.batches),
    "gpucost_batches_resent": _Told(
        "Batches that were durable already and were acknowledged again; harmless.",
        lambda c: c.batches_resent,
    ),
    "gpucost_batches_malformed": _Told(
        "Batches set aside, as not all of them can be read; reports show how many wait. The event batch_malformed"
        " names the node and the reason; `quarantine explain` says what to do.",
        lambda c: c.batches_malformed,
    ),
    "gpucost_batches_poisonous": _Told(
        "Batches that made the store fail three times and were set aside, so that their stream goes on. A bug:"
        " report the event batch_set_aside; replay them after an upgrade.",
        lambda c: c.batches_poisonous,
    ),
    "gpucost_slices_replayed": _Told(
        "Slices that were set aside and count since a replay.", lambda c: c.slices_replayed
    ),
    "gpucost_slices_written": _Told("Slices kept for the first time.", lambda c: c.slices_written),
    "gpucost_slices_duplicate": _Told(
        "Slices that were there already with the same content; they count once.",
        lambda c: c.slices_duplicate,
    ),
    "gpucost_slices_refused": _Told(
        "Slices set aside because they can never be accepted; reports show them as quarantined. The event"
        " slices_refused names the node and the reasons.",
        lambda c: c.slices_refused,
    ),
    "gpucost_conflicts": _Told(
        "Slices of a known key with other content, of which the first counts; and windows in which two nodes"
        " claim one GPU, which the event gpu_on_two_nodes names. Two agents on one node, a node that was set back"
        " to an older disk, or a copied machine.",
        lambda c: c.conflicts,
    ),
    "gpucost_sequence_gaps": _Told(
        "Gaps in the sequence numbers of agents: batches that went out of a full spool. The event sequence_gap"
        " names the node and the numbers.",
        lambda c: c.sequence_gaps,
    ),
    "gpucost_slices_late": _Told(
        "True slices of time that had been closed as lost; they are kept as adjustments, and take the lost time"
        " away again.",
        lambda c: c.slices_late,
    ),
    "gpucost_slices_lost": _Told(
        "Slices made here for time whose books nobody has any more (unobserved, store_lost). The event"
        " lost_time_closed names the node, the time and the missing numbers.",
        lambda c: c.slices_lost,
    ),
    "gpucost_nodes_gone": _Told(
        "Nodes whose books were closed here, because they are gone. The event node_gone names each.",
        lambda c: c.nodes_gone,
    ),
    "gpucost_cluster_facts": _Told(
        "Messages of cluster watchers that were kept. Not growing for hours: no watcher runs, so nodes that are"
        " gone are closed after a week only.",
        lambda c: c.cluster_facts,
    ),
    "gpucost_live_messages": _Told(
        "Snapshots of the last seconds that agents sent, for what is shown as now; none is stored, and no bill"
        " depends on any.",
        lambda c: c.live.messages,
    ),
    "gpucost_peer_calls": _Told(
        "Questions to other aggregators about what their nodes do now: asked when somebody reads it, each once a second"
        " at most.",
        lambda c: c.peers.calls,
    ),
    "gpucost_peer_calls_answered": _Told(
        "Questions of other aggregators that were answered here. None at all: --peers of the others does not name this"
        " one, or nobody reads.",
        lambda c: c.peers.answered_here,
    ),
    "gpucost_leases_taken": _Told(
        "Times that this aggregator took the Lease in --lease.", lambda c: c.lease.taken
    ),
    "gpucost_leases_lost": _Told(
        "Times that it held the Lease and could not renew it in time. The event lease_lost says why; another one does"
        " what only one may.",
        lambda c: c.lease.lost,
    ),
    "gpucost_lease_failures": _Told(
        "Tries to read or write the Lease at which the API server did not answer or refused. The event"
        " lease_not_written says why.",
        lambda c: c.lease.failures,
    ),
    "gpucost_slows": _Told(
        "Times that a sender was told to wait, because half of the room for unwritten rows was taken. Growing"
        " all the time: the disk is too slow for the fleet.",
        lambda c: c.slows,
    ),
    "gpucost_price_books_sent": _Told(
        "Times that an agent was sent the fleet's price book: once for each change. Growing on: agents go by their"
        " own, or can not read it; `gpucost-aggregator prices show` names them, and their logs say why.",
        lambda c: c.price_books_sent,
    ),
    "gpucost_commits": _Told("Commits of the store that were made.", lambda c: c.commits),
    "gpucost_commit_seconds": _Told(
        "Time spent in commits; divided by gpucost_commits_total it is how long one takes.",
        lambda c: c.commit_ns / 1e9,
    ),
    "gpucost_commit_retries": _Told(
        "Commits that could not be made and are tried again. The event store_not_writable says why; a full"
        " disk is the usual reason.",
        lambda c: c.commit_retries,
    ),
    "gpucost_commit_failures": _Told(
        "Attempts to keep a single batch at which the store failed unexpectedly. A bug: report the event"
        " batch_not_kept; its agent sends it again, and after the third failure it is set aside.",
        lambda c: c.commit_failures,
    ),
}
"""Counters by their names without ``_total``."""

_GAUGES: dict[str, _Told] = {
    "gpucost_streams": _Told(
        "Streams that are open now; one for each node whose agent is connected.",
        lambda c: c.streams,
    ),
    "gpucost_peers": _Told(
        "Other aggregators that were found by --peers when they were asked last.",
        lambda c: c.peers.others,
    ),
    "gpucost_peers_silent": _Told(
        "Those of them that did not answer: what their nodes do now is missing on pages, and said to be. The event"
        " peer_silent names each.",
        lambda c: c.peers.silent,
    ),
    "gpucost_store_writable": _Told(
        "1 if the last commit was made; 0 while the store takes nothing and agents keep their windows. Look at"
        " the disk of --data-dir.",
        lambda c: c.writable,
    ),
}

LAWS = ("gpu_time", "money", "slice")
"""Laws of the ledger that are checked again on what arrives, by their label."""


class Metrics:
    """A registry of its own, so that a library's metrics do not come along unasked."""

    def __init__(
        self,
        counts: Counts,
        writer: Writer,
        version: str,
        live_nodes: Callable[[], int] = lambda: 0,
        lease: Lease | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Ingest(counts, writer, version, live_nodes))
        self._registry.register(_Replicas(counts, lease or StoreLease()))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format; does not block."""
        return generate_latest(self._registry)


class _Replicas(Collector):
    """What several aggregators are to each other, where a plain number of the ingest does not say it."""

    def __init__(self, counts: Counts, lease: Lease) -> None:
        self._counts = counts
        self._lease = lease

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "gpucost_lease_held",
            "1 while this aggregator is the one that does what only one may, such as closing the books of gone nodes. 0"
            " on all for minutes: gpucost_lease_failures_total says whether they can ask for it.",
            value=self._lease.is_held(),
        )
        failed = CounterMetricFamily(
            "gpucost_peer_calls_failed",
            "Questions to other aggregators without an answer: unknown_name, unreachable, timed_out, refused (another"
            " --peers-token-file), too_large, unreadable (another version).",
            labels=["why"],
        )
        for why in PeerWhy:
            failed.add_metric([why.value], self._counts.peers.failed[why])
        yield failed


class _Ingest(Collector):
    def __init__(self, counts: Counts, writer: Writer, version: str, live_nodes: Callable[[], int]) -> None:
        self._counts = counts
        self._writer = writer
        self._version = version
        self._live_nodes = live_nodes

    def collect(self) -> Iterator[Metric]:
        for name, (text, read) in _COUNTERS.items():
            yield CounterMetricFamily(name, text, value=read(self._counts))
        for name, (text, read) in _GAUGES.items():
            yield GaugeMetricFamily(name, text, value=read(self._counts))
        yield GaugeMetricFamily(
            "gpucost_write_queue_rows",
            "Rows received and not durable yet. Senders are told to wait when half of the room is taken.",
            value=self._writer.waiting_rows,
        )
        yield GaugeMetricFamily(
            "gpucost_live_nodes",
            "Nodes of which it is known what they do now. Far fewer than gpucost_streams: their agents are of an older"
            " version, or their snapshots are refused (gpucost_live_refused_total says why).",
            value=self._live_nodes(),
        )
        live = CounterMetricFamily(
            "gpucost_live_refused",
            "Snapshots that are not shown: too_soon (sent faster than asked for), too_large, no_room, clock (the node's"
            " is off by more than 5 minutes), not_asked (of a stream that a newer one took over from), unreadable"
            " (counted each time that somebody asks).",
            labels=["why"],
        )
        for reason in Why:
            live.add_metric([reason.value], self._counts.live.refused[reason])
        yield live
        breaches = CounterMetricFamily(
            "gpucost_law_breaches",
            "Breaches of the ledger's laws in what agents sent. Any is a bug: report the event law_breached,"
            " which names the node.",
            labels=["law"],
        )
        for law in LAWS:
            breaches.add_metric([law], self._counts.law_breaches[law])
        yield breaches
        refused = CounterMetricFamily(
            "gpucost_callers_refused",
            "Streams that were refused before anything of them was kept: no valid identity, not allowed to write that"
            " cluster or node, another cluster of that name, or too many. The event caller_refused names the peer.",
            labels=["why"],
        )
        for why in WHYS:
            refused.add_metric([why], self._counts.callers_refused[why])
        yield refused
        info = GaugeMetricFamily(
            "gpucost_build_info", "1; the label is the version that runs.", labels=["version"]
        )
        info.add_metric([self._version], 1)
        yield info
