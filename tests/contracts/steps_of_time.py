"""Three minutes of one GPU in steps of ten seconds, so that any order of windows, losses and resends can be tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpucost.cost_slice import Cost, CostSlice, GpuTime, Price, SliceKey
from gpucost.units import NS_PER_HOUR
from gpucost.window import Interval, hour_offset_ns

from contracts.ledger_rows import MINUTE_NS, START_NS, a_slice
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.rows import Scope

STEP_NS = MINUTE_NS // 6
STEPS = 18
PRICE = Price(2_345_678_901, "override")

Steps = tuple[int, int]


def at(steps: Steps) -> Interval:
    return Interval(START_NS + steps[0] * STEP_NS, START_NS + steps[1] * STEP_NS)


def cost(interval: Interval) -> int:
    """By where it lies in its hour, so that parts sum to the whole."""
    begin = hour_offset_ns(interval.start_ns)
    amount = PRICE.nanodollars_per_hour or 0
    return amount * (begin + interval.length_ns) // NS_PER_HOUR - amount * begin // NS_PER_HOUR


def idle_slice(key: SliceKey, interval: Interval, ns: int, nanodollars: int) -> CostSlice:
    """Somebody held the GPU for so long of *interval*, and did not use it."""
    return replace(
        a_slice(node=key.node),
        key=key,
        length_ns=interval.length_ns,
        time=GpuTime(ns, 0, ns, 0),
        cost=Cost(0, nanodollars, 0, nanodollars),
        price=PRICE,
    )


def small_store(folder: Path) -> DuckDBStore:
    return DuckDBStore(folder, StoreOptions(memory_limit_bytes=256 << 20, threads=1, reserve_bytes=0))


def check_each_minute(store: Store, cluster: str, covered: set[int]) -> None:
    """Of each minute the store holds the steps that anybody told of, once, at what they cost."""
    for minute in range(STEPS // 6):
        start_ns = START_NS + minute * MINUTE_NS
        found = store.totals(Scope(start_ns, start_ns + MINUTE_NS, (cluster,)), [])
        steps = covered & set(range(6 * minute, 6 * minute + 6))
        assert sum(total.sums.charged_ns for total in found) == len(steps) * STEP_NS
        assert sum(total.sums.reserved_ns for total in found) == len(steps) * STEP_NS
        money = sum(cost(at((step, step + 1))) for step in steps)
        assert sum(total.sums.cost_nanodollars for total in found) == money
