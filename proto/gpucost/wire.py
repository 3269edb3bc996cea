"""
Values <-> protobuf: the only hand-written code that knows the messages of the ledger.

Everything that comes from outside is bounded and checked here, before anything else sees it.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from gpucost.cost_slice import GPU, Cost, CostSlice, Evidence, GpuTime, Measures, Price, SliceKey
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import Device, Holder, HolderKind, NodeId, is_uuid
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2, stream_pb2

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_NAME_BYTES = 512
"""Longer than any Kubernetes name (253) and any label value (63, annotations cut to 256)."""

MAX_LABELS = 64

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
        workloads=[_workload_to_message(facts) for facts in content.workloads],
        gpus=[_gpu_to_message(facts) for facts in content.gpus],
        price_book_version=content.price_book_version,
        closed_through_ns=content.closed_through_ns,
    )


def batch_from_message(message: stream_pb2.Batch, node: NodeId) -> BatchContent:
    """
    What *message* from *node* says.

    Raises:
        Reject: It refers to something that it does not hold, or passes a bound.
    """
    return BatchContent(
        sequence_number=message.sequence_number,
        window=table_from_message(message.table, node),
        workloads=tuple(_workload_from_message(facts) for facts in message.workloads),
        gpus=tuple(_gpu_from_message(facts) for facts in message.gpus),
        closed_through_ns=message.closed_through_ns,
        price_book_version=_name(message.price_book_version, "price_book_version"),
    )


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


def table_from_message(table: ledger_pb2.Table, node: NodeId) -> WindowSlices:
    """
    The slices of *table*.

    Raises:
        Reject: An index points outside of its list, or a name passes the bound.
    """
    names = ("", *(_name(name, "name") for name in table.names))
    devices = [_device_from_message(device) for device in table.devices]
    holders = [_holder_from_message(holder, names) for holder in table.holders]
    prices = [_price_from_message(price) for price in table.prices]
    policy = _name(table.policy_version, "policy_version")
    rows = []
    for number, message in enumerate(table.slices):
        cost = Cost(
            message.cost_used_nanodollars,
            message.cost_idle_nanodollars,
            message.cost_unmeasured_nanodollars,
            message.cost_reserved_nanodollars,
        )
        if cost.nanodollars != message.cost_nanodollars:
            raise Reject(f"slice {number}: its cost {message.cost_nanodollars} is not the sum of its parts")
        key = SliceKey(
            node,
            _at(devices, message.device, f"slice {number}: device"),
            _name(message.resource, "resource") or GPU,
            _at(holders, message.holder, f"slice {number}: holder"),
            table.window_start_ns,
        )
        row = CostSlice(
            key=key,
            length_ns=message.length_ns if message.HasField("length_ns") else table.length_ns,
            time=GpuTime(message.reserved_ns, message.used_ns, message.idle_ns, message.unmeasured_ns),
            cost=cost,
            price=_at(prices, message.price, f"slice {number}: price"),
            evidence=Evidence(
                _at(names, message.method, f"slice {number}: method"), message.watched_ns, message.samples
            ),
            measures=Measures(**{name: _optional(message, name) for name in _MEASURES}),
            weight=(message.weight_numerator, message.weight_denominator)
            if message.weight_denominator
            else (1, 1),
            flags=tuple(_at(names, flag, f"slice {number}: flag") for flag in message.flags),
            policy_version=policy,
        )
        rows.append(row)
    return WindowSlices(table.window_start_ns, table.length_ns, tuple(rows))


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
    gpu = _name(message.gpu_name, "gpu_name")
    if message.HasField("gpu_uuid"):
        gpu = _GPU_PREFIX + _uuid(message.gpu_uuid, "gpu_uuid")
    if not gpu:
        raise Reject("a device names no GPU")
    return Device(
        gpu,
        _optional(message, "gi"),
        _optional(message, "ci"),
        _name(message.profile, "profile"),
        _optional(message, "placement"),
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
        _at(names, message.namespace, "a holder's namespace"),
        _at(names, message.pod, "a holder's pod"),
        _uuid(message.pod_uuid, "pod_uuid")
        if message.HasField("pod_uuid")
        else _name(message.pod_uid, "pod_uid"),
        _at(names, message.container, "a holder's container"),
        _at(names, message.reason, "a holder's reason"),
    )


def _price_to_message(price: Price) -> ledger_pb2.Price:
    return ledger_pb2.Price(
        nanodollars_per_hour=price.nanodollars_per_hour, source=price.source, date=price.date
    )


def _price_from_message(message: ledger_pb2.Price) -> Price:
    return Price(
        _optional(message, "nanodollars_per_hour"),
        _name(message.source, "price source"),
        _name(message.date, "price date"),
    )


def _workload_to_message(facts: WorkloadFacts) -> ledger_pb2.WorkloadFacts:
    return ledger_pb2.WorkloadFacts(
        namespace=facts.namespace,
        pod=facts.pod,
        pod_uid=facts.pod_uid,
        valid_from_ns=facts.valid_from_ns,
        labels=facts.labels,
        annotations=facts.annotations,
        owner_kind=facts.owner_kind,
        owner_name=facts.owner_name,
    )


def _workload_from_message(message: ledger_pb2.WorkloadFacts) -> WorkloadFacts:
    if len(message.labels) + len(message.annotations) > MAX_LABELS:
        raise Reject(
            f"pod {message.pod[:MAX_NAME_BYTES]} brings more than {MAX_LABELS} labels and annotations"
        )
    return WorkloadFacts(
        _name(message.namespace, "namespace"),
        _name(message.pod, "pod"),
        _name(message.pod_uid, "pod_uid"),
        message.valid_from_ns,
        {_name(key, "label"): _name(value, "label") for key, value in message.labels.items()},
        {_name(key, "annotation"): _name(value, "annotation") for key, value in message.annotations.items()},
        _name(message.owner_kind, "owner_kind"),
        _name(message.owner_name, "owner_name"),
    )


def _gpu_to_message(facts: GpuFacts) -> ledger_pb2.GpuFacts:
    return ledger_pb2.GpuFacts(
        gpu_uuid=facts.gpu_uuid,
        model=facts.model,
        memory_bytes=facts.memory_bytes or 0,
        instance_type=facts.instance_type,
        region=facts.region,
        valid_from_ns=facts.valid_from_ns,
    )


def _gpu_from_message(message: ledger_pb2.GpuFacts) -> GpuFacts:
    return GpuFacts(
        _name(message.gpu_uuid, "gpu_uuid"),
        _name(message.model, "model"),
        message.memory_bytes or None,
        _name(message.instance_type, "instance_type"),
        _name(message.region, "region"),
        message.valid_from_ns,
    )


def _name(text: str, what: str) -> str:
    if len(text.encode()) > MAX_NAME_BYTES:
        raise Reject(f"{what} has {len(text.encode())} bytes; {MAX_NAME_BYTES} is the most")
    return text


def _uuid(raw: bytes, what: str) -> str:
    if len(raw) != 16:
        raise Reject(f"{what} has {len(raw)} bytes, not 16")
    return str(UUID(bytes=raw))


def _at(values: Sequence[Any], place: int, what: str) -> Any:
    if place >= len(values):
        raise Reject(f"{what} is number {place} of {len(values)}")
    return values[place]


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None
