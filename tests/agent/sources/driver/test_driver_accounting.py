"""Use by process as the driver's accounting integrates it, against a driver that is kept in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gpu_bench import PERIOD_US, Bench
from gpucost_agent.readings import GpuReading, ProcessUse
from gpucost_agent.sources.driver.driver_calls import RawAccount, Why

SECOND = 1_000_000_000
PPM = 1_000_000
SAMPLES = 30


class AccountingBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.driver.accounting = True

    def owned(self, pid: int, percent: int, started_us: int = 1) -> None:
        """A sample that belongs to a process, which accounting adds up at once."""
        self.sample(percent, pid)
        self.add(pid, 1, percent * 100, started_us)

    def add(self, pid: int, samples: int, centi: int, started_us: int = 1) -> None:
        known = self.driver.accounts.get(pid)
        if known is None or known.started_us != started_us:
            known = RawAccount(pid, started_us, True, 0, 0)
        self.driver.accounts[pid] = RawAccount(
            pid, started_us, True, known.sample_count + samples, known.centi_sum + centi
        )

    def end(self, pid: int) -> None:
        self.driver.accounts[pid] = self.driver.accounts[pid]._replace(running=False)


@pytest.fixture
def bench() -> AccountingBench:
    return AccountingBench()


def used_ns(readings: list[GpuReading], pid: int) -> float:
    windows = [reading.accounting for reading in readings if reading.accounting]
    return sum(
        use.busy_ppm * (window.until_ns - window.since_ns) / PPM
        for window in windows
        for use in window.uses
        if use.pid == pid
    )


def test_use_is_the_growth_of_the_sums(bench: AccountingBench) -> None:
    bench.add(7, 5, 12_345)
    readings = [bench.read()]
    for _ in range(SAMPLES // 3):
        bench.owned(7, 90)
        bench.owned(8, 30)
        bench.sample(0)
    readings.append(bench.read())
    window = readings[1].accounting
    assert window is not None
    assert (window.since_ns, window.until_ns) == (readings[0].read_at.wall_ns, readings[1].read_at.wall_ns)
    assert window.samples == SAMPLES
    assert window.uses == (ProcessUse(7, 300_000), ProcessUse(8, 100_000))
    assert readings[1].troubles == ()


def test_it_is_asked_every_few_seconds(bench: AccountingBench) -> None:
    windows = []
    for _ in range(61):
        windows.append(bench.read().accounting)
        for _ in range(6):
            bench.sample(0)
    assert bench.driver.asked.count("accounted_pids") == 13
    assert sum(window is not None for window in windows) == 12


def test_accounting_that_is_switched_off_is_no_trouble_and_hardly_asked(bench: AccountingBench) -> None:
    bench.driver.accounting = False
    for _ in range(100):
        reading = bench.read()
        assert (reading.accounting, reading.troubles) == (None, ())
        bench.clock.pass_ns(5 * SECOND)
    assert bench.driver.asked.count("accounting_enabled") == 1
    assert "accounted_pids" not in bench.driver.asked


@pytest.mark.parametrize("call", ["accounting_enabled", "accounted_pids", "account"])
def test_what_the_library_does_not_have_is_done_without(bench: AccountingBench, call: str) -> None:
    bench.fail(Why.NOT_SUPPORTED, call)
    bench.add(7, 1, 1)
    for _ in range(3):
        reading = bench.read()
        assert (reading.accounting, reading.troubles) == (None, ())
        bench.clock.pass_ns(5 * SECOND)
    assert bench.driver.asked.count(call) == 1


def test_use_of_one_that_ended_between_looks_is_there(bench: AccountingBench) -> None:
    readings = [bench.read()]
    for _ in range(SAMPLES):
        bench.owned(7, 50)
    bench.end(7)
    readings.append(bench.read())
    assert used_ns(readings, 7) == pytest.approx(SAMPLES * PERIOD_US * 500, rel=1e-5)
    bench.driver.asked.clear()
    for _ in range(5):
        for _ in range(SAMPLES):
            bench.sample(0)
        readings.append(bench.read())
    assert "account" not in bench.driver.asked, "one that ended is asked for rarely"
    assert used_ns(readings, 7) == pytest.approx(SAMPLES * PERIOD_US * 500, rel=1e-5)


def test_a_pid_that_is_used_again_is_another_process(bench: AccountingBench) -> None:
    bench.owned(7, 50)
    bench.end(7)
    readings = [bench.read()]
    for _ in range(SAMPLES):
        bench.owned(7, 50, started_us=2)
    for _ in range(60 * 6):
        bench.sample(0)
    readings.append(bench.read())
    assert used_ns(readings, 7) == pytest.approx(SAMPLES * PERIOD_US * 500, abs=100_000)


def test_sums_that_went_back_begin_anew(bench: AccountingBench) -> None:
    bench.add(7, 100, 900_000)
    bench.read()
    bench.driver.accounts[7] = RawAccount(7, 1, True, 10, 90_000)
    for _ in range(SAMPLES):
        bench.sample(50, 7)
    assert bench.read().accounting is None
    for _ in range(SAMPLES):
        bench.owned(7, 50)
    window = bench.read().accounting
    assert window is not None
    assert window.uses == (ProcessUse(7, 500_000),)


def test_a_step_of_the_clock_begins_anew(bench: AccountingBench) -> None:
    bench.read()
    for _ in range(SAMPLES):
        bench.owned(7, 50)
    bench.clock.set_wall_ns(3_600 * SECOND)
    assert bench.read().accounting is None


def test_what_ended_before_a_step_is_not_used_after_it(bench: AccountingBench) -> None:
    bench.owned(7, 50)
    bench.end(7)
    readings = [bench.read()]
    for _ in range(SAMPLES):
        bench.sample(0)
    bench.clock.set_wall_ns(3_600 * SECOND)
    for _ in range(20):
        readings.append(bench.read())
        for _ in range(SAMPLES):
            bench.sample(0)
    assert used_ns(readings, 7) == 0


def test_one_that_is_gone_between_two_calls_is_no_trouble(bench: AccountingBench) -> None:
    bench.read()
    for _ in range(SAMPLES):
        bench.owned(7, 50)
        bench.owned(8, 50)

    def ask(name: str) -> None:
        if name == "account":
            bench.driver.accounts.pop(8, None)

    bench.driver.ask = ask
    reading = bench.read()
    assert reading.troubles == ()
    assert reading.accounting is not None
    assert [use.pid for use in reading.accounting.uses] == [7]


def test_a_failure_has_a_name(bench: AccountingBench) -> None:
    bench.fail(Why.NO_PERMISSION, "accounted_pids")
    assert bench.read().troubles == ("accounting_no_permission",)


@given(
    st.lists(
        st.tuples(st.integers(0, 45), st.integers(0, 60), st.sampled_from([7, 8, 9])), min_size=1, max_size=15
    )
)
def test_all_that_was_added_is_told_once_and_never_more_than_the_window(
    steps: list[tuple[int, int, int]],
) -> None:
    bench = AccountingBench()
    bench.sample(0)
    readings = [bench.read()]
    for _ in range(3):
        bench.sample(0)
    readings.append(bench.read())
    totals = dict.fromkeys((7, 8, 9), 0)
    for samples, full, pid in steps:
        for _ in range(samples):
            bench.sample(0)
        # The driver adds up late, so a sum may grow by more than the time since the last look.
        bench.add(pid, full, full * 10_000)
        totals[pid] += full * PERIOD_US * 1_000
        readings.append(bench.read())
    for _ in range(60):
        for _ in range(SAMPLES):
            bench.sample(0)
        readings.append(bench.read())
    for reading in readings:
        if reading.accounting is not None:
            assert 0 <= sum(use.busy_ppm for use in reading.accounting.uses) <= PPM
    for pid, total_ns in totals.items():
        # Each window rounds a share down to a millionth; what is left stays owed.
        assert total_ns - 20_000 <= used_ns(readings, pid) <= total_ns
