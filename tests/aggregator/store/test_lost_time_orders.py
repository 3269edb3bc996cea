"""Lost time, its true slices and resends, in any order: the sums are those of every other order."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from gpucost.cost_slice import CostSlice
from gpucost.identity import UNALLOCATED, NodeId
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ledger_rows import GPU, MINUTE_NS, POD, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from contracts.steps_of_time import (
    PRICE,
    STEP_NS,
    STEPS,
    Steps,
    at,
    check_each_minute,
    cost,
    idle_slice,
    small_store,
)
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.lost_time import lost_slices
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Dimension, Scope, Total

_EXAMPLES = count()


@st.composite
def true_windows(draw: st.DrawFn) -> list[Steps]:
    """Windows that an agent closed, one after the other, each within a minute; with holes."""
    cuts = sorted(draw(st.sets(st.integers(0, STEPS), max_size=8)) | set(range(0, STEPS + 1, 6)))
    parts = list(pairwise(cuts))
    return [part for part in parts if draw(st.booleans())]


@st.composite
def losses(draw: st.DrawFn) -> list[tuple[Steps, str]]:
    """What somebody closed as lost: any stretches, which may overlap."""
    found = []
    # Each reason once, as of two lengths under one key the first to come would count.
    reasons = st.sampled_from(["store_lost", "node_gone", "spool_full", "mine"])
    for reason in draw(st.lists(reasons, max_size=3, unique=True)):
        begin = draw(st.integers(0, STEPS - 1))
        found.append(((begin, draw(st.integers(begin + 1, STEPS))), reason))
    return found


def a_true_batch(number: int, steps: Steps, node: NodeId, late_life: bool) -> AcceptedBatch:
    """Two holders of one GPU. With *late_life* the key begins with the minute, and the GPU's life later."""
    interval = at(steps)
    begin_ns = START_NS + steps[0] // 6 * MINUTE_NS if late_life else interval.start_ns
    whole, used_ns = cost(interval), interval.length_ns // 3
    base = a_slice(node=node).key
    rows: list[CostSlice] = []
    for holder, ns, money in (
        (POD, used_ns, whole // 3),
        (UNALLOCATED, interval.length_ns - used_ns, whole - whole // 3),
    ):
        key = replace(base, holder=holder, window_start_ns=begin_ns)
        rows.append(idle_slice(key, interval, ns, money))
    return a_batch(number, *rows, agent=AgentId(node, "e"), closed_through_ns=interval.end_ns)


def a_lost_batch(number: int, steps: Steps, node: NodeId, reason: str) -> AcceptedBatch:
    rows = lost_slices(node, {GPU.gpu_uuid: PRICE}, at(steps), MINUTE_NS, reason)
    return a_batch(number, *rows, agent=AgentId(node, "e"))


@pytest.fixture(scope="module")
def duckdb_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    folder: Path = tmp_path_factory.mktemp("orders")
    store = small_store(folder)
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
        check_each_minute(store, node.cluster, covered)
        trues = [
            total for total in store.totals(scope, [Dimension.HOLDER_KIND]) if total.key != ("unobserved",)
        ]
        watched = sum(steps[1] - steps[0] for steps in true)
        assert sum(total.sums.charged_ns for total in trues) == watched * STEP_NS
    assert answers[0] == answers[1]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_in_memory(data: st.DataObject) -> None:
    check(MemoryStore(), data)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_in_the_embedded_store(duckdb_store: DuckDBStore, data: st.DataObject) -> None:
    check(duckdb_store, data)
