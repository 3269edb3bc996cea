"""Whose time windows are stamped by, when the node's clock and the aggregator's do not agree."""

import pytest
from gpucost.clock import Instant
from gpucost.units import NS_PER_DAY, NS_PER_SECOND

from contracts.hand_clock import HandClock
from gpucost_agent.fleet_clock import DISTRUSTED_NS, FleetClock, Offsets

NOON = 1_790_000_000 * NS_PER_SECOND
BOOT = "b-1"


def go_on(node: HandClock, seconds: int, step_ns: int = 0) -> None:
    node.pass_ns(seconds * NS_PER_SECOND)
    node.set_wall_ns(step_ns)


def agreed() -> tuple[HandClock, FleetClock]:
    """A node two seconds ahead of the aggregator, which was heard."""
    node = HandClock(NOON)
    clock = FleetClock(node)
    clock.heard(NOON - 2 * NS_PER_SECOND)
    assert clock.now() == node.now()
    return node, clock


def test_without_an_aggregator_it_is_the_nodes_clock() -> None:
    node = HandClock(NOON)
    clock = FleetClock(node)
    go_on(node, 60, step_ns=NS_PER_DAY)
    assert (clock.now(), clock.off_ns(), clock.skew_ns()) == (node.now(), 0, None)
    assert clock.offsets(BOOT) is None


@pytest.mark.parametrize("step_ns", [NS_PER_DAY, -NS_PER_DAY, DISTRUSTED_NS + 3 * NS_PER_SECOND])
def test_a_clock_that_was_set_far_off_is_not_used_until_it_agrees_again(step_ns: int) -> None:
    node, clock = agreed()
    go_on(node, 60, step_ns)
    assert clock.now() == Instant(NOON + 60 * NS_PER_SECOND, node.now().monotonic_ns)
    assert clock.off_ns() == -step_ns
    assert clock.skew_ns() == step_ns + 2 * NS_PER_SECOND
    go_on(node, 3_600)
    assert clock.now().wall_ns == NOON + 3_660 * NS_PER_SECOND
    go_on(node, 1, -step_ns + NS_PER_SECOND)
    assert (clock.now(), clock.off_ns()) == (node.now(), 0)


def test_a_small_step_is_the_nodes_own() -> None:
    node, clock = agreed()
    go_on(node, 60, DISTRUSTED_NS - 3 * NS_PER_SECOND)
    assert clock.now() == node.now()


def test_an_aggregator_whose_clock_is_wrong_moves_no_node_that_once_agreed() -> None:
    node, clock = agreed()
    go_on(node, 60)
    clock.heard(node.now().wall_ns + NS_PER_DAY)
    go_on(node, 60)
    assert clock.now() == node.now()
    clock.heard(node.now().wall_ns)
    assert clock.now() == node.now()


def test_a_node_that_never_agreed_takes_the_aggregators_time() -> None:
    node = HandClock(NOON)
    clock = FleetClock(node)
    clock.heard(NOON + NS_PER_DAY)
    go_on(node, 10)
    assert clock.now().wall_ns == NOON + NS_PER_DAY + 10 * NS_PER_SECOND


def test_the_next_agent_of_the_same_boot_knows_the_offsets() -> None:
    node, clock = agreed()
    go_on(node, 60)
    text = clock.offsets(BOOT)
    assert text is not None
    go_on(node, 60, NS_PER_DAY)
    after = FleetClock(node)
    after.remember(Offsets.from_json(text.to_json()), BOOT)
    assert after.now() == clock.now()
    rebooted = FleetClock(node)
    rebooted.remember(text, "b-2")
    assert rebooted.now() == node.now()


@pytest.mark.parametrize("text", ["", "{}", "[1, 2, 3]", '["b", "x", null]', '["b", 1]'])
def test_what_are_no_offsets_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no offsets of clocks"):
        Offsets.from_json(text)
