"""Closing a window of one GPU: settled stretches become priced slices."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from gpucost.apportion import apportion
from gpucost.cost_slice import (
    GPU,
    SAMPLED_METHODS,
    Cost,
    CostSlice,
    Evidence,
    GpuTime,
    Measures,
    Price,
    SliceKey,
)
from gpucost.identity import Device, Holder, NodeId
from gpucost.units import POLICY_VERSION, window_cost
from gpucost.window import Interval

from gpucost_agent.ledger.layout import DeviceTime, Layout, divide
from gpucost_agent.ledger.pricing import hour_offsets
from gpucost_agent.ledger.settle import SHADOW, Share, Stretch, settle
from gpucost_agent.ledger.spans import Efficiency

_EFFICIENCIES = tuple(each.name for each in fields(Efficiency))


@dataclass(frozen=True, slots=True)
class GpuWindow:
    """
    Everything about one GPU in one window.

    *life* is the window cut by the GPU's life, by the wall clock; the layouts' lengths were measured.
    *memory* is the most that a holder held on a device, in bytes; *energy_uj* is the whole GPU's.
    """

    node: NodeId
    gpu_uuid: str
    window_start_ns: int
    life: Interval
    layouts: tuple[Layout, ...]
    memory: Mapping[tuple[Device, Holder], int] = field(default_factory=dict)
    energy_uj: int | None = None

    @property
    def length_ns(self) -> int:
        """How long it was, as measured."""
        return sum(layout.length_ns for layout in self.layouts)


class _Row:
    """Sums of one holder on one device while a window is being closed."""

    def __init__(self) -> None:
        self.reserved_ns = self.used_ns = self.idle_ns = self.unmeasured_ns = 0
        self.watched_ns = self.samples = 0
        self.longest_ns = -1
        self.method = ""
        self.flags: set[str] = set()
        self.active_ns: dict[str, int] = {}

    def add(self, stretch: Stretch, share: Share, reserved_ns: int, parts: list[int], time_ns: int) -> None:
        self.reserved_ns += reserved_ns
        used, idle, unmeasured = parts
        self.used_ns += used
        self.idle_ns += idle
        self.unmeasured_ns += unmeasured
        self.watched_ns += stretch.watched_ns
        self.samples += stretch.samples
        self.flags |= share.flags
        if stretch.length_ns > self.longest_ns:
            self.longest_ns, self.method = stretch.length_ns, stretch.method
        if share.holder == stretch.worker and stretch.length_ns:
            for name in _EFFICIENCIES:
                active_ns = getattr(stretch.efficiency, name)
                if active_ns is not None:
                    # In GPU-time, as all else in a slice: an instance that is busy is a part of a busy GPU.
                    part_ns = active_ns * time_ns // stretch.length_ns
                    self.active_ns[name] = self.active_ns.get(name, 0) + part_ns

    @property
    def time(self) -> GpuTime:
        return GpuTime(self.reserved_ns, self.used_ns, self.idle_ns, self.unmeasured_ns)

    @property
    def counts(self) -> bool:
        return any((self.reserved_ns, self.used_ns, self.idle_ns, self.unmeasured_ns))


def close(window: GpuWindow, price: Price) -> tuple[CostSlice, ...]:
    """The slices of *window* at *price* in the ledger's order; charged time and cost sum to the window's, exactly."""
    rows: dict[tuple[Device, Holder], _Row] = {}
    lengths: dict[Device, int] = {}
    weights: dict[Device, tuple[int, int]] = {}
    for layout in window.layouts:
        for part in divide(window.gpu_uuid, layout):
            lengths[part.device] = lengths.get(part.device, 0) + layout.length_ns
            weights[part.device] = part.weight.as_integer_ratio()
            _add_device(rows, part)
    keys = sorted(
        (key for key, row in rows.items() if row.counts), key=lambda key: (key[0].order, key[1].order)
    )
    costs = _costs(window, price, [rows[key].time for key in keys])
    alone = len(keys) == 1
    return tuple(
        CostSlice(
            key=SliceKey(window.node, device, GPU, holder, window.window_start_ns),
            length_ns=lengths[device],
            time=rows[device, holder].time,
            cost=cost,
            price=price,
            evidence=_evidence(rows[device, holder]),
            measures=Measures(
                memory_held_bytes_max=window.memory.get((device, holder)),
                # A board has one counter; how much of it each of several holders drew is not known.
                energy_uj=window.energy_uj if alone else None,
                sm_active_ns=rows[device, holder].active_ns.get("sm_ns"),
                tensor_active_ns=rows[device, holder].active_ns.get("tensor_ns"),
                dram_active_ns=rows[device, holder].active_ns.get("dram_ns"),
            ),
            weight=weights[device],
            flags=_flags(rows[device, holder]),
            policy_version=POLICY_VERSION,
        )
        for (device, holder), cost in zip(keys, costs, strict=True)
    )


def _add_device(rows: dict[tuple[Device, Holder], _Row], part: DeviceTime) -> None:
    times = apportion(part.gpu_time_ns, [stretch.length_ns for stretch in part.stretches])
    for stretch, time_ns in zip(part.stretches, times, strict=True):
        shares = settle(stretch)
        charged = apportion(time_ns, [share.charged_ns for share in shares])
        reserved = apportion(time_ns, [share.reserved_ns for share in shares])
        for share, charged_ns, reserved_ns in zip(shares, charged, reserved, strict=True):
            parts = apportion(charged_ns, (share.used_ns, share.idle_ns, share.unmeasured_ns))
            rows.setdefault((part.device, share.holder), _Row()).add(
                stretch, share, reserved_ns, parts, time_ns
            )


def _flags(row: _Row) -> tuple[str, ...]:
    # Who was given the device in a part of the window is none who takes it.
    return tuple(sorted(row.flags - {SHADOW} if row.reserved_ns else row.flags))


def _costs(window: GpuWindow, price: Price, times: list[GpuTime]) -> list[Cost]:
    if price.nanodollars_per_hour is None:
        return [Cost()] * len(times)
    cost = window_cost(price.nanodollars_per_hour, *hour_offsets(window.life, window.length_ns))
    parts = apportion(cost, [ns for time in times for ns in (time.used_ns, time.idle_ns, time.unmeasured_ns)])
    reserved = apportion(cost, [time.reserved_ns for time in times])
    return [
        Cost(parts[3 * place], parts[3 * place + 1], parts[3 * place + 2], blocked)
        for place, blocked in enumerate(reserved)
    ]


def _evidence(row: _Row) -> Evidence:
    # A method that saw nothing may not be named. Less than a sample's period may be watched without one that ended.
    saw = row.samples if row.method in SAMPLED_METHODS else row.watched_ns
    return Evidence(row.method if saw else "", row.watched_ns, row.samples)
