"""
What: one row of the ledger, and the laws that it keeps on its own.

A slice is one holder, one device, one resource, one window.
It arrives priced; nobody after the agent computes money from time again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gpucost.identity import Device, Holder, HolderKind, NodeId

GPU = "gpu"
"""The resource that slices are of today."""

SYNTHETIC = "synthetic"
"""The flag of a slice that stands for time whose books are lost."""


@dataclass(frozen=True, slots=True)
class SliceKey:
    """What a slice is counted by: once, however often it is sent."""

    node: NodeId
    device: Device
    resource: str
    holder: Holder
    window_start_ns: int


@dataclass(frozen=True, slots=True)
class GpuTime:
    """GPU-time of a slice in nanoseconds of one whole GPU."""

    reserved_ns: int = 0
    used_ns: int = 0
    idle_ns: int = 0
    unmeasured_ns: int = 0

    @property
    def charged_ns(self) -> int:
        """What the holder pays for."""
        return self.used_ns + self.idle_ns + self.unmeasured_ns


@dataclass(frozen=True, slots=True)
class Cost:
    """Money of a slice in nano-dollars: what is charged, by part, and what was reserved."""

    used_nanodollars: int = 0
    idle_nanodollars: int = 0
    unmeasured_nanodollars: int = 0
    reserved_nanodollars: int = 0

    @property
    def nanodollars(self) -> int:
        """What the holder pays."""
        return self.used_nanodollars + self.idle_nanodollars + self.unmeasured_nanodollars


@dataclass(frozen=True, slots=True)
class Price:
    """
    Price of one GPU for an hour in nano-dollars, with its source.

    *source* is ``override``, ``book:NAME``, ``catalogue``, ``catalogue_other_region`` or ``unknown``;
    *date* is the source's own, as YYYY-MM-DD.
    """

    nanodollars_per_hour: int | None = None
    source: str = "unknown"
    date: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the use was measured: method, time watched in wall nanoseconds, number of samples."""

    method: str = ""
    watched_ns: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Measures:
    """What else is known of a slice's holder on its device; None is not known."""

    memory_held_bytes_max: int | None = None
    sm_active_ns: int | None = None
    tensor_active_ns: int | None = None
    dram_active_ns: int | None = None
    energy_uj: int | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class CostSlice:
    """One row of the ledger. *weight* is the device's part of its GPU before scaling."""

    key: SliceKey
    length_ns: int
    time: GpuTime
    cost: Cost
    price: Price
    evidence: Evidence = field(default_factory=Evidence)
    measures: Measures = field(default_factory=Measures)
    weight: tuple[int, int] = (1, 1)
    flags: tuple[str, ...] = ()
    policy_version: str = ""


def breaches(row: CostSlice) -> list[str]:
    """
    The laws that *row* breaks by itself, in words; empty if it keeps them.

    Sums over several slices (laws 1 to 3) can only be seen where all of them are at hand.
    """
    found = []
    amounts = {
        "length_ns": row.length_ns,
        "reserved_ns": row.time.reserved_ns,
        "used_ns": row.time.used_ns,
        "idle_ns": row.time.idle_ns,
        "unmeasured_ns": row.time.unmeasured_ns,
        "cost_used_nanodollars": row.cost.used_nanodollars,
        "cost_idle_nanodollars": row.cost.idle_nanodollars,
        "cost_unmeasured_nanodollars": row.cost.unmeasured_nanodollars,
        "cost_reserved_nanodollars": row.cost.reserved_nanodollars,
        "watched_ns": row.evidence.watched_ns,
        "samples": row.evidence.samples,
    }
    found += [f"{name} is negative ({amount})" for name, amount in amounts.items() if amount < 0]
    time = row.time
    if time.charged_ns > time.reserved_ns + time.used_ns + _rounding_ns(row):
        found.append(f"charged {time.charged_ns} ns passes reserved {time.reserved_ns} + used {time.used_ns}")
    if not (time.reserved_ns or time.charged_ns):
        found.append("reserved, used, idle and unmeasured are all 0")
    if row.price.nanodollars_per_hour is None and (row.cost.nanodollars or row.cost.reserved_nanodollars):
        found.append("costs something without a price")
    if row.evidence.method and not row.evidence.samples and row.evidence.method in SAMPLED_METHODS:
        found.append(f"names the method {row.evidence.method} and saw no sample")
    if (row.key.holder.kind is HolderKind.UNOBSERVED) != bool(row.key.holder.reason):
        found.append("a reason belongs to unobserved, and to nobody else")
    numerator, denominator = row.weight
    if not 0 <= numerator <= denominator or not denominator:
        found.append(f"weight {numerator}/{denominator} is not between 0 and 1")
    return found


_MOST_STRETCHES = 1_000
"""No window of a device is cut more often; each cut rounds what was reserved and what is charged on its own."""


def _rounding_ns(row: CostSlice) -> int:
    """By how much rounding alone may part reserved from charged: on a part of a GPU both are scaled, and rounded."""
    numerator, denominator = row.weight
    return 0 if numerator == denominator else _MOST_STRETCHES


SAMPLED_METHODS = frozenset({"gpm", "dcgm", "ring", "rate", "accounting", "ring_process"})
"""Methods that may be named only where they saw a sample; ``memory`` and ``equal`` have none."""


def _known(number: int | None) -> str:
    return "" if number is None else str(number)


COLUMNS: dict[str, Callable[[CostSlice], str]] = {
    "cluster": lambda row: row.key.node.cluster,
    "node": lambda row: row.key.node.node,
    "gpu_uuid": lambda row: row.key.device.gpu_uuid,
    "gi": lambda row: _known(row.key.device.gi),
    "ci": lambda row: _known(row.key.device.ci),
    "profile": lambda row: row.key.device.profile,
    "placement": lambda row: _known(row.key.device.placement),
    "resource": lambda row: row.key.resource,
    "holder_kind": lambda row: row.key.holder.kind.value,
    "reason": lambda row: row.key.holder.reason,
    "namespace": lambda row: row.key.holder.namespace,
    "pod": lambda row: row.key.holder.pod,
    "pod_uid": lambda row: row.key.holder.pod_uid,
    "container": lambda row: row.key.holder.container,
    "window_start_ns": lambda row: str(row.key.window_start_ns),
    "length_ns": lambda row: str(row.length_ns),
    "reserved_ns": lambda row: str(row.time.reserved_ns),
    "used_ns": lambda row: str(row.time.used_ns),
    "idle_ns": lambda row: str(row.time.idle_ns),
    "unmeasured_ns": lambda row: str(row.time.unmeasured_ns),
    "cost_nanodollars": lambda row: str(row.cost.nanodollars),
    "cost_used_nanodollars": lambda row: str(row.cost.used_nanodollars),
    "cost_idle_nanodollars": lambda row: str(row.cost.idle_nanodollars),
    "cost_unmeasured_nanodollars": lambda row: str(row.cost.unmeasured_nanodollars),
    "cost_reserved_nanodollars": lambda row: str(row.cost.reserved_nanodollars),
    "price_nanodollars_per_hour": lambda row: _known(row.price.nanodollars_per_hour),
    "price_source": lambda row: row.price.source,
    "price_date": lambda row: row.price.date,
    "method": lambda row: row.evidence.method,
    "watched_ns": lambda row: str(row.evidence.watched_ns),
    "samples": lambda row: str(row.evidence.samples),
    "weight_numerator": lambda row: str(row.weight[0]),
    "weight_denominator": lambda row: str(row.weight[1]),
    "memory_held_bytes_max": lambda row: _known(row.measures.memory_held_bytes_max),
    "sm_active_ns": lambda row: _known(row.measures.sm_active_ns),
    "tensor_active_ns": lambda row: _known(row.measures.tensor_active_ns),
    "dram_active_ns": lambda row: _known(row.measures.dram_active_ns),
    "energy_uj": lambda row: _known(row.measures.energy_uj),
    "requests": lambda row: _known(row.measures.requests),
    "flags": lambda row: " ".join(row.flags),
    "policy_version": lambda row: row.policy_version,
}
"""A slice as CSV: its columns in their order, each with the text that it has there; empty is not known."""
