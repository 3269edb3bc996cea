"""Slices priced anew: the window's cost is the new price's, divided as an agent divides it, once."""

from dataclasses import replace

import pytest
from gpucost.cost_slice import Cost, CostSlice, GpuTime, Price
from gpucost.facts import GpuFacts
from gpucost.identity import UNALLOCATED, NodeId
from gpucost.price_book import GpuContext, PriceBook
from gpucost.prices import Prices, load_catalogue
from gpucost.trouble import Reject
from gpucost.units import NS_PER_HOUR
from hypothesis import given
from hypothesis import strategies as st

from contracts.ledger_rows import EVERYTHING, GPU, MINUTE_NS, POD, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.closing.repricing import Known, at_price, check_book, reprice
from gpucost_aggregator.store.rows import Dimension

_OLD = Price(1_000_000_007, "book:old", "2026-01-01")
_KNOWN = Known({("east", GPU.gpu_uuid): GpuFacts(GPU.gpu_uuid, "NVIDIA H100", None, "p5", "us")})
_BOOK = """
version: "2"
rules:
  - {name: lab, date: 2026-11-01, match: {gpu_model: "*H100*"}, gpu_usd_per_hour: "3.1"}
"""


def rows(used_ns: int, price: Price = _OLD, start_ns: int = 0) -> list[CostSlice]:
    base = a_slice()
    parts = ((POD, GpuTime(MINUTE_NS // 2, used_ns, 3, 5)), (UNALLOCATED, GpuTime(MINUTE_NS // 2, 0, 0, 0)))
    rest = MINUTE_NS - used_ns - 8
    found = [
        replace(
            base,
            key=replace(base.key, holder=holder, window_start_ns=START_NS + start_ns),
            time=time if holder == POD else GpuTime(MINUTE_NS // 2, 0, rest, 0),
            cost=Cost(),
            price=price,
        )
        for holder, time in parts
    ]
    return at_price(found, MINUTE_NS, price) if price.nanodollars_per_hour is not None else found


def quote(context: GpuContext, uuid: str, at_ns: int) -> Price:
    return Prices(PriceBook.parse(_BOOK, "book.yaml"), load_catalogue()).quote(context, uuid, at_ns)


@given(st.integers(0, MINUTE_NS - 8), st.integers(0, 59), st.sampled_from([_OLD, Price()]))
def test_sums_are_those_of_the_new_price_and_once(used_ns: int, minute: int, price: Price) -> None:
    store = MemoryStore()
    store.commit([a_batch(1, *rows(used_ns, price, minute * MINUTE_NS))])

    def run() -> int:
        everything = [*store.slices(EVERYTHING, None, 100).slices]
        everything += [each.difference for each in store.adjustments(EVERYTHING, None, 100).adjustments]
        found, told = reprice(everything, MINUTE_NS, _KNOWN, quote, 7)
        store.adjust(found)
        return told.slices

    assert run() == 2
    assert run() == 0
    (total,) = store.totals(EVERYTHING, [Dimension.PRICE_SOURCE])
    assert total.key == ("book:lab",)
    begin = (START_NS + minute * MINUTE_NS) % NS_PER_HOUR
    whole = 3_100_000_000 * (begin + MINUTE_NS) // NS_PER_HOUR - 3_100_000_000 * begin // NS_PER_HOUR
    assert total.sums.cost_nanodollars == total.sums.cost_reserved_nanodollars == whole
    assert (total.sums.charged_ns, total.sums.unpriced_ns) == (MINUTE_NS, 0)


def test_what_the_nodes_owner_said_stays_and_so_does_what_has_no_price() -> None:
    owners = rows(7, Price(5, "override"))
    found, told = reprice(owners, MINUTE_NS, _KNOWN, quote, 7)
    assert (found, told.overridden) == ([], 2)
    found, told = reprice(rows(7), MINUTE_NS, Known(), quote, 7)
    assert (found, told.without_price) == ([], 2)


def test_a_nodes_price_is_divided_over_its_gpus() -> None:
    other = replace(GPU, gpu_uuid="GPU-00000000-0000-0000-0000-000000000002")
    both = [a_slice(0), a_slice(0, device=other), a_slice(0, node=NodeId("east", "n2"))]
    priced = [replace(row, price=_OLD) for row in both]
    asked: list[tuple[str, ...]] = []

    def look(context: GpuContext, uuid: str, at_ns: int) -> Price:
        asked.append(context.gpu_uuids)
        return _OLD

    reprice(priced, MINUTE_NS, _KNOWN, look, 7)
    assert sorted(asked) == [(GPU.gpu_uuid,), *[(GPU.gpu_uuid, other.gpu_uuid)] * 2]


def test_a_rule_that_can_not_be_held_against_anything_is_refused() -> None:
    text = _BOOK.replace('gpu_model: "*H100*"', "node_labels: {pool: a}")
    with pytest.raises(Reject, match="node label pool"):
        check_book(PriceBook.parse(text, "book.yaml"), _KNOWN)
    check_book(PriceBook.parse(_BOOK, "book.yaml"), _KNOWN)
