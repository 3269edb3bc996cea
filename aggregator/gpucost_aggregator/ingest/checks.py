"""
Which slices can be kept, and which laws a batch breaks. Pure.

A slice that can never be accepted is set aside and its batch goes on without it;
laws over several slices are counted, as no single one of them is known to be wrong.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gpucost.cost_slice import GPU, CostSlice
from gpucost.identity import NodeId
from gpucost.units import window_cost
from gpucost.window import hour_offset_ns, window_of

from gpucost_aggregator.ingest.bounds import slice_breaches
from gpucost_aggregator.store.rows import Refused

MAX_SLICES = 10_000
"""Slices in one batch: 16 GPUs in 7 instances with 80 holders each; each takes 2 KiB once it is read."""


@dataclass(frozen=True, slots=True)
class Checked:
    """
    A batch's slices, the good apart from the refused.

    *refused* pairs each with its place in the batch; *breaches* counts laws by their names.
    """

    good: tuple[CostSlice, ...]
    refused: tuple[tuple[int, Refused], ...]
    breaches: Counter[str]


def check_slices(slices: tuple[CostSlice, ...], node: NodeId, window_ns: int, now_ns: int) -> Checked:
    """What can be kept of the *slices* that *node* sent, at *now_ns* by this program's clock."""
    good: list[CostSlice] = []
    refused: list[tuple[int, Refused]] = []
    found: Counter[str] = Counter()
    for place, row in enumerate(slices):
        broken = slice_breaches(row, node, now_ns)
        if not broken:
            good.append(row)
            continue
        found["slice"] += any(breach.is_law for breach in broken)
        refused.append((place, Refused(row, "; ".join(breach.words for breach in broken))))
    # Over all that came: a sum without its refused part says nothing of the agent.
    for rows in _by_gpu(slices):
        found.update(_gpu_breaches(rows, window_ns))
    return Checked(tuple(good), tuple(refused), found)


def _by_gpu(slices: Iterable[CostSlice]) -> Iterable[list[CostSlice]]:
    found: dict[tuple[str, int], list[CostSlice]] = {}
    for row in slices:
        if row.key.resource == GPU:
            found.setdefault((row.key.device.gpu_uuid, row.key.window_start_ns), []).append(row)
    return found.values()


def _gpu_breaches(rows: list[CostSlice], window_ns: int) -> list[str]:
    """Which of laws 1 to 3 all slices of one GPU in one window break, as far as they alone tell it."""
    found = []
    charged_ns = sum(row.time.charged_ns for row in rows)
    lengths = {row.key.device: row.length_ns for row in rows}
    if all(row.key.device.is_whole for row in rows):
        closes = {row.length_ns for row in rows} == {charged_ns}
    else:
        # A layout may change within the window, so that no device lives as long as its GPU.
        closes = max(lengths.values()) <= charged_ns <= sum(lengths.values())
    if not closes:
        found.append("gpu_time")
    prices = {row.price.nanodollars_per_hour for row in rows}
    price = prices.pop()
    if price is None or prices:
        return found
    cost = sum(row.cost.nanodollars for row in rows)
    if cost not in _costs(price, rows[0].key.window_start_ns, charged_ns, window_ns):
        found.append("money")
    return found


def _costs(price: int, start_ns: int, length_ns: int, window_ns: int) -> set[int]:
    """What the time may cost: it began with the window, it ended with it, or a clock was set within it."""
    begin_ns = hour_offset_ns(start_ns)
    end_ns = begin_ns + window_of(start_ns, window_ns).end_ns - start_ns
    spans = ((begin_ns, begin_ns + length_ns), (end_ns - length_ns, end_ns), (0, length_ns))
    return {window_cost(price, begin, end) for begin, end in spans}
