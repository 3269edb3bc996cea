"""Lost time, its true slices and resends, in any order: the sums are those of every other order."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from gpucost.cost_slice import Cost, CostSlice, GpuTime, Price
from gpucost.identity import UNALLOCATED, NodeId
from gpucost.units import NS_PER_HOUR
from gpucost.window import Interval, hour_offset_ns
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ledger_rows import GPU, MINUTE_NS, POD, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.lost_time import lost_slices
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Dimension, Scope, Total

_STEP_NS = MINUTE_NS // 6
_STEPS = 18
_PRICE = Price(2_345_678_901, "override")
_EXAMPLES = count()

Steps = tuple[int, int]


def cost(interval: Interval) -> int:
    begin = hour_offset_ns(interval.start_ns)
    amount = _PRICE.nanodollars_per_hour or 0
    return amount * (begin + interval.length_ns) // NS_PER_HOUR - amount * begin // NS_PER_HOUR


def at(steps: Steps) -> Interval:
    return Interval(START_NS + steps[0] * _STEP_NS, START_NS + steps[1] * _STEP_NS)


@st.composite
def true_windows(draw: st.DrawFn) -> list[Steps]:
    """Windows that an agent closed, one after the other, each within a minute; with holes."""
    cuts = sorted(draw(st.sets(st.integers(0, _STEPS), max_size=8)) | set(range(0, _STEPS + 1, 6)))
    parts = list(pairwise(cuts))
    return [part for part in parts if draw(st.booleans())]


@st.composite
def losses(draw: st.DrawFn) -> list[tuple[Steps, str]]:
    """What somebody closed as lost: any stretches, which may overlap."""
    found = []
    # Each reason once, as of two lengths under one key the first to come would count.
    reasons = st.sampled_from(["store_lost", "node_gone", "spool_full", "mine"])
    for reason in draw(st.lists(reasons, max_size=3, unique=True)):
        begin = draw(st.integers(0, _STEPS - 1))
        found.append(((begin, draw(st.integers(begin + 1, _STEPS))), reason))
    return found


def a_true_batch(number: int, steps: Steps, node: NodeId, late_life: bool) -> AcceptedBatch:
    """Two holders of one GPU. With *late_life* the key begins with the minute, and the GPU's life later."""
    interval = at(steps)
    begin_ns = START_NS + steps[0] // 6 * MINUTE_NS if late_life else interval.start_ns
    whole, used_ns = cost(interval), interval.length_ns // 3
    base = a_slice(node=node)
    rows: list[CostSlice] = []
    for holder, ns, money in (
        (POD, used_ns, whole // 3),
        (UNALLOCATED, interval.length_ns - used_ns, whole - whole // 3),
    ):
        key = replace(base.key, holder=holder, window_start_ns=begin_ns)
        rows.append(
            replace(
                base,
                key=key,
                length_ns=interval.length_ns,
                time=GpuTime(ns, 0, ns, 0),
                cost=Cost(0, money, 0, money),
                price=_PRICE,
            )
        )
    return a_batch(number, *rows, agent=AgentId(node, "e"), closed_through_ns=interval.end_ns)


def a_lost_batch(number: int, steps: Steps, node: NodeId, reason: str) -> AcceptedBatch:
    rows = lost_slices(node, {GPU.gpu_uuid: _PRICE}, at(steps), MINUTE_NS, reason)
    return a_batch(number, *rows, agent=AgentId(node, "e"))


@pytest.fixture(scope="module")
def duckdb_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    folder: Path = tmp_path_factory.mktemp("orders")
    store = DuckDBStore(folder, StoreOptions(memory_limit_bytes=256 << 20, threads=1, reserve_bytes=0))
    yield store
    store.close()


def tell(total: Total) -> tuple[object, ...]:
    return total.key, total.sums


def check(store: Store, data: st.DataObject) -> None:
    true, lost = data.draw(true_windows()), data.draw(losses())
    # One life at most begins late, as its key would otherwise be another window's.
    late = data.draw(st.sampled_from(true)) if true and data.draw(st.booleans()) else None
    if late is not None and any(steps != late and steps[0] // 6 == late[0] // 6 for steps in true):
        late = None
    answers = []
    for _ in range(2):
        node = NodeId(f"cluster-{next(_EXAMPLES)}", "n")
        batches = [a_true_batch(1 + place, steps, node, steps == late) for place, steps in enumerate(true)]
        batches += [a_lost_batch(100 + place, steps, node, why) for place, (steps, why) in enumerate(lost)]
        again = [batch for batch in batches if data.draw(st.booleans())]
        order = data.draw(st.permutations([*batches, *again]))
        for place in range(0, len(order), size := data.draw(st.integers(1, 3))):
            store.commit(order[place : place + size])
        scope = Scope(0, 1 << 62, (node.cluster,))
        by = [Dimension.HOLDER_KIND, Dimension.REASON, Dimension.NAMESPACE]
        answers.append([tell(total) for total in store.totals(scope, by)])
        covered = {step for steps, *_ in [*((part,) for part in true), *lost] for step in range(*steps)}
        for minute in range(3):
            start_ns = START_NS + minute * MINUTE_NS
            found = store.totals(replace(scope, start_ns=start_ns, end_ns=start_ns + MINUTE_NS), [])
            steps = covered & set(range(6 * minute, 6 * minute + 6))
            assert sum(total.sums.charged_ns for total in found) == len(steps) * _STEP_NS
            money = sum(cost(at((step, step + 1))) for step in steps)
            assert sum(total.sums.cost_nanodollars for total in found) == money
            assert sum(total.sums.reserved_ns for total in found) == len(steps) * _STEP_NS
        trues = [
            total for total in store.totals(scope, [Dimension.HOLDER_KIND]) if total.key != ("unobserved",)
        ]
        watched = sum(steps[1] - steps[0] for steps in true)
        assert sum(total.sums.charged_ns for total in trues) == watched * _STEP_NS
    assert answers[0] == answers[1]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_in_memory(data: st.DataObject) -> None:
    check(MemoryStore(), data)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_in_the_embedded_store(duckdb_store: DuckDBStore, data: st.DataObject) -> None:
    check(duckdb_store, data)
