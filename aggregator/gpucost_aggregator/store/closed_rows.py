"""Rows about books that the aggregator closes itself: lost time, adjustments, GPUs that two nodes claim. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import NodeId


class AdjustmentReason(StrEnum):
    """
    Why a row stands beside the slices.

    LATE is a slice of time that was closed as lost before it came; REPLACED takes that lost time away again.
    REPRICED rows come in twos: one takes a slice away at its old price, one puts it back at another.
    """

    LATE = "late"
    REPLACED = "replaced"
    REPRICED = "repriced"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """
    What changes of a slice that itself never does: *difference* has its key, and signed amounts.

    *number* is its place among all adjustments of the store, from 1 on; 0 before it is written.
    """

    difference: CostSlice
    reason: AdjustmentReason
    made_at_ns: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class AdjustmentPage:
    """Adjustments in the order in which they were made; *next_cursor* is None on the last page."""

    adjustments: tuple[Adjustment, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class BooksEnd:
    """Where the books of a node's boot end, and the GPUs of their last window with the price of each."""

    closed_through_ns: int
    window_ns: int
    prices: Mapping[str, Price] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """
    Numbers that did not come before a batch, though they are below its own.

    *last_missing* is below *first_missing* where none is: an epoch begins with the batch.
    """

    first_missing: int
    last_missing: int


@dataclass(frozen=True, slots=True)
class ClosedGap:
    """Lost time before a batch that was closed with it: the missing numbers, when it was, and for how many slices."""

    node: NodeId
    first_missing: int
    last_missing: int
    from_ns: int
    to_ns: int
    gpus: int
    slices: int


@dataclass(frozen=True, slots=True)
class ClosedBooks:
    """
    Books of a node's boot that the aggregator closes through *closed_through_ns*, as nobody else does.

    *slices* are synthetic and may come in several parts; *is_gone*: nobody waits for this node any more.
    """

    node: NodeId
    boot_id: str
    window_ns: int
    closed_through_ns: int
    closed_at_ns: int
    slices: tuple[CostSlice, ...]
    is_gone: bool = True


@dataclass(frozen=True, slots=True, order=True)
class SharedGpu:
    """A GPU that two nodes have slices of in the same window, which at most one of them can be right about."""

    gpu_uuid: str
    node: NodeId
    other: NodeId
    first_window_ns: int
    last_window_ns: int
    windows: int
