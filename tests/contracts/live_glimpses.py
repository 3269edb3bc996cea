"""Glimpses for tests: what a node sees in its last six seconds."""

from collections.abc import Sequence
from dataclasses import replace

from gpucost.clock import Instant
from gpucost.cost_slice import CostSlice, GpuTime, Measures
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.wire import WindowSlices, table_to_message

from contracts.ledger_rows import a_slice
from gpucost_aggregator.live.board import Board

SPAN_NS = 6 * NS_PER_SECOND
LAG_NS = 2 * NS_PER_SECOND
UNKNOWN = Measures()


def seen(row: CostSlice | None = None, *, used: int = 0, unmeasured: int = 0, reserved: int = 6) -> CostSlice:
    """*row* in the last six seconds: *used* and *unmeasured* of them; the rest of what is *reserved* is idle."""
    row = row or a_slice()
    idle = max(0, reserved - used - unmeasured)
    time = GpuTime(*(each * NS_PER_SECOND for each in (reserved, used, idle, unmeasured)))
    return replace(row, time=time, length_ns=SPAN_NS, measures=UNKNOWN, flags=())


def a_live(taken_at_ns: int, slices: Sequence[CostSlice]) -> stream_pb2.Live:
    """The message that an agent sends."""
    window = WindowSlices(taken_at_ns - LAG_NS - SPAN_NS, SPAN_NS, tuple(slices))
    return stream_pb2.Live(taken_at_ns=taken_at_ns, table=table_to_message(window))


def tell(board: Board, node: NodeId, now: Instant, *slices: CostSlice) -> object:
    """A stream of *node* begins and tells of *slices*, which ended two seconds before *now*; it is given back."""
    stream = object()
    board.enter(node, stream, now)
    table = a_live(now.wall_ns, slices).table
    board.put(node, stream, now.wall_ns, table.SerializeToString, now)
    return stream
