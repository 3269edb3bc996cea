"""Glimpses, read: who has which device now, and whether it is in use. For reader threads; pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

from gpucost.cost_slice import GPU, CostSlice
from gpucost.identity import Device
from gpucost.trouble import Reject
from gpucost.wire import table_from_bytes

from gpucost_aggregator.live.board import MOST_APART_NS, Glimpse


@dataclass(frozen=True, slots=True)
class LiveRow:
    """
    A holder on a device, as seen in the last seconds.

    *device_ns* is the GPU-time of the device in them, which the rows of all its holders add up to;
    *age_ns* is how long ago they ended.
    """

    slice: CostSlice
    device_ns: int
    age_ns: int

    @property
    def reserved_ratio(self) -> float:
        """Which part of the device the holder blocks."""
        return float(Fraction(self.slice.time.reserved_ns, self.device_ns))

    @property
    def used_ratio(self) -> float | None:
        """Which part of its time it was in use by the holder; None where nobody measured it."""
        time = self.slice.time
        if time.unmeasured_ns and not (time.used_ns or time.idle_ns):
            return None
        return float(Fraction(time.used_ns, self.device_ns))

    @property
    def unmeasured_ratio(self) -> float:
        """Which part of its time the holder pays for, and nobody knows whether it was used."""
        return float(Fraction(self.slice.time.unmeasured_ns, self.device_ns))

    def ratio(self, active_ns: int | None) -> float | None:
        """A measure of the device's time as a part of it; None where it is not known."""
        return None if active_ns is None or not self.slice.length_ns else active_ns / self.slice.length_ns


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: those of *namespaces* (empty: all, and what belongs to none), *limit* of them at most."""

    namespaces: Collection[str] = ()
    limit: int = 1 << 62


@dataclass(frozen=True, slots=True)
class LiveNow:
    """
    Rows in the order of node, device and holder. *taken_at_ns* are the first and the last instant at which a node
    that has a row spoke, None without rows. *cut*: there are more rows. *unreadable* parts were left out.
    """

    rows: tuple[LiveRow, ...] = ()
    taken_at_ns: tuple[int, int] | None = None
    cut: bool = False
    unreadable: int = 0


def read(glimpses: Iterable[Glimpse], wanted: Wanted, now_ns: int) -> LiveNow:
    """What *glimpses* say at *now_ns* of the monotonic clock; no more of them is read than is *wanted*."""
    rows: list[LiveRow] = []
    taken: list[int] = []
    unreadable, cut = 0, False
    for glimpse in glimpses:
        if cut := len(rows) > wanted.limit:
            break
        found, left_out = _rows_of(glimpse, wanted.namespaces, now_ns)
        unreadable += left_out
        if found and len(rows) < wanted.limit:
            taken.append(glimpse.taken_at_ns)
        rows += found
    cut = cut or len(rows) > wanted.limit
    span = (min(taken), max(taken)) if taken else None
    return LiveNow(tuple(rows[: wanted.limit]), span, cut, unreadable)


def _rows_of(glimpse: Glimpse, namespaces: Collection[str], now_ns: int) -> tuple[list[LiveRow], int]:
    try:
        window, unreadable = table_from_bytes(glimpse.table, glimpse.node)
    except Reject:
        return [], 1
    # Differences within one clock each, as a node's clock may be off.
    lag_ns = glimpse.taken_at_ns - window.window_start_ns - window.length_ns
    if not 0 <= lag_ns <= MOST_APART_NS:
        return [], 1
    age_ns = lag_ns + now_ns - glimpse.received_ns
    slices = [row for row in window.slices if row.key.resource == GPU]
    lengths: dict[Device, int] = defaultdict(int)
    for row in slices:
        lengths[row.key.device] += row.time.charged_ns
    sound = [row for row in slices if _is_sound(row, lengths[row.key.device])]
    found = [
        LiveRow(row, lengths[row.key.device], age_ns)
        for row in sorted(sound, key=lambda row: (row.key.device.order, row.key.holder.order))
        if not namespaces or row.key.holder.namespace in namespaces
    ]
    return found, len(unreadable) + len(slices) - len(sound)


def _is_sound(row: CostSlice, device_ns: int) -> bool:
    time = row.time
    least = min(time.reserved_ns, time.used_ns, time.idle_ns, time.unmeasured_ns)
    return least >= 0 and device_ns > 0 and max(time.reserved_ns, time.charged_ns) <= device_ns
