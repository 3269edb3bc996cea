"""What glimpses say: parts of a device's time, and nothing of what can not be read."""

from dataclasses import replace

import pytest
from gpucost.clock import Instant
from gpucost.cost_slice import Measures
from gpucost.identity import UNALLOCATED, Holder, HolderKind
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import ledger_pb2
from hypothesis import given
from hypothesis import strategies as st

from contracts.ledger_rows import GPU, MIG, NODE, POD, START_NS, a_free_slice, a_slice
from contracts.live_glimpses import LAG_NS, SPAN_NS, a_live, seen, tell
from gpucost_aggregator.live.board import MOST_APART_NS, Board, Glimpse
from gpucost_aggregator.live.reading import Wanted, read

NOW = Instant(START_NS, 50 * NS_PER_SECOND)
OTHER = Holder(HolderKind.CONTAINER, "chat", "llama-0", "uid-1", "main")


def glimpse(*slices: object, lag_ns: int = LAG_NS, damage: bytes = b"") -> Glimpse:
    table = a_live(NOW.wall_ns - lag_ns + LAG_NS, slices).table  # type: ignore[arg-type]
    return Glimpse(NODE, table.SerializeToString() + damage, NOW.wall_ns, NOW.monotonic_ns)


def test_ratios_are_of_the_devices_time_also_where_the_device_is_a_part() -> None:
    half = seen(a_slice(device=MIG), used=1, reserved=3)
    free = seen(a_free_slice(device=MIG), reserved=1)
    now = read([glimpse(seen(used=3), half, free)], Wanted(), NOW.monotonic_ns)
    whole, worker, rest = now.rows
    assert (whole.reserved_ratio, whole.used_ratio, whole.unmeasured_ratio) == (1.0, 0.5, 0.0)
    assert (worker.reserved_ratio, worker.used_ratio) == (0.75, 0.25)
    assert (rest.reserved_ratio, rest.used_ratio) == (0.25, 0.0)


def test_what_nobody_measured_is_not_zero() -> None:
    (row,) = read([glimpse(seen(unmeasured=6))], Wanted(), NOW.monotonic_ns).rows
    assert (row.used_ratio, row.unmeasured_ratio) == (None, 1.0)
    assert row.ratio(None) is None
    partly = seen(used=1, unmeasured=2)
    (row,) = read([glimpse(partly)], Wanted(), NOW.monotonic_ns).rows
    assert row.used_ratio == pytest.approx(1 / 6)
    assert row.ratio(SPAN_NS // 4) == 0.25


def test_its_age_is_from_the_end_of_what_it_tells_of_whatever_the_nodes_clock_shows() -> None:
    board = Board()
    ahead = Instant(NOW.wall_ns + MOST_APART_NS, NOW.monotonic_ns)
    stream = object()
    board.enter(NODE, stream, NOW)
    live = a_live(ahead.wall_ns, [seen()])
    board.put(NODE, stream, live.taken_at_ns, live.table.SerializeToString, NOW)
    now = read(board.fresh(NOW), Wanted(), NOW.monotonic_ns + 3 * NS_PER_SECOND)
    assert [row.age_ns for row in now.rows] == [5 * NS_PER_SECOND]
    assert now.taken_at_ns == (ahead.wall_ns, ahead.wall_ns)


@pytest.mark.parametrize("lag_ns", [-1, MOST_APART_NS + 1])
def test_a_table_of_another_time_is_left_out(lag_ns: int) -> None:
    now = read([glimpse(seen(), lag_ns=lag_ns)], Wanted(), NOW.monotonic_ns)
    assert (now.rows, now.unreadable, now.taken_at_ns) == ((), 1, None)


def test_what_can_not_be_read_is_left_out_and_counted() -> None:
    good = glimpse(seen())
    assert read([glimpse(seen(), damage=b"\xff")], Wanted(), 0).unreadable == 1
    table = ledger_pb2.Table.FromString(good.table)
    table.slices.add(device=7, reserved_ns=1)
    table.slices.add(device=0, holder=0, price=0, reserved_ns=-1, idle_ns=1)
    now = read([replace(good, table=table.SerializeToString())], Wanted(), NOW.monotonic_ns)
    assert (len(now.rows), now.unreadable) == (1, 2)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_left_out(encoded: bytes) -> None:
    now = read([Glimpse(NODE, encoded, START_NS, 0)], Wanted(), 0)
    assert now.rows == ()


@given(
    st.lists(st.tuples(*[st.integers(0, 10**12)] * 4), min_size=1, max_size=6),
    st.integers(0, 6),
)
def test_no_ratio_leaves_its_bounds_and_rows_of_a_device_make_the_whole(
    times: list[tuple[int, int, int, int]], limit: int
) -> None:
    slices = [
        replace(row, time=replace(row.time, reserved_ns=r, used_ns=u, idle_ns=i, unmeasured_ns=m))
        for number, (r, u, i, m) in enumerate(times)
        for row in [seen(a_slice(holder=replace(POD, pod=f"pod-{number}")))]
    ]
    now = read([glimpse(*slices)], Wanted(), NOW.monotonic_ns)
    for row in now.rows:
        for ratio in (row.reserved_ratio, row.used_ratio, row.unmeasured_ratio):
            assert ratio is None or 0 <= ratio <= 1
    charged = sum(row.slice.time.charged_ns for row in now.rows)
    assert len(now.rows) + now.unreadable == len(slices)
    assert now.unreadable or charged == now.rows[0].device_ns
    few = read([glimpse(*slices)], Wanted(limit=limit), NOW.monotonic_ns)
    assert few.rows == now.rows[:limit]
    assert few.cut == (len(now.rows) > limit)


def test_a_filter_of_namespaces_leaves_the_others_out_and_moves_no_ratio() -> None:
    both = [seen(used=1, reserved=3), seen(a_slice(holder=OTHER), used=3, reserved=3)]
    whole = read([glimpse(*both)], Wanted(), NOW.monotonic_ns)
    narrow = read([glimpse(*both, seen(a_free_slice(device=MIG)))], Wanted(("chat",)), NOW.monotonic_ns)
    assert [row.slice.key.holder for row in narrow.rows] == [OTHER]
    assert narrow.rows == tuple(row for row in whole.rows if row.slice.key.holder == OTHER)
    assert read([glimpse(*both)], Wanted(("nobody",)), NOW.monotonic_ns).taken_at_ns is None


def test_rows_stand_by_node_device_and_holder() -> None:
    board = Board()
    for name in ("node-2", "node-1"):
        node = replace(NODE, node=name)
        rows = [a_free_slice(device=MIG), a_slice(device=GPU)]
        tell(board, node, NOW, *(seen(row) for row in rows))
    now = read(board.fresh(NOW), Wanted(), NOW.monotonic_ns)
    keys = [(row.slice.key.node.node, row.slice.key.device, row.slice.key.holder) for row in now.rows]
    assert keys == [
        (name, *rest) for name in ("node-1", "node-2") for rest in ((GPU, POD), (MIG, UNALLOCATED))
    ]


def test_measures_of_activity_are_of_the_time_that_the_device_lived() -> None:
    row = replace(seen(), measures=Measures(sm_active_ns=SPAN_NS // 2, memory_held_bytes_max=1))
    (found,) = read([glimpse(row)], Wanted(), NOW.monotonic_ns).rows
    assert found.ratio(found.slice.measures.sm_active_ns) == 0.5
