"""Several spools of one node, in any order: each instant counts once, and both stores answer alike."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from gpucost.cost_slice import CostSlice
from gpucost.identity import UNALLOCATED, NodeId, unobserved
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ledger_rows import GPU, MINUTE_NS, POD, a_batch, a_slice
from contracts.memory_store import MemoryStore
from contracts.steps_of_time import PRICE, STEPS, Steps, at, check_each_minute, cost, idle_slice, small_store
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.lost_time import lost_slices
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, CommitReport, Dimension, Scope

_EXAMPLES = count()
_HOLDERS = (POD, replace(POD, pod_uid="uid-1"), UNALLOCATED, unobserved("agent_gap"))

Told = tuple[str, Steps, tuple[int, ...]]
"""An epoch, one of its windows, and the places of the holders that it names."""


@st.composite
def accounts(draw: st.DrawFn, epoch: str) -> list[Told]:
    """One spool's windows: each within a minute, none twice, some lost on the way."""
    cuts = sorted(draw(st.sets(st.integers(0, STEPS), max_size=5)) | set(range(0, STEPS + 1, 6)))
    holders = st.sets(st.integers(0, len(_HOLDERS) - 1), min_size=1, max_size=2)
    return [(epoch, part, tuple(sorted(draw(holders)))) for part in pairwise(cuts) if draw(st.booleans())]


def a_true_batch(number: int, told: Told, node: NodeId) -> AcceptedBatch:
    epoch, steps, places = told
    interval, base = at(steps), a_slice(node=node).key
    whole, left, rows = cost(interval), interval.length_ns, list[CostSlice]()
    for place in places:
        is_last = place == places[-1]
        ns = left if is_last else interval.length_ns // 3
        money = whole - sum(row.cost.nanodollars for row in rows) if is_last else whole // 3
        key = replace(base, holder=_HOLDERS[place], window_start_ns=interval.start_ns)
        rows.append(idle_slice(key, interval, ns, money))
        left -= ns
    return a_batch(number, *rows, agent=AgentId(node, epoch), closed_through_ns=interval.end_ns)


def a_lost_batch(number: int, steps: Steps, node: NodeId, epoch: str) -> AcceptedBatch:
    rows = lost_slices(node, {GPU.gpu_uuid: PRICE}, at(steps), MINUTE_NS, f"lost by {epoch}")
    return a_batch(number, *rows, agent=AgentId(node, epoch), closed_through_ns=at(steps).end_ns)


@st.composite
def commits(draw: st.DrawFn) -> tuple[str, set[int], list[list[AcceptedBatch]]]:
    """A cluster, the steps that anybody told of, and the batches of up to three spools as they come."""
    node = NodeId(f"cluster-{next(_EXAMPLES)}", "n")
    batches, covered = [], set[int]()
    for epoch in "abc"[: draw(st.integers(2, 3))]:
        true = draw(accounts(epoch))
        covered |= {step for _, steps, _ in true for step in range(*steps)}
        batches += [a_true_batch(1 + place, told, node) for place, told in enumerate(true)]
        if draw(st.booleans()):
            begin = draw(st.integers(0, STEPS - 1))
            steps = (begin, draw(st.integers(begin + 1, STEPS)))
            covered |= set(range(*steps))
            batches.append(a_lost_batch(100, steps, node, epoch))
    again = [batch for batch in batches if draw(st.booleans())]
    order = draw(st.permutations([*batches, *again]))
    size = draw(st.integers(1, 4))
    return node.cluster, covered, [order[place : place + size] for place in range(0, len(order), size)]


@pytest.fixture(scope="module")
def duckdb_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    folder: Path = tmp_path_factory.mktemp("spools")
    store = small_store(folder)
    yield store
    store.close()


def keep(store: Store, cluster: str, arriving: list[list[AcceptedBatch]]) -> list[object]:
    """Commit all, and tell everything that two stores have to agree on."""
    reports: list[CommitReport] = [store.commit(batches) for batches in arriving]
    totals = store.totals(Scope(0, 1 << 62, (cluster,)), list(Dimension))
    # What comes late in one commit with the lost time may be called so or not, and other examples claim the same GPU.
    said = [(report.written, report.duplicates, report.conflicts) for report in reports]
    return [said, [(total.key, total.sums) for total in totals]]


@settings(max_examples=300, deadline=None)
@given(commits())
def test_in_memory(drawn: tuple[str, set[int], list[list[AcceptedBatch]]]) -> None:
    cluster, covered, arriving = drawn
    store = MemoryStore()
    keep(store, cluster, arriving)
    check_each_minute(store, cluster, covered)


@settings(max_examples=60, deadline=None)
@given(drawn=commits())
def test_in_the_embedded_store(
    duckdb_store: DuckDBStore, drawn: tuple[str, set[int], list[list[AcceptedBatch]]]
) -> None:
    cluster, covered, arriving = drawn
    assert keep(duckdb_store, cluster, arriving) == keep(MemoryStore(), cluster, arriving)
    check_each_minute(duckdb_store, cluster, covered)
