"""
Time that the books of another spool hold already: each instant of a GPU counts once, by who told of it first. Pure.

A spool that was cloned, or two agents of one node, tell twice of the same time, and their keys need not be the same:
holders that nobody could see have keys of their own, and windows may be cut elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence

from gpucost.cost_slice import CostSlice
from gpucost.window import Interval

from gpucost_aggregator.store.lost_time import lost_slices, span_of, without

SPOOL_CLONED = "spool_cloned"
"""Why nobody is charged for the part of a window that only the second of two spools tells of."""


def beside_held(
    rows: Sequence[CostSlice],
    window_ns: int,
    closed_through_ns: int,
    held: Mapping[int, Interval],
    synthetic: Iterable[Interval],
) -> list[CostSlice] | None:
    """
    What stands instead of *rows*, all true slices of a GPU in one window, where part of it is held; None if none is.

    *held* is when true slices of the GPU are, by their windows' starts; *synthetic* is when lost time was closed.
    A window that is held in part can not be divided, as nobody knows who used which part of it: the rest is closed as
    lost, so that the books are exact whatever it cost.
    """
    span = span_of(rows, window_ns, closed_through_ns)
    # From where a window begins, also where its length is shorter, as after a step of the clock.
    windows = [Interval(start_ns, each.end_ns) for start_ns, each in held.items()]
    window = Interval(rows[0].key.window_start_ns, span.end_ns)
    if not any(window.cut(other) for other in windows):
        return None
    key, price = rows[0].key, rows[0].price
    return [
        row
        for part in without(span, [*windows, *synthetic])
        for row in lost_slices(key.node, {key.device.gpu_uuid: price}, part, window_ns, SPOOL_CLONED)
    ]
