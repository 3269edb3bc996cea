"""Accounting mode, and processes that run at the same time under MPS."""

from collections import defaultdict

import pytest

from simnode.sampling import NO_PID

SECOND = 10**9

SCENARIO = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        driver: {accounting: true, ring_depth: 4096}
        gpus: [{model: NVIDIA L4}, {model: NVIDIA L4, accounting: false}, {model: NVIDIA H100 80GB HBM3, sharing: mps}]
        host_processes:
          - {gpu: 0, pid: 50, memory_mib: 700, busy: {pattern: duty, on_ms: 200, period_ms: 400}}
          - {gpu: 0, pid: 51, start: 3s, end: 20s, busy: {pattern: duty, on_ms: 52, period_ms: 130}}
          - {gpu: 0, pid: 51, start: 30s, memory_mib: 9}
          - {gpu: 0, start: 40s, every: 100ms, for: 50ms, busy: {pattern: constant, share: 1}}
          - {gpu: 1, pid: 52}
          - {gpu: 2, pid: 60, threads: 0.5, busy: {pattern: duty, on_ms: 300, period_ms: 1000}}
          - {gpu: 2, pid: 61, busy: {pattern: duty, on_ms: 300, period_ms: 1000, phase_ms: 200}}
          - {gpu: 2, pid: 62, threads: 0.25, busy: {pattern: constant, share: 0.1}}
"""


@pytest.fixture
def driver(driven):
    return driven(SCENARIO)


def stats(driver, pid: int, gpu: int = 0):
    return driver.ask("DeviceGetAccountingStats_v2", gpu, pid)


def test_accounts_are_sums_of_the_rings_samples(driver):
    driver.advance(20 * SECOND + 1)
    living, dead = stats(driver, 50), stats(driver, 51)
    assert (living["isRunning"], living["time"], living["maxMemoryUsage"]) == (1, 0, 700 << 20)
    assert (dead["isRunning"], dead["time"]) == (0, 17_000)
    driver.advance(22 * SECOND)
    owned, taken = defaultdict(int), defaultdict(int)
    for sample in driver.gpus[0].ring:
        owned[sample.pid] += sample.util_centi
        taken[51] += 3 * SECOND <= sample.stamp_ns < 20 * SECOND
    dead = stats(driver, 51)
    assert (dead["sumGpuUtil"], dead["sampleCount"]) == (owned[51], taken[51])
    assert dead["gpuUtilization"] == owned[51] // taken[51] // 100
    assert driver.ask("DeviceGetAccountingStats", 0, 51)["gpuUtilization"] == dead["gpuUtilization"]
    # the timer's last second is not in it yet
    living = stats(driver, 50)
    late = [s for s in driver.gpus[0].ring if s.stamp_ns > 21 * SECOND and s.pid == 50]
    assert 0 <= owned[50] - living["sumGpuUtil"] <= sum(s.util_centi for s in late)
    assert set(driver.ask("DeviceGetAccountingPids")) == {50, 51}


def test_counts_move_once_a_second(driver):
    sums = set()
    for step in range(100):
        driver.advance(10 * SECOND + step * 50_000_000)
        sums.add(stats(driver, 50)["sumGpuUtil"])
    assert 5 <= len(sums) <= 6


def test_a_pid_that_is_used_again_takes_the_accounts_place(driver):
    driver.advance(31 * SECOND)
    again = stats(driver, 51)
    assert (again["isRunning"], again["maxMemoryUsage"], again["sumGpuUtil"]) == (1, 9 << 20, 0)


def test_the_last_128_dead_are_kept(driver):
    driver.advance(60 * SECOND)
    pids = driver.ask("DeviceGetAccountingPids")
    assert len(pids) == 128 + 3  # and three that live
    assert stats(driver, 99) == "NVMLError_NotFound"
    assert driver.ask("DeviceGetAccountingBufferSize") == 4000


def test_it_is_off_unless_it_was_enabled(driver):
    assert driver.ask("DeviceGetAccountingMode") == 1
    assert driver.ask("DeviceGetAccountingMode", 1) == 0
    assert driver.ask("DeviceGetAccountingPids", 1) == "NVMLError_NotSupported"
    assert stats(driver, 52, 1) == "NVMLError_NotSupported"


def test_under_mps_all_run_at_the_same_time(driver):
    driver.advance(60 * SECOND)
    gpu = driver.gpus[2]
    ran = {runner.process.pid: runner.in_window_ns for runner in gpu.activity.ran_in_window}
    # nobody waits, so each has what it wanted
    assert ran == {60: 18 * SECOND, 61: 18 * SECOND, 62: 6 * SECOND}
    # on for half of each second, and a tenth of the rest
    assert gpu.activity.busy_ns == 33 * SECOND
    clients = driver.ask("DeviceGetMPSComputeRunningProcesses", 2)
    assert {row["pid"] for row in clients} == {60, 61, 62}
    assert driver.ask("DeviceGetComputeRunningProcesses", 2) == clients
    assert driver.ask("DeviceGetMPSComputeRunningProcesses", 0) == []
    samples = [s for s in gpu.ring if s.pid != NO_PID]
    assert sum(s.util_centi for s in gpu.ring) == pytest.approx(55 * 100 * len(gpu.ring), rel=0.02)
    owned = {pid: sum(s.pid == pid for s in samples) / len(samples) for pid in ran}
    assert owned[60] == pytest.approx(owned[61], abs=0.12)
    # a limit on threads is a limit on SMs
    assert gpu.counters().sm == 9 * SECOND + 18 * SECOND + 6 * SECOND // 4
