"""Plain windows to the agent's ledger and back: the only file of this proof that knows the code under test."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import HOST, UNALLOCATED, UNATTRIBUTED, Holder, HolderKind, NodeId, unobserved
from gpucost.window import Interval

from gpucost_agent.ledger.closing import GpuWindow, close
from gpucost_agent.ledger.layout import ComputeInstance, GpuInstance, Layout
from gpucost_agent.ledger.settle import Share, Stretch, settle
from proofs.law_checks import Paid, Row
from proofs.random_windows import Cut, Instance, Piece, Window

NAMED = {"host": HOST, "unallocated": UNALLOCATED, "unattributed": UNATTRIBUTED}


@dataclass(frozen=True)
class Ledger:
    """The entry points under test; sabotage puts broken ones in their place."""

    close: Callable[[GpuWindow, Price], tuple[CostSlice, ...]] = close
    settle: Callable[[Stretch], tuple[Share, ...]] = settle

    def rows(self, window: Window) -> list[Row]:
        """The slices of *window*."""
        price = Price() if window.price is None else Price(window.price, "override")
        gpu_window = GpuWindow(
            NodeId("c", "n"),
            "GPU-0",
            window.start,
            Interval(window.begin, window.end),
            tuple(_layout(cut) for cut in window.cuts),
        )
        return [_row(row) for row in self.close(gpu_window, price)]

    def paid(self, piece: Piece) -> list[Paid]:
        """Who pays for *piece*."""
        return [
            Paid(_name(share.holder), share.reserved_ns, share.used_ns, share.idle_ns, share.unmeasured_ns)
            for share in self.settle(_stretch(piece))
        ]


def _layout(cut: Cut) -> Layout:
    return Layout(
        cut.length,
        tuple(_stretch(piece) for piece in cut.pieces),
        tuple(_instance(instance) for instance in cut.instances),
        cut.compute_total,
        cut.memory_total,
    )


def _instance(instance: Instance) -> GpuInstance:
    return GpuInstance(
        instance.gi,
        instance.profile,
        instance.placement,
        instance.compute,
        instance.memory,
        tuple(
            ComputeInstance(part.ci, part.compute, tuple(_stretch(piece) for piece in part.pieces))
            for part in instance.parts
        ),
    )


def _stretch(piece: Piece) -> Stretch:
    return Stretch(
        piece.length,
        piece.watched,
        {_holder(name): reserved for name, reserved in piece.reserved.items()},
        {_holder(name): used for name, used in piece.used.items()},
        {_holder(name): Fraction(*limit) for name, limit in piece.limits.items()},
        _holder(piece.free),
    )


def _row(row: CostSlice) -> Row:
    device, time = row.key.device, row.time
    return Row(
        (_text(device.gi), _text(device.ci), device.profile, _text(device.placement)),
        _name(row.key.holder),
        row.key.window_start_ns,
        time.reserved_ns,
        time.used_ns,
        time.idle_ns,
        time.unmeasured_ns,
        row.cost.nanodollars,
        row.cost.reserved_nanodollars,
        row.flags,
    )


def _holder(name: str) -> Holder:
    if name.startswith("unobserved:"):
        return unobserved(name.partition(":")[2])
    return NAMED.get(name) or Holder(HolderKind.CONTAINER, container=name)


def _name(holder: Holder) -> str:
    if holder.kind is HolderKind.UNOBSERVED:
        return f"unobserved:{holder.reason}"
    return holder.container or holder.kind.value


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
