"""GPM: differences of counters that lose nothing, whatever lies between two readings."""

from itertools import pairwise

import pytest

SECOND = 10**9

SCENARIO = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        gpus:
          - {model: NVIDIA H100 80GB HBM3}
          - model: NVIDIA H100 80GB HBM3
            mig:
              - at: 0s
                instances: [{gi: 1, profile: 3g.40gb, compute_instances: [{slices: 1}, {slices: 2}]}]
              - {at: 20s, instances: []}
              - {at: 30s, instances: [{gi: 1, profile: 3g.40gb}]}
          - {model: NVIDIA A100-SXM4-80GB}
        host_processes:
          - gpu: 0
            start: 1s
            end: 9s
            sm: 0.5
            tensor: 0.25
            dram: 0.1
            busy: {pattern: random, rate_hz: 20, mean_ms: 12}
          - {gpu: 0, busy: {pattern: bursts, on_ms: 90, every_ms: 400}, sm: 0}
          - {gpu: 1, gi: 1, ci: 0, sm: 0.5, busy: {pattern: constant, share: 1}}
          - {gpu: 1, gi: 1, ci: 1, busy: {pattern: constant, share: 0.4}}
"""

TAKE = """
sample = pynvml.nvmlGpmSampleAlloc()
names.setdefault("samples", []).append(GET)
return len(names["samples"]) - 1
"""
METRICS = """
get = pynvml.c_nvmlGpmMetricsGet_t()
get.version, get.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 5
get.sample1, get.sample2 = names["samples"][FIRST], names["samples"][SECOND]
for place, metric in enumerate((1, 2, 5, 10, 20)):
    get.metrics[place].metricId = metric
get.metrics[5].metricId, get.metrics[5].nvmlReturn = 1, 77
pynvml.nvmlGpmMetricsGet(get)
return [[m.nvmlReturn, m.value] for m in get.metrics[:6]]
"""
WHOLE = "pynvml.nvmlGpmSampleGet(handles[0], sample)"
BY_PARENT = "pynvml.nvmlGpmMigSampleGet(handles[1], 1, sample)"
BY_HANDLE = "pynvml.nvmlGpmSampleGet(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handles[1], 1), sample)"


@pytest.fixture
def driver(driven):
    return driven(SCENARIO)


def take(driver, how: str) -> int | str:
    return driver.run(TAKE.replace("GET", how))


def metrics(driver, first: int, second: int):
    return driver.run(METRICS.replace("FIRST", str(first)).replace("SECOND", str(second)))


def test_differences_are_the_exact_busy_time(driver):
    gpu = driver.gpus[0]
    assert driver.ask("GpmQueryDeviceSupport")["isSupportedDevice"] == 1
    edges, marks = [0, 1, 4, 4.05, 12, 60], []
    for at in edges:
        driver.advance(int(at * SECOND))
        marks.append((take(driver, WHOLE), gpu.counters(), gpu.activity.now))
    for (one, before, since), (two, after, now) in pairwise(marks):
        rows = metrics(driver, one, two)
        shares = [100 * (b - a) / (now - since) for a, b in zip(before, after, strict=True)]
        assert [row[0] for row in rows] == [0, 0, 0, 0, 3, 77]  # the sixth was not asked for
        assert [row[1] for row in rows[:4]] == pytest.approx(shares)
    assert gpu.counters().graphics == gpu.activity.busy_ns
    worked = gpu.counters()
    assert worked.tensor == pytest.approx(worked.sm / 2)
    assert worked.dram == pytest.approx(worked.sm / 5)
    assert metrics(driver, 1, 1)[0][0] == 21  # no time between them


def test_an_instance_counts_its_compute_instances_by_their_slices(driver):
    driver.advance(2 * SECOND)
    marks = [take(driver, BY_PARENT), take(driver, BY_HANDLE)]
    driver.advance(12 * SECOND)
    marks += [take(driver, BY_PARENT), take(driver, BY_HANDLE)]
    for first, second in ((marks[0], marks[2]), (marks[1], marks[3]), (marks[0], marks[3])):
        (_, graphics), (_, sm), *_ = metrics(driver, first, second)
        assert graphics == pytest.approx(100 * (1 + 2 * 0.4) / 3)
        assert sm == pytest.approx(100 * (0.5 + 2 * 0.4) / 3)
    assert take(driver, BY_PARENT.replace("1, s", "2, s")) == "NVMLError_InvalidArgument"
    assert metrics(driver, marks[0], take(driver, WHOLE)) == "NVMLError_InvalidArgument"


def test_counters_of_an_instance_that_is_made_anew_begin_at_nothing(driver):
    driver.advance(15 * SECOND)
    old = take(driver, BY_PARENT)
    driver.advance(25 * SECOND)
    assert take(driver, BY_PARENT) == "NVMLError_InvalidArgument"
    driver.advance(31 * SECOND)
    new = take(driver, BY_PARENT)
    driver.advance(41 * SECOND)
    assert metrics(driver, new, take(driver, BY_PARENT))[0] == [0, 0]
    assert metrics(driver, old, new)[0] == [0, 0]  # looks like idleness, and is nothing


def test_ampere_has_no_gpm(driver):
    assert driver.ask("GpmQueryDeviceSupport", 2)["isSupportedDevice"] == 0
    assert take(driver, WHOLE.replace("[0]", "[2]")) == "NVMLError_NotSupported"


def test_a_driver_may_lack_it(driven):
    driver = driven(SCENARIO.replace("        gpus:", "        driver: {gpm: false}\n        gpus:"))
    assert driver.ask("GpmQueryDeviceSupport")["isSupportedDevice"] == 0
    assert take(driver, WHOLE) == "NVMLError_NotSupported"
