"""Which slices can be kept, and which laws several of them break."""

from dataclasses import replace

import pytest
from gpucost.apportion import apportion
from gpucost.cost_slice import Cost, CostSlice, GpuTime, Price
from gpucost.identity import REMAINDER, UNALLOCATED, Device, NodeId
from gpucost.units import NS_PER_HOUR
from hypothesis import given
from hypothesis import strategies as st

from contracts import sliced_fleet
from contracts.ledger_rows import GPU, MINUTE_NS, NODE, POD, START_NS, a_free_slice, a_slice
from gpucost_aggregator.ingest.bounds import FUTURE_NS
from gpucost_aggregator.ingest.checks import check_slices

NOW_NS = START_NS + MINUTE_NS


def reasons_of(row: CostSlice, now_ns: int = NOW_NS) -> list[str]:
    return [refused.reason for _, refused in check_slices((row,), NODE, MINUTE_NS, now_ns).refused]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (a_slice(node=NodeId("east", "other")), "is of another node than its stream"),
        (replace(a_slice(), length_ns=0), "has no length"),
        (replace(a_slice(), flags=("two words",)), "has a flag that is no word"),
        (replace(a_slice(), flags=("",)), "has a flag that is no word"),
        (replace(a_slice(), cost=Cost((1 << 63) - 1, 1, 0, 0)), "has a sum that passes 64 bits"),
        (replace(a_slice(), time=GpuTime(0, (1 << 63) - 1, 1, 0)), "has a sum that passes 64 bits"),
        (replace(a_slice(), time=GpuTime(MINUTE_NS, -1, 0, 0)), "used_ns is negative (-1)"),
    ],
)
def test_what_is_refused(row: CostSlice, reason: str) -> None:
    assert reasons_of(row) == [reason]


def test_the_future_begins_after_five_minutes() -> None:
    row = a_slice()
    assert reasons_of(row, START_NS - FUTURE_NS) == []
    assert reasons_of(row, START_NS - FUTURE_NS - 1) == ["is from the future"]


def test_refused_slices_keep_their_places() -> None:
    bad = replace(a_slice(), length_ns=0)
    checked = check_slices((a_slice(), bad, a_free_slice(), bad), NODE, MINUTE_NS, NOW_NS)
    assert checked.good == (a_slice(), a_free_slice())
    assert [place for place, _ in checked.refused] == [1, 3]


def _divided(lengths: list[int], price: int, begin_ns: int, total_ns: int) -> tuple[CostSlice, ...]:
    """A GPU's time from *begin_ns* on, over a pod and nobody, at *price*, as the ledger prices it."""
    offset = begin_ns % NS_PER_HOUR
    cost = price * (offset + total_ns) // NS_PER_HOUR - price * offset // NS_PER_HOUR
    used, idle = apportion(cost, lengths)
    pod, free = (
        replace(row, length_ns=total_ns, price=Price(price, "override"))
        for row in (a_slice(), a_free_slice())
    )
    return (
        replace(pod, time=GpuTime(lengths[0], lengths[0], 0, 0), cost=Cost(used, 0, 0, 0)),
        replace(free, time=GpuTime(lengths[1], 0, lengths[1], 0), cost=Cost(0, idle, 0, 0)),
    )


@given(st.integers(1, MINUTE_NS - 1), st.integers(0, 10**12))
def test_a_ledger_that_closes_breaks_nothing(part_ns: int, price: int) -> None:
    rows = _divided([part_ns, MINUTE_NS - part_ns], price, START_NS, MINUTE_NS)
    assert not check_slices(rows, NODE, MINUTE_NS, NOW_NS).breaches


@given(st.integers(2, MINUTE_NS - 1), st.integers(0, 10**12))
def test_a_life_that_begins_in_its_window_breaks_nothing(life_ns: int, price: int) -> None:
    rows = _divided([1, life_ns - 1], price, START_NS + MINUTE_NS - life_ns, life_ns)
    assert not check_slices(rows, NODE, MINUTE_NS, NOW_NS).breaches


def test_time_and_money_that_do_not_close_are_told_apart() -> None:
    pod, free = _divided([MINUTE_NS // 3, MINUTE_NS - MINUTE_NS // 3], 3_600_000_000_000, START_NS, MINUTE_NS)
    less = replace(free, time=GpuTime(0, 0, free.time.idle_ns - 1, 0))
    assert dict(check_slices((pod, less), NODE, MINUTE_NS, NOW_NS).breaches)["gpu_time"] == 1
    dearer = replace(free, cost=Cost(0, free.cost.idle_nanodollars + 2, 0, 0))
    assert check_slices((pod, dearer), NODE, MINUTE_NS, NOW_NS).breaches == {"money": 1}
    unpriced = replace(pod, price=Price(), cost=Cost())
    assert not check_slices((unpriced, free), NODE, MINUTE_NS, NOW_NS).breaches


def test_instances_close_over_their_gpu() -> None:
    instance = Device(GPU.gpu_uuid, 1, 0, "3g.40gb", 0)
    rest = Device(GPU.gpu_uuid, profile=REMAINDER)
    half = GpuTime(MINUTE_NS // 2, 0, MINUTE_NS // 2, 0)
    rows = tuple(
        replace(a_slice(device=device, holder=holder, used_ns=0), time=half, price=Price(), cost=Cost())
        for device, holder in ((instance, POD), (rest, UNALLOCATED))
    )
    assert not check_slices(rows, NODE, MINUTE_NS, NOW_NS).breaches
    assert check_slices(rows[:1], NODE, MINUTE_NS, NOW_NS).breaches == {"gpu_time": 1}


def test_a_node_of_parts_shares_and_shadows_keeps_the_laws() -> None:
    for window in range(12):
        at_ns = START_NS + window * MINUTE_NS
        rows = sliced_fleet.window_of_fleet(at_ns, window, 12, MINUTE_NS)
        checked = check_slices(rows, sliced_fleet.NODE, MINUTE_NS, at_ns + MINUTE_NS)
        assert checked.good == rows
        assert not checked.breaches
        assert check_slices(rows[1:], sliced_fleet.NODE, MINUTE_NS, at_ns + MINUTE_NS).breaches
