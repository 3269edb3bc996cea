"""When a pod was, and when its containers had ended."""

import pytest

from contracts.books_by_hand import SECOND, a_container, an_object
from gpucost_agent.ledger.pod_lives import PodLife, end_of
from gpucost_agent.readings import Pod, PodContainer

HALF = SECOND // 2


def life(*told: tuple[Pod, int], first_seen_ns: int = 50 * SECOND) -> PodLife:
    """A pod that was heard of at 0:50, and then as *told* by the API server."""
    one = PodLife("u", first_seen_ns, first_seen_ns)
    for pod, at in told:
        one.learn(pod, at * SECOND)
    return one


def ended(*seconds: int | None) -> tuple[PodContainer, ...]:
    return tuple(
        a_container(f"c{number}", finished_ns=None if each is None else each * SECOND)
        for number, each in enumerate(seconds)
    )


@pytest.mark.parametrize(
    ("finished_ns", "end_ns"),
    [
        (None, None),
        (20 * SECOND, 20 * SECOND + HALF),
        (20 * SECOND + 1, 20 * SECOND + 1),
        (20 * SECOND + HALF, 20 * SECOND + HALF),
    ],
)
def test_whole_seconds_are_cut_and_their_middle_is_half_a_second_later(
    finished_ns: int | None, end_ns: int | None
) -> None:
    assert end_of(a_container(finished_ns=finished_ns)) == end_ns


def test_a_pod_of_which_only_a_uid_is_known() -> None:
    one = life()
    assert (one.begin_ns, one.end_ns, one.gone_at_ns) == (50 * SECOND, None, None)
    assert one.init_end_ns("main") is None
    assert one.turn("main") == 0
    assert list(one.ends()) == []


def test_it_began_with_its_first_container_or_when_it_was_heard_of() -> None:
    containers = (a_container("a", started_ns=40 * SECOND), a_container("b", started_ns=30 * SECOND))
    assert life((an_object("p", *containers, a_container("c")), 60)).begin_ns == 30 * SECOND
    late = a_container("a", started_ns=70 * SECOND)
    assert life((an_object("p", late), 80)).begin_ns == 50 * SECOND


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_it_ended_with_the_last_of_its_containers(phase: str) -> None:
    assert life((an_object("p", *ended(10, 20, None), phase=phase), 60)).end_ns == 20 * SECOND + HALF


def test_while_it_is_not_over_its_containers_may_start_again() -> None:
    assert life((an_object("p", *ended(10, 20)), 60)).end_ns is None


def test_it_ended_when_that_was_first_heard_at_the_latest() -> None:
    over = an_object("p", *ended(20), phase="Succeeded")
    assert life((over, 20), (over, 60)).end_ns == 20 * SECOND
    timeless = an_object("p", phase="Failed")
    assert life((timeless, 30), (timeless, 60)).end_ns == 30 * SECOND


def test_it_ended_when_its_object_was_gone_at_the_latest() -> None:
    one = life((an_object("p", gone_ns=15 * SECOND), 60))
    assert (one.end_ns, one.gone_at_ns) == (15 * SECOND, 15 * SECOND)
    both = an_object("p", *ended(10), phase="Failed", gone_ns=15 * SECOND)
    assert life((both, 60)).end_ns == 10 * SECOND + HALF
    assert life((an_object("p", *ended(20), phase="Failed", gone_ns=15 * SECOND), 60)).end_ns == 15 * SECOND


INITS = (
    a_container("first", init=True, finished_ns=10 * SECOND),
    a_container("second", init=True),
    a_container("main", finished_ns=30 * SECOND),
)


def test_init_containers_run_in_their_order_and_all_others_after_them() -> None:
    one = life((an_object("p", *INITS), 60))
    assert [one.turn(name) for name in ("first", "second", "main", "stranger")] == [0, 1, 2, 2]


def test_an_init_container_ends_by_itself_or_with_its_pod() -> None:
    one = life((an_object("p", *INITS, gone_ns=40 * SECOND), 60))
    assert one.init_end_ns("first") == 10 * SECOND + HALF
    assert one.init_end_ns("second") == 40 * SECOND
    assert one.init_end_ns("main") == 40 * SECOND, "it is none"
    assert life((an_object("p", *INITS), 60)).init_end_ns("second") is None


def test_what_may_move_who_holds_what_is_told() -> None:
    one = life((an_object("p", *INITS, gone_ns=40 * SECOND), 60))
    assert list(one.ends()) == [40 * SECOND, 10 * SECOND + HALF]
