"""The agents' wall clock is stepped, a little and by days, and agents end and come back meanwhile."""

import pytest

from contracts.failing_run import RESOLUTION_S
from contracts.node_stage import SECOND

NODES = ("still", "killed", "asked")


@pytest.mark.parametrize("steps", ["clock", "days"])
@pytest.mark.parametrize("node", NODES)
def test_a_step_neither_makes_nor_loses_time(runs, steps, node):
    run = runs[steps]
    laws = run.laws(node, stepped=True)
    assert laws.breaches() == []
    for gpu in run.nodes[node].gpus:
        assert laws.charged_ns(gpu) / SECOND == pytest.approx(run.happened["end"], abs=RESOLUTION_S)
    assert laws.odd_windows
    for words in ("law_broken", "thread_failed", "Traceback"):
        assert words not in run.said[node]


def test_windows_are_as_much_longer_or_shorter_as_the_clock_was_set(runs):
    laws = runs["clock"].laws("still", stepped=True)
    assert laws.breaches() == []
    lengths = [length / SECOND for length in laws.odd_windows.values()]
    assert all(2 < length < 8.1 for length in lengths)
    # A step lies between two looks at the clock, so each touches two windows at most.
    assert 3 <= len(lengths) <= 2 * 5
    # Three seconds behind at the end: those windows are so much longer than they say.
    assert sum(lengths) - 5 * len(lengths) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("node", NODES)
def test_small_steps_move_nothing_from_one_holder_to_another(runs, node):
    run = runs["clock"]
    paid = run.paid(node, 0)
    others = sum(
        sums.charged for who, sums in paid.items() if who not in ("steady", "unobserved:node_starting")
    )
    assert others < RESOLUTION_S
    free = run.paid(node, 1)
    assert free.keys() <= {"unallocated", "unobserved:node_starting", "unobserved:agent_gap"}


def test_after_a_step_back_the_ring_is_not_believed_until_it_has_turned_over(runs):
    run = runs["clock"]
    steady = run.paid("still", 0)["steady"]
    # Fifteen seconds after each of three steps back, and a look or two after the others.
    assert 3 * 14 < steady.unmeasured < 3 * 15 + 10
    assert steady.used / steady.watched == pytest.approx(0.4, abs=0.05)
