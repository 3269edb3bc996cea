"""What the ingest counts; plain numbers of the event loop, shown at /metrics."""

from collections import Counter
from dataclasses import dataclass, field

from gpucost_aggregator.leases.kube_lease import LeaseCounts
from gpucost_aggregator.live.board import LiveCounts
from gpucost_aggregator.peers.counts import PeerCounts


@dataclass(slots=True)
class Counts:
    """Since the program's start; each becomes a metric of nearly its name."""

    streams: int = 0
    streams_opened: int = 0
    hellos_refused: int = 0
    hellos_unbound: int = 0
    duplicate_agents: int = 0
    slow_readers: int = 0
    readers_refused: int = 0
    reviews_failed: int = 0
    takeovers: int = 0
    batches: int = 0
    batches_resent: int = 0
    batches_malformed: int = 0
    batches_poisonous: int = 0
    slices_replayed: int = 0
    slices_written: int = 0
    slices_duplicate: int = 0
    conflicts: int = 0
    slices_late: int = 0
    slices_lost: int = 0
    nodes_gone: int = 0
    slices_refused: int = 0
    sequence_gaps: int = 0
    cluster_facts: int = 0
    slows: int = 0
    price_books_sent: int = 0
    commits: int = 0
    commit_retries: int = 0
    commit_failures: int = 0
    commit_ns: int = 0
    writable: bool = True
    law_breaches: Counter[str] = field(default_factory=Counter)
    callers_refused: Counter[str] = field(default_factory=Counter)
    live: LiveCounts = field(default_factory=LiveCounts)
    peers: PeerCounts = field(default_factory=PeerCounts)
    lease: LeaseCounts = field(default_factory=LeaseCounts)
