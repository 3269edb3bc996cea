"""Which real time a window is of where the clock was stepped."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chaos.labels import windows

STEPS = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(-400, 400)), max_size=6, unique_by=lambda step: step[0]
)


def test_a_step_forward_leaves_a_window_short_and_one_back_makes_it_longer() -> None:
    forward = [(each.begin_ns, each.end_ns) for each in windows([(25, 3), (47, 0)], 0, 60, 10)]
    assert forward == [(0, 10), (10, 20), (20, 27), (27, 37), (37, 50), (50, 60)]
    back = [(each.begin_ns, each.end_ns) for each in windows([(25, -4), (47, 0)], 0, 60, 10)]
    assert back == [(0, 10), (10, 20), (20, 34), (34, 44), (44, 50), (50, 60)]


def test_a_window_that_is_jumped_over_is_empty() -> None:
    assert [each.end_ns - each.begin_ns for each in windows([(15, 25)], 0, 50, 10)] == [10, 5, 0, 0, 10]


@given(STEPS)
def test_all_real_time_is_in_one_window(steps: list[tuple[int, int]]) -> None:
    found = windows(sorted(steps), -1_000, 12_000, 100)
    assert all(one.end_ns == next_.begin_ns for one, next_ in pairwise(found))
    assert all(each.begin_ns <= each.end_ns for each in found)
    assert all(each.is_stepped for each in found if each.end_ns - each.begin_ns != 100)
