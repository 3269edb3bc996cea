"""A GPU's engines over time, and what of an instance's activity was each compute instance's."""

from gpucost.window import Interval

from contracts.books_by_hand import a_span, an_instance, cut_into
from gpucost_agent.ledger.activity import Activity, Seen
from gpucost_agent.ledger.engines import Engines, over_parts
from gpucost_agent.ledger.spans import NOT_KNOWN, Efficiency
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import WHOLE, ActivitySource, ComputeInstance, GpuInstance, RingSample

DCGM = ActivitySource.DCGM
LONG = Interval(0, 1_000)


def busy(activity: Activity[Process] | None) -> tuple[int, int] | None:
    if activity is None:
        return None
    seen = activity.seen(LONG)
    return seen.watched_ns, seen.busy_ns


def test_a_gpu_is_whole_until_it_is_cut() -> None:
    engines = Engines(100)
    assert engines.whole is engines.at(None, 100)
    assert engines.at(None, 99) is None
    assert engines.at(1, 100) is None
    engines.cut(200, cut_into(an_instance(1), an_instance(2)))
    assert engines.whole is None
    assert engines.at(None, 199) is not None
    assert engines.at(None, 200) is None
    assert engines.at(1, 199) is None
    assert engines.at(1, 200) is not engines.at(2, 200)
    engines.cut(300, WHOLE)
    assert engines.at(2, 299) is not None
    assert engines.at(2, 300) is None
    assert engines.whole is engines.at(None, 10_000)


def test_what_stays_as_it_was_made_stays_one_engine() -> None:
    engines = Engines(0)
    engines.cut(0, cut_into(an_instance(1), an_instance(2)))
    first, second = engines.at(1, 0), engines.at(2, 0)
    engines.cut(10, cut_into(an_instance(1), an_instance(2, made="-again"), an_instance(3)))
    assert engines.at(1, 10) is first
    assert engines.at(2, 9) is second
    assert engines.at(2, 10) not in (second, None)
    engines.cut(20, cut_into(an_instance(1), an_instance(2, made="-again")))
    assert (engines.at(3, 19) is None, engines.at(3, 20) is None) == (False, True)
    engines.cut(30, cut_into(an_instance(1, placement=4), an_instance(2, "2g.12gb", made="-again")))
    assert engines.at(1, 30) is not first, "it lies elsewhere"
    assert engines.at(2, 30) is not engines.at(2, 29), "it is larger"


def test_spans_go_to_the_engine_of_their_number_that_lives_now() -> None:
    engines = Engines(0)
    engines.cut(100, cut_into(an_instance(1), an_instance(2)))
    engines.add_spans(DCGM, [a_span(100, 150, 100, 1), a_span(100, 150, 0, 2), a_span(100, 150, 100)])
    engines.cut(200, cut_into(an_instance(1, made="-again"), an_instance(2)))
    engines.add_spans(DCGM, [a_span(150, 250, 100, 1), a_span(150, 250, 0, 2), a_span(150, 250, 7, 9)])
    engines.add_spans(DCGM, [a_span(200, 300, 50, 1)])
    assert busy(engines.at(1, 150)) == (50, 50)
    assert busy(engines.at(1, 200)) == (100, 50), "what began before it was made may be of the one before"
    assert busy(engines.at(2, 200)) == (150, 0)
    assert busy(engines.at(None, 50)) == (0, 0)


def test_a_span_of_the_whole_gpu_is_cut_by_the_first_look_alone() -> None:
    engines = Engines(100)
    engines.add_spans(DCGM, [a_span(50, 150, 100)])
    assert busy(engines.whole) == (50, 50)


def test_engines_that_ended_are_forgotten_with_the_last_window_that_needs_them() -> None:
    engines = Engines(0)
    engines.cut(100, cut_into(an_instance(1)))
    engines.forget_before(99)
    assert engines.at(None, 99) is not None
    engines.forget_before(100)
    assert engines.at(None, 99) is None
    assert engines.at(1, 100) is not None
    living = engines.at(1, 100)
    assert living is not None
    living.add_samples([RingSample(150, 0), RingSample(200, 0)])
    engines.forget_before(200)
    assert busy(living) == (50, 0)


SEEN = Seen("gpm", 100, 60, 5, Efficiency(30, 20, 10))
THREE = an_instance(2, "3g.18gb", 0, 3, parts=(1, 2))
NOBODY: dict[int, int] = {}


def test_one_compute_instance_alone_did_all_and_is_known_as_its_instance_is() -> None:
    part = an_instance(2, "3g.18gb", 0, 3, parts=(2,))
    assert over_parts(SEEN, part, NOBODY, set()) == {0: Seen("gpm", 100, 90, 5, NOT_KNOWN)}
    whole = an_instance(2, "3g.18gb", 0, 3, parts=(3,))
    assert over_parts(SEEN, whole, NOBODY, set()) == {0: SEEN}


def test_memory_divides_and_others_have_nothing() -> None:
    """Three slices for 60 of 100 are 180: all of the first one's 100, and 80 over the other's two."""
    assert over_parts(SEEN, THREE, {0: 1, 1: 0}, {0, 1}) == {
        0: Seen("memory", 100, 100, 0),
        1: Seen("memory", 100, 40, 0),
    }
    assert over_parts(SEEN, THREE, {0: 1, 1: 5, 7: 100}, {0}) == {
        0: Seen("memory", 100, 30, 0),
        1: Seen("memory", 100, 75, 0),
    }


def test_without_memory_those_that_are_held_worked_for_as_long() -> None:
    assert over_parts(SEEN, THREE, {0: 0}, {0, 1}) == {
        0: Seen("equal", 100, 60, 0),
        1: Seen("equal", 100, 60, 0),
    }
    assert over_parts(SEEN, THREE, NOBODY, {1}) == {
        0: Seen("equal", 100, 0, 0),
        1: Seen("equal", 100, 90, 0),
    }
    assert over_parts(SEEN, THREE, NOBODY, {7}) == over_parts(SEEN, THREE, NOBODY, set())


def test_nothing_seen_is_nothing_known_of_any() -> None:
    assert over_parts(Seen(), THREE, {0: 1}, {0}) == {0: Seen(), 1: Seen()}


def test_a_compute_instance_without_slices_did_nothing() -> None:
    odd = an_instance(2, "3g.18gb", 0, 3, parts=(0, 3))
    assert over_parts(SEEN, odd, NOBODY, {0, 1}) == {
        0: Seen("equal", 100, 0, 0),
        1: Seen("equal", 100, 60, 0),
    }


def test_parts_without_slices_did_nothing() -> None:
    instance = GpuInstance(1, "3g.40gb", 0, 3, 4, (ComputeInstance(0, "a", 0), ComputeInstance(1, "b", 0)))
    found = over_parts(Seen("gpm", 100, 50, 1), instance, {}, {0, 1})
    assert [each.busy_ns for each in found.values()] == [0, 0]


def test_what_is_full_takes_no_more_and_the_others_take_the_rest() -> None:
    """The second is full in the second round only: 28 of 30 are 10, 10 and 8."""
    instance = an_instance(1, slices=4, parts=(1, 1, 1))
    found = over_parts(Seen("gpm", 10, 7, 1), instance, {0: 6, 1: 3, 2: 1}, {0, 1, 2})
    assert [found[ci].busy_ns for ci in (0, 1, 2)] == [10, 10, 8]
