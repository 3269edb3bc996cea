"""A window is closed from its stretches: what is summed over them, and what is the longest one's."""

import pytest
from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import HOST, UNALLOCATED, Device, NodeId, unobserved
from gpucost.units import POLICY_VERSION
from gpucost.window import Interval

from contracts.books_by_hand import ONE, PRICE, a_pod
from gpucost_agent.ledger.closing import GpuWindow, close
from gpucost_agent.ledger.layout import ComputeInstance, GpuInstance, Layout
from gpucost_agent.ledger.settle import Stretch, settle
from gpucost_agent.ledger.spans import Efficiency

A, B = a_pod("a"), a_pod("b")
NODE = NodeId("c", "n")


def closed(*stretches: Stretch, price: Price = PRICE) -> dict[str, CostSlice]:
    length_ns = sum(stretch.length_ns for stretch in stretches)
    layouts = (Layout(length_ns, stretches),)
    rows = close(GpuWindow(NODE, ONE, 7, Interval(7, 7 + length_ns), layouts), price)
    return {row.key.holder.pod or row.key.holder.kind.value: row for row in rows}


def test_what_was_watched_and_how_often_is_summed_and_the_method_is_the_longest_stretchs() -> None:
    row = closed(
        Stretch(10, 5, {A: 10}, {A: 1}, method="ring", samples=2),
        Stretch(30, 20, {A: 30}, {A: 3}, method="gpm", samples=3),
        Stretch(30, 10, {A: 30}, {A: 2}, method="dcgm", samples=4),
    )["a"]
    assert (row.evidence.method, row.evidence.watched_ns, row.evidence.samples) == ("gpm", 35, 9)
    assert (row.time.reserved_ns, row.time.used_ns, row.time.idle_ns, row.time.unmeasured_ns) == (
        70,
        6,
        29,
        35,
    )
    assert (row.length_ns, row.weight) == (70, (1, 1))


@pytest.mark.parametrize(
    ("method", "watched_ns", "samples", "named"),
    [
        ("ring", 10, 1, "ring"),
        ("ring", 10, 0, ""),
        ("equal", 10, 0, "equal"),
        ("equal", 0, 0, ""),
        ("", 10, 3, ""),
    ],
)
def test_a_method_that_saw_nothing_is_not_named(
    method: str, watched_ns: int, samples: int, named: str
) -> None:
    row = closed(Stretch(10, watched_ns, {A: 10}, method=method, samples=samples))["a"]
    assert row.evidence.method == named


def test_a_slice_says_of_what_it_is_and_by_which_rules() -> None:
    row = closed(Stretch(10, 10, {A: 10}))["a"]
    assert (row.key.node, row.key.device, row.key.resource) == (NODE, Device(ONE), "gpu")
    assert (row.key.window_start_ns, row.policy_version, row.price) == (7, POLICY_VERSION, PRICE)


def test_activity_of_parts_is_summed_over_the_stretches_in_which_it_was_known() -> None:
    rows = closed(
        Stretch(10, 10, {A: 10}, worker=A, efficiency=Efficiency(5, None, 1)),
        Stretch(10, 10, {A: 10}, worker=A, efficiency=Efficiency(3, 2)),
        Stretch(10, 10, {A: 10}, {B: 10}, worker=B, efficiency=Efficiency(9)),
        Stretch(10, 10, {A: 10}, efficiency=Efficiency(9, 9, 9)),
    )
    known = rows["a"].measures
    assert (known.sm_active_ns, known.tensor_active_ns, known.dram_active_ns) == (8, 2, 1)
    assert rows["b"].measures.sm_active_ns == 9


def test_flags_are_of_who_holds_and_of_who_takes() -> None:
    shares = settle(
        Stretch(
            10, 10, {A: 10}, {B: 2, HOST: 1}, free=unobserved("agent_gap"), flags=frozenset({"carried"}),
            shadows=frozenset({B}),
        )
    )  # fmt: skip
    flags = {share.holder: share.flags for share in shares}
    assert flags == {A: {"carried"}, B: {"shadow"}, HOST: frozenset(), unobserved("agent_gap"): frozenset()}


def test_more_used_than_watched_or_watched_than_there_is_is_a_fault_in_words() -> None:
    with pytest.raises(ValueError, match=r"^used 6 ns of 5 ns watched of 10 ns$"):
        settle(Stretch(10, 5, {A: 10}, {A: 6}))
    with pytest.raises(ValueError, match=r"^used 0 ns of 11 ns watched of 10 ns$"):
        settle(Stretch(10, 11, {A: 10}))
    assert settle(Stretch(10, 10, {A: 10}, {A: 10}))[0].used_ns == 10


def test_who_holds_nothing_can_use_nothing_where_a_limit_is_enforced() -> None:
    shares = settle(Stretch(10, 10, {A: 5}, {A: 10, B: 4}, {A: 1, B: 1}))  # type: ignore[dict-item]
    assert {share.holder: share.used_ns for share in shares} == {A: 5, B: 0, UNALLOCATED: 0}


def test_without_a_price_nothing_costs_anything() -> None:
    row = closed(Stretch(10, 10, {A: 10}), price=Price())["a"]
    assert (row.cost.nanodollars, row.cost.reserved_nanodollars, row.price.source) == (0, 0, "unknown")


def test_activity_of_parts_is_in_whole_nanoseconds() -> None:
    stretch = Stretch(3, 3, {A: 3}, {A: 2}, method="gpm", worker=A, efficiency=Efficiency(2, 1, 0))
    measures = closed(stretch)["a"].measures
    found = (measures.sm_active_ns, measures.tensor_active_ns, measures.dram_active_ns)
    assert repr(found) == "(2, 1, 0)"


def test_who_is_given_the_device_later_in_the_window_is_no_shadow() -> None:
    before = Stretch(10, 10, {}, {A: 5}, method="ring", samples=1, shadows=frozenset({A}))
    after = Stretch(10, 10, {A: 10}, {A: 5}, method="ring", samples=1)
    assert closed(before)["a"].flags == ("shadow",)
    assert closed(before, after)["a"].flags == ()


def test_a_device_of_two_layouts_is_as_long_as_both() -> None:
    def layout(*numbers: int) -> Layout:
        instances = tuple(
            GpuInstance(gi, "1g", gi, 1, 1, (ComputeInstance(0, 1, (Stretch(40, 40, {A: 40}),)),))
            for gi in numbers
        )
        return Layout(40, (), instances, 4, 4, partitioned=True)

    rows = close(GpuWindow(NODE, ONE, 0, Interval(0, 80), (layout(1), layout(1, 2))), PRICE)
    assert {row.key.device.gi: row.length_ns for row in rows if row.key.holder == A} == {1: 80, 2: 40}


def test_nobody_watched_a_rest_of_which_nobody_can_say_anything() -> None:
    layout = Layout(40, (), (), 4, 4, rest=((40, unobserved("layout_unknown")),), partitioned=True)
    (row,) = close(GpuWindow(NODE, ONE, 0, Interval(0, 40), (layout,)), PRICE)
    assert (row.time.idle_ns, row.time.unmeasured_ns, row.evidence.watched_ns) == (0, 40, 0)
