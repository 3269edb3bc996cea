"""Looks at one GPU, against a driver that is kept in memory."""

from collections.abc import Callable

import pytest
from gpucost.trouble import Stop
from hypothesis import given
from hypothesis import strategies as st

from contracts.gpu_bench import PERIOD_US, Bench
from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import ProcessUse, RingSample, RunningProcess
from gpucost_agent.sources.driver.driver_calls import (
    DriverTrouble,
    ListKind,
    RawProcess,
    RawSample,
    RawUse,
    Why,
)

SECOND = 1_000_000_000


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_was_before_the_first_look_is_never_reported(bench: Bench) -> None:
    bench.sample()
    first = bench.read()
    assert (first.ring, first.process_window, first.troubles) == ((), None, ())
    assert bench.read().ring == ()


def test_the_sample_under_way_at_the_first_look_is_the_first_reported(bench: Bench) -> None:
    bench.clock.pass_ns(PERIOD_US * 500)
    looked_at_us = bench.now_us
    bench.read()
    bench.clock.pass_ns(1_000)
    bench.driver.add(bench.now_us, 80, 7)
    reading = bench.read()
    assert reading.ring == (RingSample(bench.now_us * 1_000, 800_000),)
    assert reading.process_window is not None
    assert reading.process_window.since_ns == looked_at_us * 1_000


def test_use_by_process_over_exactly_the_samples_of_the_look(bench: Bench) -> None:
    bench.read()
    since_us = bench.now_us
    for pid in (7, 8, 7, 0):
        until_us = bench.sample(80 if pid else 0, pid)
    reading = bench.read()
    assert reading.ring is not None
    assert len(reading.ring) == 4
    window = reading.process_window
    assert window is not None
    assert (window.since_ns, window.until_ns, window.samples) == (since_us * 1_000, until_us * 1_000, 4)
    assert window.uses == (ProcessUse(7, 400_000), ProcessUse(8, 200_000))


def test_nobody_is_no_use_and_nothing_new_is_no_window(bench: Bench) -> None:
    bench.read()
    bench.sample(0)
    idle = bench.read()
    assert idle.process_window is not None
    assert idle.process_window.uses == ()
    nothing = bench.read()
    assert (nothing.ring, nothing.process_window, nothing.troubles) == ((), None, ())


def while_used(happens: Callable[[], object]) -> Callable[[str], None]:
    """Something happens while the driver is asked for use by process."""

    def ask(name: str) -> None:
        if name == "uses":
            happens()

    return ask


def test_the_rows_are_asked_again_when_the_ring_moves_meanwhile(bench: Bench) -> None:
    bench.read()
    bench.sample(60, 7)
    moves = iter([True, True, False])
    bench.driver.ask = while_used(lambda: next(moves) and bench.sample(20, 8))
    reading = bench.read()
    assert reading.ring is not None
    assert len(reading.ring) == 3
    assert reading.process_window is not None
    assert reading.process_window.samples == 3
    assert reading.process_window.uses == (ProcessUse(7, 200_000), ProcessUse(8, 130_000))
    check_gpu_readings([reading], 0)


def test_use_that_never_settles_is_part_of_the_next_looks_window(bench: Bench) -> None:
    readings = [bench.read()]
    bench.sample(60, 7)
    bench.driver.ask = while_used(lambda: bench.sample(60, 7))
    readings.append(bench.read())
    assert readings[-1].ring is not None
    assert len(readings[-1].ring) == 4
    assert (readings[-1].process_window, readings[-1].troubles) == (None, ("uses_unsettled",))
    bench.mend()
    bench.sample(60, 8)
    readings.append(bench.read())
    window = readings[-1].process_window
    assert window is not None
    assert window.samples == 5
    assert window.uses == (ProcessUse(7, 480_000), ProcessUse(8, 120_000))
    check_gpu_readings(readings, 0)


def test_a_ring_that_lost_samples_begins_its_window_late(bench: Bench) -> None:
    bench.driver.depth = 3
    bench.read()
    stamps = [bench.sample(50, 7) for _ in range(10)]
    reading = bench.read()
    assert reading.ring is not None
    assert [sample.ended_at_ns for sample in reading.ring] == [stamp * 1_000 for stamp in stamps[-3:]]
    window = reading.process_window
    assert window is not None
    assert window.since_ns == stamps[-4] * 1_000
    assert (window.samples, window.uses) == (3, (ProcessUse(7, 500_000),))


def test_a_ring_that_fails_is_read_whole_the_next_time(bench: Bench) -> None:
    bench.read()
    bench.sample(50, 7)
    bench.fail(Why.TIMEOUT, "samples")
    failed = bench.read()
    assert (failed.ring, failed.process_window, failed.troubles) == (None, None, ("ring_timeout",))
    bench.mend()
    bench.sample(50, 7)
    reading = bench.read()
    assert reading.ring is not None
    assert len(reading.ring) == 2


@pytest.mark.parametrize(
    ("call", "trouble"),
    [("uses", "uses_failed"), (ListKind.COMPUTE, "processes_failed"), ("energy", "energy_failed")],
)
def test_one_call_that_fails_leaves_the_others(bench: Bench, call: str, trouble: str) -> None:
    bench.read()
    bench.sample(50, 7)
    bench.fail(Why.FAILED, call)
    reading = bench.read()
    assert reading.troubles == (trouble,)
    assert reading.ring is not None
    assert len(reading.ring) == 1
    missing = [reading.process_window is None, reading.processes is None, reading.energy_uj is None]
    assert sum(missing) == 1


def test_what_is_not_supported_is_asked_again_after_ten_minutes(bench: Bench) -> None:
    bench.fail(Why.NOT_SUPPORTED, "energy")
    assert bench.read().troubles == ("energy_not_supported",)
    bench.driver.asked.clear()
    assert bench.read().troubles == ("energy_not_supported",)
    assert "energy" not in bench.driver.asked
    bench.mend()
    bench.clock.pass_ns(600 * SECOND)
    assert bench.read().energy_uj == 0


def test_rows_that_are_not_supported_do_not_hold_the_ring_back(bench: Bench) -> None:
    bench.fail(Why.NOT_SUPPORTED, "uses")
    bench.read()
    for _ in range(3):
        bench.sample(50, 7)
        reading = bench.read()
        assert reading.ring is not None
        assert len(reading.ring) == 1
        assert reading.troubles == ("uses_not_supported",)


def test_a_lost_gpu_reports_nothing_and_comes_back_as_new(bench: Bench) -> None:
    bench.read()
    bench.sample(50, 7)
    bench.fail(Why.LOST, "energy")
    lost = bench.read()
    assert lost.troubles == ("gpu_lost",)
    assert (lost.ring, lost.process_window, lost.processes, lost.energy_uj) == (None, None, None, None)
    bench.sample(50, 7)
    bench.mend()
    assert bench.read().ring == ()
    bench.sample(50, 7)
    back = bench.read()
    assert back.ring is not None
    assert len(back.ring) == 1


def test_lost_at_the_first_look_is_no_first_look(bench: Bench) -> None:
    bench.sample()
    bench.fail(Why.LOST, "energy")
    bench.read()
    bench.mend()
    bench.sample()
    assert bench.read().ring == ()


def test_a_library_that_does_not_fit_stops(bench: Bench) -> None:
    def ask(_: str) -> None:
        raise Stop("start again", 3)

    bench.driver.ask = ask
    with pytest.raises(Stop):
        bench.read()


@pytest.mark.parametrize("step_ns", [3_600 * SECOND, 60_000_000])
def test_after_a_step_ahead_the_stamps_start_anew(bench: Bench, step_ns: int) -> None:
    bench.read()
    bench.sample(50, 7)
    bench.clock.set_wall_ns(step_ns)
    stepped = bench.read()
    assert (stepped.ring, stepped.process_window, stepped.troubles) == (None, None, ("clock_stepped",))
    bench.sample(50, 7)
    after = bench.read()
    assert after.ring is not None
    assert len(after.ring) == 1


def test_after_a_step_back_the_ring_is_not_believed_until_it_has_turned_over(bench: Bench) -> None:
    bench.read()
    for _ in range(20):
        bench.sample(50, 7)
    bench.clock.set_wall_ns(-3 * SECOND)
    readings = []
    for _ in range(100):
        bench.sample(50, 7)
        readings.append(bench.read())
    blind = [reading for reading in readings if reading.ring is None]
    assert all(reading.troubles == ("clock_stepped",) for reading in blind)
    assert readings[len(blind) - 1] is blind[-1]
    reported = [sample for reading in readings for sample in reading.ring or ()]
    assert len(reported) == 100 - len(blind)
    assert blind[-1].read_at.monotonic_ns - blind[0].read_at.monotonic_ns <= 15 * SECOND


def test_a_clock_that_drifts_is_not_set(bench: Bench) -> None:
    bench.read()
    for _ in range(5):
        bench.clock.set_wall_ns(5_000_000)
        bench.sample(50, 7)
        assert bench.read().troubles == ()


def test_garbage_of_old_drivers_is_not_believed(bench: Bench) -> None:
    bench.read()
    good = bench.sample(50, 7)
    bench.driver.garbage_samples = [
        RawSample(good - 1, 101),
        RawSample(good + 10**12, 50),
        RawSample(0, 0),
        RawSample(good, 50),
    ]
    bench.driver.garbage_uses = [
        RawUse(0, good, 50),
        RawUse(0xFFFF_FFFF, good, 50),
        RawUse(9, good, 101),
        RawUse(10, 0, 50),
        RawUse(11, good + 10**12, 50),
        RawUse(12, 0, 0),
        RawUse(7, good - 1, 99),
    ]
    reading = bench.read()
    assert reading.ring == (RingSample(good * 1_000, 500_000),)
    assert reading.process_window is not None
    assert reading.process_window.uses == (ProcessUse(7, 500_000),)
    assert reading.troubles == ("ring_garbage",)


def test_less_than_a_percent_is_a_row_of_a_process_that_worked(bench: Bench) -> None:
    bench.read()
    for percent, pid in ((1, 8), (90, 7), (90, 7)):
        bench.sample(percent, pid)
    window = bench.read().process_window
    assert window is not None
    assert window.uses == (ProcessUse(7, 600_000), ProcessUse(8, 0))


def test_processes_of_the_three_lists_are_merged(bench: Bench) -> None:
    none = 0xFFFF_FFFF
    bench.driver.lists = {
        ListKind.COMPUTE: [RawProcess(7, none, none, 100), RawProcess(8, none, none, None)],
        ListKind.GRAPHICS: [
            RawProcess(7, none, none, 100),
            RawProcess(9, none, none, 5),
            RawProcess(0, 0, 0, 5),
        ],
        ListKind.MPS: [RawProcess(8, none, none, 30), RawProcess(5, none, none, None)],
    }
    assert bench.read().processes == (
        RunningProcess(5, None, mps=True),
        RunningProcess(7, 100),
        RunningProcess(8, 30, mps=True),
        RunningProcess(9, 5),
    )


def test_a_process_on_two_instances_is_kept_on_each(bench: Bench) -> None:
    bench.driver.lists[ListKind.COMPUTE] = [RawProcess(5, 2, 0, 20), RawProcess(5, 1, 0, 10)]
    assert bench.read().processes == (RunningProcess(5, 10, 1, 0), RunningProcess(5, 20, 2, 0))


def test_a_list_that_was_empty_is_asked_for_more_rarely(bench: Bench) -> None:
    for _ in range(5):
        bench.read()
        bench.clock.pass_ns(SECOND)
    assert [bench.driver.asked.count(kind) for kind in ListKind] == [5, 1, 1]
    bench.driver.lists[ListKind.MPS] = [RawProcess(7, None, None, 1)]
    for _ in range(3):
        assert bench.read().processes == (RunningProcess(7, 1, mps=True),)
        bench.clock.pass_ns(SECOND)


def test_a_list_that_is_not_supported_is_done_without(bench: Bench) -> None:
    bench.driver.lists[ListKind.COMPUTE] = [RawProcess(7, None, None, None)]
    bench.fail(Why.NOT_SUPPORTED, ListKind.MPS)
    reading = bench.read()
    assert reading.processes == (RunningProcess(7, None),)
    assert reading.troubles == ()


def test_no_list_at_all_is_not_known(bench: Bench) -> None:
    def ask(name: str) -> None:
        if name in list(ListKind):
            raise DriverTrouble(Why.NOT_SUPPORTED, "as the test wants it")

    bench.driver.ask = ask
    reading = bench.read()
    assert (reading.processes, reading.troubles) == (None, ("processes_not_supported",))


@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3)), max_size=30),
            st.sampled_from(["", "samples", "uses", "energy"]),
            st.integers(0, 4),
        ),
        max_size=12,
    )
)
def test_whatever_fails_and_moves_each_sample_is_reported_once(
    steps: list[tuple[list[tuple[int, int]], str, int]],
) -> None:
    bench = Bench()
    bench.sample()
    first_look_ns = bench.clock.now().wall_ns
    readings = [bench.read()]
    taken: list[int] = []
    failing, moves = "", 0

    def ask(name: str) -> None:
        nonlocal moves
        if name == failing:
            raise DriverTrouble(Why.TIMEOUT, "as the test wants it")
        if name == "uses" and moves > 0:
            moves -= 1
            taken.append(bench.sample(30, 2))

    pending = 0
    for samples, failing, moves in steps:
        pending += len(samples) + moves
        if pending > bench.driver.depth:
            break  # what the ring itself forgets is lost to everybody
        bench.mend()
        taken += [bench.sample(percent if pid else 0, pid) for percent, pid in samples]
        bench.driver.ask = ask
        readings.append(bench.read())
        if failing != "samples":
            pending = 0
    bench.mend()
    readings.append(bench.read())
    check_gpu_readings(readings, first_look_ns)
    reported = [sample.ended_at_ns // 1_000 for reading in readings for sample in reading.ring or ()]
    assert reported == taken
