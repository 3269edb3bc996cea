"""
Time that nobody has the books of: one synthetic slice per GPU and window, and what is left of it later. Pure.

A synthetic slice never changes, as no slice does. Where true slices come for its time after all, or a better account
of the loss, adjustments take away as much of it as they cover; so every order of arrival has the same sums.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gpucost.cost_slice import (
    GPU,
    SYNTHETIC,
    Cost,
    CostSlice,
    Evidence,
    GpuTime,
    Measures,
    Price,
    SliceKey,
)
from gpucost.identity import Device, HolderKind, NodeId, unobserved
from gpucost.units import POLICY_VERSION, window_cost
from gpucost.window import Interval, hour_offset_ns, window_of

SPOOL_FULL, STORE_LOST, NODE_GONE = "spool_full", "store_lost", "node_gone"
_KNOWS_BEST = (SPOOL_FULL, STORE_LOST, NODE_GONE)
"""Of two accounts of the same lost time the one with the earlier reason counts: an agent knows its own loss best."""


class Group(NamedTuple):
    """A GPU of a node in one window of the fleet, whole, which begins at *aligned_ns*."""

    cluster: str
    node: str
    gpu_uuid: str
    aligned_ns: int


@dataclass(frozen=True, slots=True)
class Claims:
    """All that is known of a group: when true slices cover it, its synthetic slices, and what adjusts these."""

    true: Sequence[Interval]
    synthetic: Sequence[CostSlice]
    adjusted: Mapping[SliceKey, Sequence[CostSlice]]


def is_synthetic(row: CostSlice) -> bool:
    """Whether *row* stands for lost time; a flag alone does not make it so."""
    return (
        SYNTHETIC in row.flags
        and row.key.holder.kind is HolderKind.UNOBSERVED
        and row.key.device.is_whole
        and row.time.charged_ns == row.time.unmeasured_ns == row.length_ns
    )


def group_of(row: CostSlice, window_ns: int) -> Group:
    """The group that *row* belongs to."""
    key = row.key
    start_ns = window_of(key.window_start_ns, window_ns).start_ns
    return Group(key.node.cluster, key.node.node, key.device.gpu_uuid, start_ns)


def lost_slices(
    node: NodeId, prices: Mapping[str, Price], lost: Interval, window_ns: int, reason: str
) -> Iterator[CostSlice]:
    """One slice for each GPU of *prices* and each window of *lost*, in the order of time."""
    start_ns = lost.start_ns
    while start_ns < lost.end_ns:
        part = Interval(start_ns, min(window_of(start_ns, window_ns).end_ns, lost.end_ns))
        for uuid in sorted(prices):
            cost = _cost(prices[uuid], [part])
            yield CostSlice(
                key=SliceKey(node, Device(uuid), GPU, unobserved(reason), start_ns),
                length_ns=part.length_ns,
                time=GpuTime(part.length_ns, 0, 0, part.length_ns),
                cost=Cost(0, 0, cost, cost),
                price=prices[uuid],
                flags=(SYNTHETIC,),
                policy_version=POLICY_VERSION,
            )
        start_ns = part.end_ns


def differences(claims: Claims) -> list[CostSlice]:
    """What has to be added to the synthetic slices of a group, so that each instant of it counts once."""
    taken = list(claims.true)
    found: list[CostSlice] = []
    for row in sorted(claims.synthetic, key=_rank):
        whole = interval_of(row)
        found += _to_reach(row, claims.adjusted.get(row.key, ()), without(whole, taken))
        taken.append(whole)
    return found


def span_of(rows: Sequence[CostSlice], window_ns: int, closed_through_ns: int) -> Interval:
    """
    When a GPU was watched, by all of its *rows* of one window that was closed through *closed_through_ns*.

    Its life may begin within the window, and always lasts to where the window was closed.
    """
    start_ns = rows[0].key.window_start_ns
    end_ns = window_of(start_ns, window_ns).end_ns
    if start_ns < closed_through_ns < end_ns:
        end_ns = closed_through_ns
    longest_ns = max(row.length_ns for row in rows)
    length_ns = max(longest_ns, sum(row.time.charged_ns for row in rows))
    return Interval(max(start_ns, end_ns - length_ns), end_ns)


def interval_of(row: CostSlice) -> Interval:
    """When a synthetic slice was, which always begins where its key says."""
    return Interval(row.key.window_start_ns, row.key.window_start_ns + row.length_ns)


def without(whole: Interval, taken: Iterable[Interval]) -> list[Interval]:
    """The parts of *whole* that none of *taken* has, in the order of time."""
    left = [whole]
    for other in taken:
        left = [
            part
            for each in left
            for part in (
                Interval(each.start_ns, min(each.end_ns, other.start_ns)),
                Interval(max(each.start_ns, other.end_ns), each.end_ns),
            )
            if part.start_ns < part.end_ns
        ]
    return left


def added(rows: Sequence[CostSlice]) -> CostSlice:
    """The sum of slices of one key and price, with the other content of the first; measures are not added."""
    first = rows[0]
    time, cost = [row.time for row in rows], [row.cost for row in rows]
    return replace(
        first,
        length_ns=sum(row.length_ns for row in rows),
        time=GpuTime(
            sum(part.reserved_ns for part in time),
            sum(part.used_ns for part in time),
            sum(part.idle_ns for part in time),
            sum(part.unmeasured_ns for part in time),
        ),
        cost=Cost(
            sum(part.used_nanodollars for part in cost),
            sum(part.idle_nanodollars for part in cost),
            sum(part.unmeasured_nanodollars for part in cost),
            sum(part.reserved_nanodollars for part in cost),
        ),
        evidence=replace(
            first.evidence,
            watched_ns=sum(row.evidence.watched_ns for row in rows),
            samples=sum(row.evidence.samples for row in rows),
        ),
    )


def negated(row: CostSlice) -> CostSlice:
    """What takes *row* away, its measures that are sums too; the most memory held is none."""
    measures = row.measures
    return replace(
        row,
        length_ns=-row.length_ns,
        time=GpuTime(*(-ns for ns in _time(row))),
        cost=Cost(*(-amount for amount in _cost_parts(row))),
        evidence=replace(row.evidence, watched_ns=-row.evidence.watched_ns, samples=-row.evidence.samples),
        measures=Measures(
            None,
            *(_minus(known) for known in (measures.sm_active_ns, measures.tensor_active_ns)),
            *(_minus(known) for known in (measures.dram_active_ns, measures.energy_uj, measures.requests)),
        ),
    )


def is_nothing(row: CostSlice) -> bool:
    """Whether a difference changes no sum."""
    return not (row.length_ns or any(_time(row)) or any(_cost_parts(row)))


def by_price(rows: Iterable[CostSlice]) -> list[CostSlice]:
    """Rows of one key, added up for each price that occurs; those that came to nothing are left out."""
    prices: dict[Price, list[CostSlice]] = {}
    for row in rows:
        prices.setdefault(row.price, []).append(row)
    return [total for same in prices.values() if not is_nothing(total := added(same))]


def _to_reach(row: CostSlice, adjusted: Sequence[CostSlice], left: list[Interval]) -> list[CostSlice]:
    now = by_price([row, *adjusted])
    # Where it was priced anew, it is at the price of the last time that is not taken away again.
    price = now[-1].price if now else row.price
    wanted = _at(row, price, left)
    found = [negated(total) for total in now if total.price != price]
    current = [negated(total) for total in now if total.price == price]
    found.append(_bare(added([wanted, *current])))
    return [_bare(each) for each in found if not is_nothing(each)]


def _at(row: CostSlice, price: Price, left: list[Interval]) -> CostSlice:
    """As much of *row* as is *left*, at *price*."""
    length_ns = sum(part.length_ns for part in left)
    if length_ns == row.length_ns and price == row.price:
        return row
    cost = _cost(price, left)
    time = GpuTime(length_ns if row.time.reserved_ns else 0, 0, 0, length_ns)
    cost_parts = Cost(0, 0, cost, cost if row.time.reserved_ns else 0)
    return replace(row, length_ns=length_ns, time=time, cost=cost_parts, price=price)


def _bare(row: CostSlice) -> CostSlice:
    return replace(row, evidence=Evidence(row.evidence.method), measures=Measures())


def _cost(price: Price, parts: Iterable[Interval]) -> int:
    amount = price.nanodollars_per_hour or 0
    offsets = ((hour_offset_ns(part.start_ns), part.length_ns) for part in parts)
    return sum(window_cost(amount, begin, begin + length) for begin, length in offsets)


def _rank(row: CostSlice) -> tuple[int, str, int]:
    reason = row.key.holder.reason
    place = _KNOWS_BEST.index(reason) if reason in _KNOWS_BEST else len(_KNOWS_BEST)
    return place, reason, row.key.window_start_ns


def _minus(known: int | None) -> int | None:
    return None if known is None else -known


def _time(row: CostSlice) -> tuple[int, int, int, int]:
    return row.time.reserved_ns, row.time.used_ns, row.time.idle_ns, row.time.unmeasured_ns


def _cost_parts(row: CostSlice) -> tuple[int, int, int, int]:
    cost = row.cost
    return (
        cost.used_nanodollars,
        cost.idle_nanodollars,
        cost.unmeasured_nanodollars,
        cost.reserved_nanodollars,
    )
