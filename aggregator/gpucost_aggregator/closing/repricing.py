"""
What slices would have cost by another price book, as adjustments. Pure.

A window of a GPU is priced anew whole, by the price that holds where it starts, and divided as its agent divides it.
Running it twice changes nothing: what is at the book's price already is left alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gpucost.apportion import apportion
from gpucost.cost_slice import GPU, Cost, CostSlice, Price, SliceKey
from gpucost.facts import GpuFacts, NodeFacts
from gpucost.identity import NodeId
from gpucost.price_book import INSTANCE_TYPE_LABEL, REGION_LABEL, GpuContext, PriceBook
from gpucost.prices import OVERRIDE
from gpucost.trouble import Reject
from gpucost.units import window_cost
from gpucost.window import hour_offset_ns, window_of

from gpucost_aggregator.store.closed_rows import Adjustment, AdjustmentReason
from gpucost_aggregator.store.lost_time import by_price, negated

Quote = Callable[[GpuContext, str, int], Price]


@dataclass(frozen=True, slots=True)
class Known:
    """What prices depend on beside the slices: GPUs by (cluster, UUID), and nodes where a watcher names them."""

    gpus: Mapping[tuple[str, str], GpuFacts] = field(default_factory=dict)
    nodes: Mapping[NodeId, NodeFacts] = field(default_factory=dict)


@dataclass(slots=True)
class Repriced:
    """How many slices are at another price now, what that changes, and how many were left without one."""

    windows: int = 0
    slices: int = 0
    without_price: int = 0
    overridden: int = 0
    difference_nanodollars: int = 0


def check_book(book: PriceBook, known: Known) -> None:
    """
    See that every rule can be held against what is known here.

    Raises:
        Reject: A rule asks for a label of nodes that the aggregator does not keep, so its GPUs can not be told.
    """
    labels = {
        INSTANCE_TYPE_LABEL,
        REGION_LABEL,
        *(key for node in known.nodes.values() for key in node.labels),
    }
    for rule in book.rules:
        if missing := sorted(rule.match.node_labels.keys() - labels):
            raise Reject(
                f"rule {rule.name!r} asks for the node label {missing[0]}, which is not kept here: "
                "name what it is about by instance_type, region, gpu_model or cluster"
            )


def reprice(
    rows: Iterable[CostSlice], window_ns: int, known: Known, quote: Quote, at_ns: int
) -> tuple[list[Adjustment], Repriced]:
    """
    Adjustments for *rows*, all slices and adjustments of one window of the fleet, of whole nodes.

    *quote* gives the price of a GPU at an instant; where it knows none, the slices stay as they are.
    """
    keys: dict[SliceKey, list[CostSlice]] = {}
    for row in rows:
        if row.key.resource == GPU:
            keys.setdefault(row.key, []).append(row)
    windows: dict[tuple[NodeId, int, str], list[CostSlice]] = {}
    on_node: dict[NodeId, set[str]] = {}
    for key, same in keys.items():
        uuid = key.device.gpu_uuid
        on_node.setdefault(key.node, set()).add(uuid)
        left = by_price(same) if len(same) > 1 else same
        windows.setdefault((key.node, key.window_start_ns, uuid), []).extend(left)
    found, told = [], Repriced()
    for (node, start_ns, uuid), old in sorted(windows.items()):
        if any(row.price.source == OVERRIDE for row in old):
            # The node's owner said it at the time; no book comes before that.
            told.overridden += len(old)
            continue
        price = quote(_context(node, uuid, sorted(on_node[node]), known), uuid, start_ns)
        if price.nanodollars_per_hour is None:
            told.without_price += len(old)
            continue
        if all(row.price == price for row in old):
            continue
        new = at_price(old, window_ns, price)
        pairs = [pair for pair in zip(_in_order(old), new, strict=True) if pair[0] != pair[1]]
        told.windows += 1
        told.slices += len(pairs)
        for before, after in pairs:
            told.difference_nanodollars += after.cost.nanodollars - before.cost.nanodollars
            found += [Adjustment(row, AdjustmentReason.REPRICED, at_ns) for row in (negated(before), after)]
    return found, told


def at_price(rows: Sequence[CostSlice], window_ns: int, price: Price) -> list[CostSlice]:
    """All slices of a GPU in one window, in the ledger's order, at *price*."""
    ordered = _in_order(rows)
    charged_ns = sum(row.time.charged_ns for row in ordered)
    begin_ns, end_ns = _offsets(ordered, charged_ns, window_ns)
    whole = _cost(price, begin_ns, end_ns)
    times = [row.time for row in ordered]
    parts = apportion(
        whole, [ns for time in times for ns in (time.used_ns, time.idle_ns, time.unmeasured_ns)]
    )
    reserved_ns = [time.reserved_ns for time in times]
    reserved = apportion(whole, reserved_ns) if any(reserved_ns) else [0] * len(ordered)
    thirds = zip(parts[::3], parts[1::3], parts[2::3], reserved, strict=True)
    return [
        replace(row, price=price, cost=Cost(used, idle, unmeasured, blocked))
        for row, (used, idle, unmeasured, blocked) in zip(ordered, thirds, strict=True)
    ]


def _in_order(rows: Sequence[CostSlice]) -> list[CostSlice]:
    return sorted(rows, key=lambda row: (row.key.device.order, row.key.holder.order))


def _offsets(rows: Sequence[CostSlice], charged_ns: int, window_ns: int) -> tuple[int, int]:
    """
    Where in its hour the time lies: it began with the window, or ended with it, or a clock was set within it.

    The cost of the old price tells which, where there is one.
    """
    start_ns = rows[0].key.window_start_ns
    begin_ns = hour_offset_ns(start_ns)
    last_ns = begin_ns + window_of(start_ns, window_ns).end_ns - start_ns
    places = ((begin_ns, begin_ns + charged_ns), (last_ns - charged_ns, last_ns), (0, charged_ns))
    if len({row.price for row in rows}) == 1:
        cost = sum(row.cost.nanodollars for row in rows)
        for place in places:
            if _cost(rows[0].price, *place) == cost:
                return place
    return places[0]


def _cost(price: Price, begin_ns: int, end_ns: int) -> int:
    return window_cost(price.nanodollars_per_hour or 0, begin_ns, end_ns)


def _context(node: NodeId, uuid: str, uuids: Sequence[str], known: Known) -> GpuContext:
    facts = known.gpus.get((node.cluster, uuid))
    labels = dict(known.nodes[node].labels) if node in known.nodes else {}
    if facts is not None:
        labels |= {
            label: value
            for label, value in ((INSTANCE_TYPE_LABEL, facts.instance_type), (REGION_LABEL, facts.region))
            if value
        }
    return GpuContext(node.cluster, labels, {}, facts.model if facts is not None else "", tuple(uuids))
