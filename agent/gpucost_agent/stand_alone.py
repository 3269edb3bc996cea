"""`gpucost-agent run --stand-alone`: who uses the GPUs of one machine, as a table, without Kubernetes."""

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

from gpucost import format as fmt
from gpucost.cost_slice import CostSlice
from gpucost.identity import Device, Holder, HolderKind, unobserved
from gpucost.units import NS_PER_SECOND
from gpucost.window import Interval

from gpucost_agent.ledger.books import ClosedWindow
from gpucost_agent.ledger.gpu_book import NODE_STARTING

_HEADINGS = ("GPU", "who", "GPU-time", "share", "memory", "cost", "by")
_NS_PER_TENTH = NS_PER_SECOND // 10
_BEFORE = unobserved(NODE_STARTING)
"""Whose the time before the first look is."""


@dataclass
class _Sum:
    """One holder on one device."""

    used_ns: int = 0
    charged_ns: int = 0
    cost_nanodollars: int = 0
    memory_bytes: int | None = None
    methods: set[str] = field(default_factory=set)
    priced: bool = True

    def add(self, row: CostSlice) -> None:
        self.used_ns += row.time.used_ns
        self.charged_ns += row.time.charged_ns
        self.cost_nanodollars += row.cost.nanodollars
        held = row.measures.memory_held_bytes_max
        if held is not None:
            self.memory_bytes = max(self.memory_bytes or 0, held)
        if row.evidence.method:
            self.methods.add(row.evidence.method)
        self.priced &= row.price.nanodollars_per_hour is not None


class Table:
    """
    Prints each window as it closes, and at the end the sum of all.

    Both begin at the first look: of the time from the node's boot until then there is nothing to tell.
    """

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._sums: dict[tuple[Device, Holder], _Sum] = defaultdict(_Sum)
        self._begin_ns: int | None = None
        self._end_ns = 0

    def keep(self, closed: ClosedWindow) -> None:
        """A window was closed."""
        watched = _watched_part(closed)
        if watched is None:
            return
        if self._begin_ns is None:
            self._begin_ns = watched.start_ns
        self._end_ns = watched.end_ns
        sums: dict[tuple[Device, Holder], _Sum] = defaultdict(_Sum)
        for row in closed.slices:
            if row.key.holder == _BEFORE:
                continue
            for each in (sums, self._sums):
                each[row.key.device, row.key.holder].add(row)
        self._show(watched, sums)

    def show_all(self) -> None:
        """The sum of all windows; nothing if there was none."""
        if self._begin_ns is not None and self._begin_ns < self._end_ns:
            self._out.write("in all:\n")
            self._show(Interval(self._begin_ns, self._end_ns), self._sums)

    def _show(self, interval: Interval, sums: dict[tuple[Device, Holder], _Sum]) -> None:
        self._out.write(f"{fmt.interval(interval.start_ns, interval.end_ns)}\n")
        whole: dict[str, int] = defaultdict(int)
        for (device, _), each in sums.items():
            whole[device.gpu_uuid] += each.charged_ns
        rows = [
            (
                device_name(device),
                _holder_name(holder),
                time_text(each.charged_ns),
                fmt.percent(each.charged_ns, whole[device.gpu_uuid]),
                "" if each.memory_bytes is None else fmt.memory(each.memory_bytes),
                fmt.money(each.cost_nanodollars, 4) if each.priced else "no price",
                " ".join(sorted(each.methods)),
            )
            for (device, holder), each in sorted(
                sums.items(), key=lambda entry: (entry[0][0].order, -entry[1].used_ns, entry[0][1].order)
            )
        ]
        self._out.write("".join(lines([_HEADINGS, *rows])) + "\n")
        self._out.flush()


def _watched_part(closed: ClosedWindow) -> Interval | None:
    """A window from the first look on; None where it lies before that, or before any GPU's life."""
    before_ns: dict[str, int] = defaultdict(int)
    for row in closed.slices:
        if row.key.holder == _BEFORE:
            before_ns[row.key.device.gpu_uuid] += row.time.charged_ns
    if all(row.key.holder == _BEFORE for row in closed.slices):
        return None
    begin_ns = min(life.start_ns + before_ns[uuid] for uuid, life in closed.lives.items())
    # Time is counted as measured, and a life by the wall clock, which may have been set meanwhile.
    return closed.interval.cut(Interval(begin_ns, closed.interval.end_ns)) or closed.interval


def time_text(ns: int) -> str:
    """GPU-time for people: in tenths of a second below a minute, as a use may be far shorter than its window."""
    if not 0 < ns < 60 * NS_PER_SECOND:
        return fmt.duration(ns)
    if ns < _NS_PER_TENTH:
        return "<0.1 s"
    seconds, rest_ns = divmod(ns, NS_PER_SECOND)
    # Cut and not rounded, as longer times are.
    return f"{seconds}.{rest_ns // _NS_PER_TENTH} s"


def lines(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows as lines of a table, each column as wide as its widest cell."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    ]


def device_name(device: Device) -> str:
    """A device for people: its GPU's UUID, short, and its instance."""
    short = device.gpu_uuid[:12]
    if device.gi is None:
        return f"{short} {device.profile}".rstrip()
    rest = f"gi {device.gi}" if device.ci is None else f"gi {device.gi} ci {device.ci}"
    return f"{short} {device.profile} {rest}"


def _holder_name(holder: Holder) -> str:
    """Who it is, for people."""
    if holder.kind is HolderKind.HOST and holder.container:
        pid = f" ({holder.pod})" if holder.namespace == "process" else ""
        return f"{holder.namespace} {holder.container}{pid}"
    return f"{holder.kind.value} {holder.reason}".rstrip()
