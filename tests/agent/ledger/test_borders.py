"""What is seen across a border is of the side on which somebody held the device."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from gpucost.window import Interval
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.ledger.borders import part_in

SPAN = Interval(0, 100)


@pytest.mark.parametrize(
    ("amount", "interval", "turns", "expected"),
    [
        (40, Interval(0, 100), [Interval(0, 50)], 40),
        (40, Interval(0, 50), [Interval(0, 50)], 40),
        (40, Interval(50, 100), [Interval(0, 50)], 0),
        (80, Interval(0, 50), [Interval(0, 50)], 50),
        (80, Interval(50, 100), [Interval(0, 50)], 30),
        (40, Interval(0, 25), [Interval(-50, 50)], 20),
        (40, Interval(0, 50), [], 20),
        (40, Interval(0, 50), [Interval(-100, 200)], 20),
        (40, Interval(60, 80), [Interval(10, 20), Interval(60, 90)], 20),
        (40, Interval(100, 200), [Interval(0, 50)], 0),
    ],
)
def test_the_part_of_a_side(
    amount: int, interval: Interval, turns: Sequence[Interval], expected: int
) -> None:
    assert part_in(amount, SPAN, interval, turns) == expected


@given(
    amount=st.integers(0, 100),
    borders=st.sets(st.integers(1, 99), max_size=4),
    turns=st.sets(st.integers(-20, 120), min_size=4, max_size=4),
)
def test_sides_sum_to_the_whole_but_for_rounding(amount: int, borders: set[int], turns: set[int]) -> None:
    first, second, third, fourth = sorted(turns)
    held = [Interval(first, second), Interval(third, fourth)]
    # As stretches do, the sides are cut where the turns are.
    marks = sorted({0, 100, *borders, *(each for each in turns if 0 < each < 100)})
    sides = [Interval(start, end) for start, end in pairwise(marks)]
    parts = [part_in(amount, SPAN, side, held) for side in sides]
    assert amount - len(sides) <= sum(parts) <= amount
    assert all(0 <= part <= side.length_ns for part, side in zip(parts, sides, strict=True))
