"""Rows that cross the store's seam: what is written, what is asked, what is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gpucost.cost_slice import CostSlice
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import NodeId

from gpucost_aggregator.store.closed_rows import ClosedGap, SequenceGap, SharedGpu


@dataclass(frozen=True, slots=True)
class AgentId:
    """Whose sequence numbers: a node's agent with one epoch of its spool."""

    node: NodeId
    epoch: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A slice that can never be accepted, and why; it waits in the quarantine."""

    row: CostSlice
    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A batch that is no table of slices: its message as it came, and why; it waits in the quarantine."""

    message: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """
    One batch on its way into the store, with its good slices apart from the refused ones.

    A *malformed* one has the slices that could be read, mostly none; its sequence number counts all the same.
    """

    agent: AgentId
    boot_id: str
    sequence_number: int
    sha256: bytes
    window_ns: int
    closed_through_ns: int
    received_at_ns: int
    slices: tuple[CostSlice, ...]
    refused: tuple[Refused, ...] = ()
    workloads: tuple[WorkloadFacts, ...] = ()
    gpus: tuple[GpuFacts, ...] = ()
    price_book_version: str = ""
    malformed: Malformed | None = None
    gap: SequenceGap | None = None
    """What did not come before it; None where it follows the batch before."""
    message: bytes = field(default=b"", repr=False)
    """As it came, for the case that the store can not keep what was read of it; empty where nobody knows."""


@dataclass(frozen=True, slots=True)
class CommitReport:
    """
    What a commit did: rows written, rows that were there already, rows of a known key with other content.

    *late* of those written are of time that was closed as lost; *shared* are GPUs that two nodes claim, as far as
    this commit showed it; *gaps* is lost time that was closed with it.
    """

    written: int
    duplicates: int
    conflicts: int
    late: int = 0
    shared: tuple[SharedGpu, ...] = ()
    gaps: tuple[ClosedGap, ...] = ()


def together(reports: Sequence[CommitReport]) -> CommitReport:
    """What several commits did."""
    return CommitReport(
        sum(report.written for report in reports),
        sum(report.duplicates for report in reports),
        sum(report.conflicts for report in reports),
        sum(report.late for report in reports),
        tuple(shared for report in reports for shared in report.shared),
        tuple(gap for report in reports for gap in report.gaps),
    )


@dataclass(frozen=True, slots=True)
class Durable:
    """The last sequence number that the store holds of an agent, and the hash of that batch."""

    sequence_number: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Which store this is; the generation moves when it is restored from a backup."""

    store_id: str
    generation: int


SHADOW = "shadow"
"""The flag of who uses a device that nobody gave to it or to its pod, and what ``Dimension.SHADOW`` calls it."""


class Dimension(StrEnum):
    """
    What totals can be grouped by; each is a column of the slice, but for the last.

    SHADOW is ``shadow`` for slices that carry this flag and reserved nothing, else empty: all that such a slice
    costs is use. In a window in which its holder was given the device too, its parts can not be told apart,
    and it counts as given. So a group never mixes the two, whatever its holder was at other times.
    """

    CLUSTER = "cluster"
    NODE = "node"
    GPU_UUID = "gpu_uuid"
    GI = "gi"
    CI = "ci"
    PROFILE = "profile"
    PLACEMENT = "placement"
    RESOURCE = "resource"
    HOLDER_KIND = "holder_kind"
    REASON = "reason"
    NAMESPACE = "namespace"
    POD = "pod"
    POD_UID = "pod_uid"
    CONTAINER = "container"
    PRICE_SOURCE = "price_source"
    PRICE_DATE = "price_date"
    METHOD = "method"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which slices: windows that begin in [*start_ns*, *end_ns*), of these clusters and namespaces (empty: all)."""

    start_ns: int
    end_ns: int
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over slices, in nanoseconds and nano-dollars. *unpriced_ns* is charged time without a price."""

    reserved_ns: int = 0
    used_ns: int = 0
    idle_ns: int = 0
    unmeasured_ns: int = 0
    cost_used_nanodollars: int = 0
    cost_idle_nanodollars: int = 0
    cost_unmeasured_nanodollars: int = 0
    cost_reserved_nanodollars: int = 0
    unpriced_ns: int = 0

    @property
    def charged_ns(self) -> int:
        """What was paid for."""
        return self.used_ns + self.idle_ns + self.unmeasured_ns

    @property
    def cost_nanodollars(self) -> int:
        """What was paid."""
        return self.cost_used_nanodollars + self.cost_idle_nanodollars + self.cost_unmeasured_nanodollars


@dataclass(frozen=True, slots=True)
class Total:
    """
    Sums of one group. *key* holds a text for each dimension asked, in their order; empty is not known.

    *first_ns* and *last_ns* are the start of the group's first and the end of its last window;
    *last_used_ns* is the end of the last window in which something was used, None if none was;
    *flags* are all that occur in the group.
    """

    key: tuple[str, ...]
    sums: Sums
    first_ns: int
    last_ns: int
    last_used_ns: int | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """
    How far a node's books are closed, and when its agent was last heard.

    *gone_at_ns* is when the aggregator closed them, as nobody else will; None while they are open.
    """

    node: NodeId
    boot_id: str
    window_ns: int
    closed_through_ns: int
    last_heard_ns: int
    gone_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SlicePage:
    """Slices in the order of (window, cluster, node, device, holder); *next_cursor* is None on the last page."""

    slices: tuple[CostSlice, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class QuarantineTotals:
    """
    What waits in the quarantine within a scope.

    *batches* can not be read, so nobody knows what they hold; they came in the scope's time or later.
    """

    slices: int = 0
    charged_ns: int = 0
    cost_nanodollars: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    batches: int = 0
