"""
Values <-> protobuf: the only hand-written code that knows the messages of the ledger.

Everything that comes from outside is bounded and checked here, before anything else sees it.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError
from gpucost.cost_slice import GPU, Cost, CostSlice, Evidence, GpuTime, Measures, Price, SliceKey
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import Device, Holder, HolderKind, NodeId, is_uuid
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2, stream_pb2
from gpucost.wire_bounds import (
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    bounded_name,
    each_or_reject,
    entry_at,
    optional,
    uuid_from,
)
from gpucost.wire_facts import gpu_from_message, gpu_to_message, workload_from_message, workload_to_message

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_NAME_BYTES",
    "BatchContent",
    "Unreadable",
    "WindowSlices",
    "batch_from_bytes",
    "batch_from_message",
    "batch_to_message",
    "readable_part",
    "table_from_bytes",
]

_GPU_PREFIX = "GPU-"
_MEASURES = (
    "memory_held_bytes_max",
    "sm_active_ns",
    "tensor_active_ns",
    "dram_active_ns",
    "energy_uj",
    "requests",
)
_KINDS = {
    HolderKind.CONTAINER: ledger_pb2.HOLDER_KIND_CONTAINER,
    HolderKind.HOST: ledger_pb2.HOLDER_KIND_HOST,
    HolderKind.UNALLOCATED: ledger_pb2.HOLDER_KIND_UNALLOCATED,
    HolderKind.UNATTRIBUTED: ledger_pb2.HOLDER_KIND_UNATTRIBUTED,
    HolderKind.UNOBSERVED: ledger_pb2.HOLDER_KIND_UNOBSERVED,
}
_KIND_OF = {number: kind for kind, number in _KINDS.items()}

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True, slots=True)
class WindowSlices:
    """Slices of one window of one node. *length_ns* is the window's; a slice may be shorter."""

    window_start_ns: int
    length_ns: int
    slices: tuple[CostSlice, ...]


@dataclass(frozen=True, slots=True)
class BatchContent:
    """What a batch says: the slices of one closed window, new facts, and how far the node's books are closed."""

    sequence_number: int
    window: WindowSlices
    workloads: tuple[WorkloadFacts, ...] = ()
    gpus: tuple[GpuFacts, ...] = ()
    closed_through_ns: int = 0
    price_book_version: str = ""

    @property
    def slices(self) -> tuple[CostSlice, ...]:
        """The slices of the window."""
        return self.window.slices


def batch_to_message(content: BatchContent) -> stream_pb2.Batch:
    """The message for *content*; a name that occurs often stands in it once."""
    return stream_pb2.Batch(
        sequence_number=content.sequence_number,
        table=table_to_message(content.window),
        workloads=[workload_to_message(facts) for facts in content.workloads],
        gpus=[gpu_to_message(facts) for facts in content.gpus],
        price_book_version=content.price_book_version,
        closed_through_ns=content.closed_through_ns,
    )


def batch_to_bytes(content: BatchContent) -> bytes:
    """The message for *content* as it lies in a spool: in one form only, so that both ends know it by one hash."""
    return batch_to_message(content).SerializeToString(deterministic=True)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a batch that says nothing sure: the place of its *slice*, None for another part; and why."""

    slice: int | None
    reason: str


def batch_from_bytes(encoded: bytes) -> stream_pb2.Batch:
    """
    The message that was kept as *encoded*.

    Raises:
        Reject: It is none.
    """
    try:
        return stream_pb2.Batch.FromString(encoded)
    except DecodeError:
        raise Reject("its bytes are no batch: they were damaged where they were kept") from None


def batch_from_message(message: stream_pb2.Batch, node: NodeId) -> BatchContent:
    """
    What *message* from *node* says.

    Raises:
        Reject: It refers to something that it does not hold, or passes a bound.
    """
    content, unreadable = readable_part(message, node)
    if unreadable:
        raise Reject(unreadable[0].reason)
    return content


def readable_part(message: stream_pb2.Batch, node: NodeId) -> tuple[BatchContent, tuple[Unreadable, ...]]:
    """
    What can be read of *message* from *node*, and what can not; one bad slice never takes the others along.

    Raises:
        Reject: Nothing of it can be read.
    """
    unreadable: list[Unreadable] = []

    def known(values: Iterable[Any]) -> tuple[Any, ...]:
        found = list(values)
        unreadable.extend(Unreadable(None, str(each)) for each in found if isinstance(each, Reject))
        return tuple(each for each in found if not isinstance(each, Reject))

    window, bad_slices = _readable_table(message.table, node)
    unreadable += bad_slices
    content = BatchContent(
        sequence_number=message.sequence_number,
        window=window,
        workloads=known(each_or_reject(workload_from_message, message.workloads)),
        gpus=known(each_or_reject(gpu_from_message, message.gpus)),
        closed_through_ns=message.closed_through_ns,
        price_book_version=bounded_name(message.price_book_version, "price_book_version"),
    )
    return content, tuple(unreadable)


def table_from_bytes(encoded: bytes, node: NodeId) -> tuple[WindowSlices, tuple[Unreadable, ...]]:
    """
    What can be read of the table that was kept as *encoded*, from *node*, and what can not.

    Raises:
        Reject: Nothing of it can be read.
    """
    try:
        table = ledger_pb2.Table.FromString(encoded)
    except DecodeError:
        raise Reject("its bytes are no table") from None
    return _readable_table(table, node)


class _Index(Generic[Value]):
    """Places of values in a list that holds each once."""

    def __init__(self, first: Iterable[Value] = ()) -> None:
        self.places: dict[Value, int] = {value: place for place, value in enumerate(first)}

    def of(self, value: Value) -> int:
        return self.places.setdefault(value, len(self.places))


def table_to_message(window: WindowSlices) -> ledger_pb2.Table:
    """The table of *window*, whose slices may stand in any order."""
    names, devices, holders, prices = _Index[str]([""]), _Index[Device](), _Index[Holder](), _Index[Price]()
    rows = []
    for row in window.slices:
        message = ledger_pb2.Slice(
            device=devices.of(row.key.device),
            holder=holders.of(row.key.holder),
            price=prices.of(row.price),
            resource="" if row.key.resource == GPU else row.key.resource,
            reserved_ns=row.time.reserved_ns,
            used_ns=row.time.used_ns,
            idle_ns=row.time.idle_ns,
            unmeasured_ns=row.time.unmeasured_ns,
            cost_used_nanodollars=row.cost.used_nanodollars,
            cost_idle_nanodollars=row.cost.idle_nanodollars,
            cost_unmeasured_nanodollars=row.cost.unmeasured_nanodollars,
            cost_nanodollars=row.cost.nanodollars,
            cost_reserved_nanodollars=row.cost.reserved_nanodollars,
            method=names.of(row.evidence.method),
            watched_ns=row.evidence.watched_ns,
            samples=row.evidence.samples,
            flags=[names.of(flag) for flag in row.flags],
        )
        if row.length_ns != window.length_ns:
            message.length_ns = row.length_ns
        if row.weight != (1, 1):
            message.weight_numerator, message.weight_denominator = row.weight
        for measure in _MEASURES:
            if (known := getattr(row.measures, measure)) is not None:
                setattr(message, measure, known)
        rows.append(message)
    policies = {row.policy_version for row in window.slices}
    if len(policies) > 1:
        raise ValueError(f"slices of one window follow several policies: {sorted(policies)}")
    holder_messages = [_holder_to_message(holder, names) for holder in holders.places]
    return ledger_pb2.Table(
        window_start_ns=window.window_start_ns,
        length_ns=window.length_ns,
        policy_version=policies.pop() if policies else "",
        names=list(names.places)[1:],
        devices=[_device_to_message(device) for device in devices.places],
        holders=holder_messages,
        prices=[_price_to_message(price) for price in prices.places],
        slices=rows,
    )


def _readable_table(table: ledger_pb2.Table, node: NodeId) -> tuple[WindowSlices, tuple[Unreadable, ...]]:
    """The slices of *table*; unreadable is one whose index points outside of its list or at a bad entry."""
    names = ("", *each_or_reject(lambda name: bounded_name(name, "name"), table.names))
    parts = _Parts(
        node,
        table,
        names,
        each_or_reject(_device_from_message, table.devices),
        each_or_reject(lambda holder: _holder_from_message(holder, names), table.holders),
        each_or_reject(_price_from_message, table.prices),
        bounded_name(table.policy_version, "policy_version"),
    )
    entries = (*parts.names, *parts.devices, *parts.holders, *parts.prices)
    unreadable = [Unreadable(None, str(each)) for each in entries if isinstance(each, Reject)]
    rows = []
    for number, message in enumerate(table.slices):
        try:
            rows.append(_slice_from_message(message, number, parts))
        except Reject as trouble:
            unreadable.append(Unreadable(number, str(trouble)))
    return WindowSlices(table.window_start_ns, table.length_ns, tuple(rows)), tuple(dict.fromkeys(unreadable))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What slices of one table refer to; an entry that can not be read is its Reject."""

    node: NodeId
    table: ledger_pb2.Table
    names: Sequence[Any]
    devices: Sequence[Any]
    holders: Sequence[Any]
    prices: Sequence[Any]
    policy: str


def _slice_from_message(message: ledger_pb2.Slice, number: int, parts: _Parts) -> CostSlice:
    cost = Cost(
        message.cost_used_nanodollars,
        message.cost_idle_nanodollars,
        message.cost_unmeasured_nanodollars,
        message.cost_reserved_nanodollars,
    )
    if cost.nanodollars != message.cost_nanodollars:
        raise Reject(f"slice {number}: its cost {message.cost_nanodollars} is not the sum of its parts")
    key = SliceKey(
        parts.node,
        entry_at(parts.devices, message.device, f"slice {number}: device"),
        bounded_name(message.resource, "resource") or GPU,
        entry_at(parts.holders, message.holder, f"slice {number}: holder"),
        parts.table.window_start_ns,
    )
    return CostSlice(
        key=key,
        length_ns=message.length_ns if message.HasField("length_ns") else parts.table.length_ns,
        time=GpuTime(message.reserved_ns, message.used_ns, message.idle_ns, message.unmeasured_ns),
        cost=cost,
        price=entry_at(parts.prices, message.price, f"slice {number}: price"),
        evidence=Evidence(
            entry_at(parts.names, message.method, f"slice {number}: method"),
            message.watched_ns,
            message.samples,
        ),
        measures=Measures(**{name: optional(message, name) for name in _MEASURES}),
        weight=(message.weight_numerator, message.weight_denominator)
        if message.weight_denominator
        else (1, 1),
        flags=tuple(entry_at(parts.names, flag, f"slice {number}: flag") for flag in message.flags),
        policy_version=parts.policy,
    )


def _device_to_message(device: Device) -> ledger_pb2.Device:
    message = ledger_pb2.Device(
        gi=device.gi, ci=device.ci, profile=device.profile, placement=device.placement
    )
    rest = device.gpu_uuid.removeprefix(_GPU_PREFIX)
    if device.gpu_uuid.startswith(_GPU_PREFIX) and is_uuid(rest):
        message.gpu_uuid = UUID(rest).bytes
    else:
        message.gpu_name = device.gpu_uuid
    return message


def _device_from_message(message: ledger_pb2.Device) -> Device:
    gpu = bounded_name(message.gpu_name, "gpu_name")
    if message.HasField("gpu_uuid"):
        gpu = _GPU_PREFIX + uuid_from(message.gpu_uuid, "gpu_uuid")
    if not gpu:
        raise Reject("a device names no GPU")
    return Device(
        gpu,
        optional(message, "gi"),
        optional(message, "ci"),
        bounded_name(message.profile, "profile"),
        optional(message, "placement"),
    )


def _holder_to_message(holder: Holder, names: _Index[str]) -> ledger_pb2.Holder:
    message = ledger_pb2.Holder(
        kind=_KINDS[holder.kind],
        reason=names.of(holder.reason),
        namespace=names.of(holder.namespace),
        pod=names.of(holder.pod),
        container=names.of(holder.container),
    )
    if is_uuid(holder.pod_uid):
        message.pod_uuid = UUID(holder.pod_uid).bytes
    elif holder.pod_uid:
        message.pod_uid = holder.pod_uid
    return message


def _holder_from_message(message: ledger_pb2.Holder, names: Sequence[str]) -> Holder:
    if message.kind not in _KIND_OF:
        raise Reject(f"holders of kind {message.kind} are not known here: update the aggregator first")
    return Holder(
        _KIND_OF[message.kind],
        entry_at(names, message.namespace, "a holder's namespace"),
        entry_at(names, message.pod, "a holder's pod"),
        uuid_from(message.pod_uuid, "pod_uuid")
        if message.HasField("pod_uuid")
        else bounded_name(message.pod_uid, "pod_uid"),
        entry_at(names, message.container, "a holder's container"),
        entry_at(names, message.reason, "a holder's reason"),
    )


def _price_to_message(price: Price) -> ledger_pb2.Price:
    return ledger_pb2.Price(
        nanodollars_per_hour=price.nanodollars_per_hour, source=price.source, date=price.date
    )


def _price_from_message(message: ledger_pb2.Price) -> Price:
    return Price(
        optional(message, "nanodollars_per_hour"),
        bounded_name(message.source, "price source"),
        bounded_name(message.date, "price date"),
    )
