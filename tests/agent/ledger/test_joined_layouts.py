"""A layout that stood at several times of a window is divided over its devices once."""

from gpucost.identity import UNALLOCATED, unobserved
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.ledger.layout import ComputeInstance, GpuInstance, Layout, divide, joined
from gpucost_agent.ledger.settle import Stretch

LOST = unobserved("gpu_lost")


def sevenths(length_ns: int, *, lost: bool = False) -> Layout:
    """A GPU in MIG mode with three instances, and what is left of it."""
    free = LOST if lost else UNALLOCATED
    instances = tuple(
        GpuInstance(
            gi,
            profile,
            start,
            slices,
            size,
            (ComputeInstance(0, slices, (Stretch(length_ns, 0, free=free),)),),
        )
        for gi, profile, start, slices, size in (
            (1, "3g.40gb", 0, 3, 4),
            (5, "2g.20gb", 4, 2, 2),
            (13, "1g.10gb", 6, 1, 1),
        )
    )
    return Layout(length_ns, (), instances, 7, 8, ((length_ns, free),), partitioned=True)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.booleans()), min_size=1, max_size=6))
def test_parts_of_it_sum_to_what_the_whole_would_be(parts: list[tuple[int, bool]]) -> None:
    (one,) = joined(sevenths(length, lost=lost) for length, lost in parts)
    whole = sevenths(sum(length for length, _ in parts))
    assert [(each.device, each.gpu_time_ns) for each in divide("GPU-1", one)] == [
        (each.device, each.gpu_time_ns) for each in divide("GPU-1", whole)
    ]
    for each in divide("GPU-1", one):
        assert [(stretch.length_ns, stretch.free == LOST) for stretch in each.stretches] == parts


def test_another_layout_stays_another() -> None:
    whole = Layout(5, (Stretch(5, 5),))
    assert joined([sevenths(3), whole, sevenths(4)]) == (joined([sevenths(3), sevenths(4)])[0], whole)
    assert joined([]) == ()
