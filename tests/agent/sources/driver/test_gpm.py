"""Activity by GPM, and the spot reading where there is nothing better; against a driver that is kept in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gpu_bench import Bench
from contracts.memory_driver import HALF, SMALL
from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import ActivitySpan
from gpucost_agent.sources.driver.driver_calls import RawActivity, Why

SECOND = 1_000_000_000
NOT_A_NUMBER = float("nan")


class GpmBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.driver.gpm = True

    def work(self, elapsed_ns: int, graphics: float = 50.0, gi: int | None = None) -> None:
        self.clock.pass_ns(elapsed_ns)
        self.driver.work(elapsed_ns, (graphics, graphics / 2, 0.0, 10.0), gi)


@pytest.fixture
def bench() -> GpmBench:
    return GpmBench()


def test_the_first_look_is_the_beginning_and_each_span_follows_the_last(bench: GpmBench) -> None:
    began_ns = bench.clock.now().wall_ns
    readings = [bench.read()]
    assert readings[0].gpm == ()
    for percent in (50.0, 12.5):
        bench.work(SECOND, percent)
        readings.append(bench.read())
    assert readings[1].gpm == (ActivitySpan(began_ns, began_ns + SECOND, None, 500_000, 250_000, 0, 100_000),)
    assert readings[2].gpm[0].since_ns == readings[1].gpm[0].until_ns
    assert readings[2].gpm[0].busy_ppm == 125_000
    assert len(bench.driver.allocated) == 2
    check_gpu_readings(readings, 0)


def test_a_gpu_without_gpm_is_not_asked_again_and_again(bench: GpmBench) -> None:
    bench.driver.gpm = False
    for _ in range(3):
        reading = bench.read()
        assert (reading.gpm, reading.troubles) == ((), ())
        bench.clock.pass_ns(SECOND)
    assert bench.driver.asked.count("gpm_supported") == 1
    assert "gpm_sample" not in bench.driver.asked


def test_less_than_a_tenth_of_a_second_is_not_asked_and_not_lost(bench: GpmBench) -> None:
    bench.read()
    bench.work(99_999_999, 100.0)
    assert bench.read().gpm == ()
    assert bench.driver.asked.count("gpm_sample") == 1
    bench.work(100_000_001, 0.0)
    (span,) = bench.read().gpm
    assert span.until_ns - span.since_ns == 200_000_000
    assert span.busy_ppm == 500_000


def test_after_ten_minutes_the_counters_are_not_believed(bench: GpmBench) -> None:
    bench.read()
    bench.work(600 * SECOND + 1)
    assert bench.read().gpm == ()
    bench.work(SECOND)
    assert len(bench.read().gpm) == 1


@pytest.mark.parametrize("step_ns", [SECOND, -SECOND])
def test_a_span_over_a_step_of_the_clock_is_none(bench: GpmBench, step_ns: int) -> None:
    bench.read()
    bench.work(SECOND)
    bench.clock.set_wall_ns(step_ns)
    assert bench.read().gpm == ()
    bench.work(SECOND)
    (span,) = bench.read().gpm
    assert span.until_ns - span.since_ns == SECOND


@pytest.mark.parametrize("why", [Why.FAILED, Why.TIMEOUT])
@pytest.mark.parametrize("call", ["gpm_sample", "gpm_activity"])
def test_after_a_failure_it_begins_anew(bench: GpmBench, call: str, why: Why) -> None:
    bench.read()
    bench.work(SECOND, 100.0)
    bench.fail(why, call)
    failed = bench.read()
    assert (failed.gpm, failed.troubles) == ((), (f"gpm_{why}",))
    bench.mend()
    if call == "gpm_sample":
        assert bench.read().gpm == ()
    bench.work(SECOND, 10.0)
    assert [span.busy_ppm for span in bench.read().gpm] == [100_000]
    assert len(bench.driver.allocated) == 2


def test_memory_that_is_half_had_is_given_back(bench: GpmBench) -> None:
    times = iter([False, True])

    def ask(name: str) -> None:
        if name == "gpm_allocate" and next(times, False):
            bench.fail(Why.FAILED, "gpm_allocate")
            bench.driver.ask(name)

    bench.driver.ask = ask
    assert bench.read().troubles == ("gpm_failed",)
    assert bench.driver.allocated == []


@pytest.mark.parametrize(
    ("raw", "busy_ppm", "troubles"),
    [
        (100.0, 1_000_000, ()),
        (100.9, 1_000_000, ()),
        (101.0, 1_000_000, ()),
        (101.1, None, ("gpm_garbage",)),
        (-0.1, None, ("gpm_garbage",)),
        (NOT_A_NUMBER, None, ("gpm_garbage",)),
        (None, None, ()),
    ],
)
def test_what_is_too_much_or_no_number_is_not_believed(
    bench: GpmBench, raw: float | None, busy_ppm: int | None, troubles: tuple[str, ...]
) -> None:
    bench.read()
    bench.work(SECOND)
    bench.driver.bent = lambda _: RawActivity(raw, 20.0, None, 5.0)
    reading = bench.read()
    (span,) = reading.gpm
    assert (span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm) == (busy_ppm, 200_000, None, 50_000)
    assert reading.troubles == troubles


def test_nothing_computed_is_no_span(bench: GpmBench) -> None:
    bench.read()
    bench.work(SECOND)
    bench.driver.bent = lambda _: RawActivity(None, None, None, None)
    reading = bench.read()
    assert (reading.gpm, reading.troubles) == ((), ("gpm_failed",))


def test_each_instance_that_can_run_something_has_its_span(bench: GpmBench) -> None:
    bench.driver.cut.make(1, HALF, 0, 3)
    bench.driver.cut.make(2, SMALL, 4, 1)
    bench.driver.cut.make(3, SMALL, 5)
    bench.read()
    bench.work(SECOND, 80.0, 1)
    bench.driver.work(SECOND, (20.0, 0.0, 0.0, 0.0), 2)
    assert [(span.gi, span.busy_ppm) for span in bench.read().gpm] == [(1, 800_000), (2, 200_000)]
    assert len(bench.driver.allocated) == 4


@pytest.mark.parametrize("start", [4, 5])
def test_an_instance_that_was_made_anew_begins_anew(bench: GpmBench, start: int) -> None:
    bench.driver.cut.make(1, HALF, 0, 3)
    bench.driver.cut.make(2, SMALL, 4, 1)
    bench.read()
    bench.work(SECOND, 80.0, 1)
    bench.driver.cut.destroy(2)
    bench.driver.cut.make(2, SMALL, start, 1)
    assert [span.gi for span in bench.read().gpm] == [1]


def test_the_memory_of_an_instance_that_is_gone_is_given_back(bench: GpmBench) -> None:
    bench.driver.cut.make(1, HALF, 0, 3)
    bench.driver.cut.make(2, SMALL, 4, 1)
    bench.read()
    bench.driver.cut.destroy(1)
    bench.read()
    assert [sample.gi for sample in bench.driver.allocated if sample.sums] == [2]
    bench.driver.cut.mode = False
    bench.read()
    assert len(bench.driver.allocated) == 2


def test_a_partition_that_is_not_known_has_no_spans(bench: GpmBench) -> None:
    bench.driver.cut.make(1, HALF, 0, 3)
    bench.read()
    bench.work(SECOND, 80.0, 1)
    bench.fail(Why.TIMEOUT, "mig_mode")
    assert bench.read().gpm == ()
    bench.mend()
    bench.work(SECOND, 40.0, 1)
    (span,) = bench.read().gpm
    assert (span.until_ns - span.since_ns, span.busy_ppm) == (2 * SECOND, 600_000)


@given(st.lists(st.tuples(st.integers(1, 3 * SECOND), st.integers(0, 100), st.booleans()), max_size=20))
def test_what_was_done_between_looks_is_in_the_spans_whole(works: list[tuple[int, int, bool]]) -> None:
    bench = GpmBench()
    began_ns = bench.clock.now().wall_ns
    readings = [bench.read()]
    done = 0.0
    for elapsed_ns, percent, looks in [*works, (SECOND, 0, True)]:
        bench.work(elapsed_ns, float(percent))
        done += elapsed_ns * percent / 100
        if looks:
            readings.append(bench.read())
    spans = [span for reading in readings for span in reading.gpm]
    assert sum(span.until_ns - span.since_ns for span in spans) == bench.clock.now().wall_ns - began_ns
    found = sum((span.until_ns - span.since_ns) * (span.busy_ppm or 0) / 1e6 for span in spans)
    assert found == pytest.approx(done, rel=1e-5, abs=1e5)


def test_the_spot_reading_stands_in_where_nothing_better_is_there(bench: GpmBench) -> None:
    bench.driver.gpm = False
    bench.driver.rate = 40
    bench.fail(Why.NOT_SUPPORTED, "samples")
    assert bench.read().rate is None
    bench.clock.pass_ns(400_000_000)
    now_ns = bench.clock.now().wall_ns
    assert bench.read().rate == ActivitySpan(now_ns - 400_000_000, now_ns, busy_ppm=400_000)
    bench.clock.pass_ns(5 * SECOND)
    now_ns = bench.clock.now().wall_ns
    assert bench.read().rate == ActivitySpan(now_ns - SECOND, now_ns, busy_ppm=400_000)


@pytest.mark.parametrize("better", ["gpm", "ring", "mig"])
def test_where_something_better_is_there_it_is_not_asked(bench: GpmBench, better: str) -> None:
    bench.driver.gpm = better == "gpm"
    if better == "mig":
        bench.driver.cut.make(1, HALF, 0, 3)
    if better != "ring":
        bench.fail(Why.NOT_SUPPORTED, "samples")
    for _ in range(3):
        assert bench.read().rate is None
        bench.work(SECOND)
    assert "rate" not in bench.driver.asked
