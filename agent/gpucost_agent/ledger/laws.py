"""
The ledger's laws on a closed window, checked on live data before it leaves the node.

Sums over several slices; what a slice can break by itself is ``gpucost.cost_slice.breaches``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from gpucost.cost_slice import CostSlice
from gpucost.units import window_cost
from gpucost.window import Interval

from gpucost_agent.ledger.pricing import hour_offsets

GPU_LAW = "gpu"
MONEY_LAW = "money"
RESERVATION_LAW = "reservation"


def window_breaches(
    slices: Sequence[CostSlice], lives: Mapping[str, Interval], lengths_ns: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """
    The laws that *slices* of one window break, each with what is wrong in words.

    *lives* is the window cut by each GPU's life, by UUID; *lengths_ns* is how long that was, as measured.
    """
    by_gpu: dict[str, list[CostSlice]] = defaultdict(list)
    for row in slices:
        by_gpu[row.key.device.gpu_uuid].append(row)
    for gpu_uuid in by_gpu.keys() | lives.keys():
        rows, life = by_gpu[gpu_uuid], lives.get(gpu_uuid)
        expected_ns = lengths_ns.get(gpu_uuid, 0)
        charged_ns = sum(row.time.charged_ns for row in rows)
        reserved_ns = sum(row.time.reserved_ns for row in rows)
        if charged_ns != expected_ns:
            yield GPU_LAW, f"{gpu_uuid} lived {expected_ns} ns of the window and {charged_ns} ns are charged"
        if reserved_ns != expected_ns:
            yield (
                RESERVATION_LAW,
                f"{gpu_uuid} lived {expected_ns} ns and {reserved_ns} ns are reserved or free",
            )
        if life is not None:
            yield from _money(gpu_uuid, rows, hour_offsets(life, expected_ns))


def _money(gpu_uuid: str, rows: Sequence[CostSlice], offsets: tuple[int, int]) -> Iterator[tuple[str, str]]:
    prices = {row.price for row in rows}
    if len(prices) > 1:
        yield MONEY_LAW, f"{gpu_uuid} has {len(prices)} prices in one window"
        return
    price = prices.pop().nanodollars_per_hour if prices else None
    expected = 0 if price is None else window_cost(price, *offsets)
    cost = sum(row.cost.nanodollars for row in rows)
    reserved = sum(row.cost.reserved_nanodollars for row in rows)
    if cost != expected:
        yield MONEY_LAW, f"{gpu_uuid} costs {expected} nano-dollars and {cost} are charged"
    if reserved != expected:
        yield (
            MONEY_LAW,
            f"{gpu_uuid} costs {expected} nano-dollars and {reserved} are the cost of what was reserved",
        )
