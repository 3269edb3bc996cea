"""The real pynvml over a simulated driver that partitions GPUs, has GPM and accounting, and fails."""

from itertools import pairwise
from pathlib import Path

import pytest

from contracts.driver_library import run, simulated_library, simulation
from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import WHOLE, GpuReading

UUID = "GPU-00000000-0000-0000-0000-00000000000"
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def simulated() -> Path:
    return simulated_library()


def play(simulated: Path, folder: Path, scenario: str, program: str) -> dict[int, list[GpuReading]]:
    with simulation(folder, scenario) as mapping:
        readings: dict[int, list[GpuReading]] = run(simulated, program, NVML_SIM_MAPPING=mapping)
    return readings


# Each GPU has a thread, as in the agent; the program ends without those that hang.
LOOKS = """
import os, threading
driver = open_driver()
readings = {}
def look(gpu, reader):
    its = readings[gpu.index] = []
    while True:
        its.append(reader.read())
        time.sleep(0.25)
gpus = driver.gpus()
for gpu in gpus:
    threading.Thread(target=look, args=[gpu, driver.reader(gpu, Clock())], daemon=True).start()
time.sleep(SECONDS)
pickle.dump(readings, sys.stdout.buffer)
sys.stdout.flush()
os._exit(0)
"""

PARTITIONS = f"""
name: partitions
clusters:
  - name: c
    nodes:
      - name: n
        driver: {{version: 550.54.15, sample_period_ms: 20, ring_depth: 1000}}
        gpus:
          - model: NVIDIA H100 80GB HBM3
            uuid: {UUID}1
            minor: 0
            mig:
              - at: 0s
                instances:
                  - gi: 1
                    profile: 3g.40gb
                    start: 4
                    compute_instances: [{{ci: 0, slices: 1}}, {{ci: 1, slices: 2}}]
                  - {{gi: 9, profile: 1g.10gb, start: 0}}
              - at: 2s
                instances: [{{gi: 1, profile: 2g.20gb, start: 0}}]
              - {{at: 4s, off: true}}
        host_processes:
          - {{gpu: 0, gi: 1, ci: 0, pid: 101, memory_mib: 100, busy: {{pattern: constant, share: 1.0}}, end: 2s}}
          - {{gpu: 0, gi: 9, ci: 0, pid: 109, memory_mib: 10, end: 2s}}
"""


def test_a_gpu_that_is_partitioned_anew_and_made_whole(simulated: Path, tmp_path: Path) -> None:
    readings = play(simulated, tmp_path, PARTITIONS, LOOKS.replace("SECONDS", "6"))[0]
    check_gpu_readings(readings, 0)
    assert {trouble for reading in readings for trouble in reading.troubles} == set()
    partitions = [reading.partition for reading in readings]
    told = [partitions[0], *(b for a, b in pairwise(partitions) if a != b)]
    first, second, last = told
    assert first is not None
    assert second is not None
    assert last == WHOLE
    assert (first.compute_total, first.memory_total) == (7, 8)
    shape = [(each.gi, each.profile, each.placement, each.compute_slices, each.memory_slices) for each in
             (*first.instances, *second.instances)]  # fmt: skip
    assert shape == [(1, "3g.40gb", 4, 3, 4), (9, "1g.10gb", 0, 1, 1), (1, "2g.20gb", 0, 2, 2)]
    parts = [[(part.ci, part.compute_slices) for part in each.parts] for each in first.instances]
    assert parts == [[(0, 1), (1, 2)], [(0, 1)]]
    uuids = [part.uuid for each in first.instances for part in each.parts]
    assert len(set(uuids)) == 3
    assert all(uuid.startswith("MIG-") for uuid in uuids)
    cut = [reading for reading in readings if reading.partition == first]
    assert {(p.pid, p.gi, p.ci, p.memory_bytes) for reading in cut for p in reading.processes or ()} == {
        (101, 1, 0, 100 << 20),
        (109, 9, 0, 10 << 20),
    }
    assert all(reading.ring is None for reading in readings if reading.partition != WHOLE)
    assert any(reading.ring for reading in readings if reading.partition == WHOLE)
    # One part of three works in the 3g, and nothing in the 1g.
    busy = {gi: [span.busy_ppm for reading in cut for span in reading.gpm if span.gi == gi] for gi in (1, 9)}
    assert len(busy[1]) >= 4
    assert all(ppm is not None and ppm > 200_000 for ppm in busy[1][1:-1])
    assert set(busy[9]) == {0}
    for before, after in pairwise(readings):
        if before.partition != after.partition:
            assert after.gpm == (), "no span over a partition that changed"


BUSY = f"""
name: busy
clusters:
  - name: c
    nodes:
      - name: n
        driver: {{version: 550.54.15, sample_period_ms: 20, ring_depth: 1000, accounting: true}}
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {UUID}1, minor: 0}}
          - {{model: NVIDIA A100-SXM4-80GB, uuid: {UUID}2, minor: 1}}
        host_processes:
          - {{gpu: 0, pid: 101, busy: {{pattern: constant, share: 0.6}}, sm: 0.5}}
          - {{gpu: 1, pid: 102, busy: {{pattern: constant, share: 0.4}}}}
"""


def test_gpm_and_accounting_agree_with_the_ring(simulated: Path, tmp_path: Path) -> None:
    readings = play(simulated, tmp_path, BUSY, LOOKS.replace("SECONDS", "7"))
    for share, pid, its in ((600_000, 101, readings[0]), (400_000, 102, readings[1])):
        check_gpu_readings(its, 0)
        assert {trouble for reading in its for trouble in reading.troubles} == set()
        assert {reading.partition for reading in its} == {WHOLE}
        windows = [reading.accounting for reading in its if reading.accounting]
        # The driver adds up once a second, so a window of five may hold one more or one less.
        assert len(windows) == 1
        assert all([use.pid for use in window.uses] == [pid] for window in windows)
        assert windows[0].uses[0].busy_ppm == pytest.approx(share, rel=0.25)
    spans = [span for reading in readings[0] for span in reading.gpm]
    assert all(a.until_ns == b.since_ns for a, b in pairwise(spans))
    length_ns = sum(span.until_ns - span.since_ns for span in spans)
    busy_ns = sum((span.until_ns - span.since_ns) * (span.busy_ppm or 0) for span in spans) / 1e6
    sm_ns = sum((span.until_ns - span.since_ns) * (span.sm_ppm or 0) for span in spans) / 1e6
    assert busy_ns / length_ns == pytest.approx(0.6, abs=0.05)
    assert sm_ns / length_ns == pytest.approx(0.3, abs=0.05)
    assert not any(reading.gpm for reading in readings[1]), "an A100 has no GPM"


FAILING = f"""
name: failing
clusters:
  - name: c
    nodes:
      - name: n
        driver: {{version: 550.54.15, sample_period_ms: 20, ring_depth: 1000}}
        failures:
          - {{kind: lost, gpu: 1, at: 2s, until: 4s}}
          - {{kind: gone, gpu: 2, at: 2s, until: 4s}}
          - {{kind: hang, gpu: 3, at: 2s HANGS}}
        gpus:
          - {{model: NVIDIA L4, uuid: {UUID}1, minor: 0}}
          - {{model: NVIDIA L4, uuid: {UUID}2, minor: 1}}
          - {{model: NVIDIA L4, uuid: {UUID}3, minor: 2}}
          - {{model: NVIDIA L4, uuid: {UUID}4, minor: 3}}
"""


def test_each_gpu_fails_alone_and_comes_back(simulated: Path, tmp_path: Path) -> None:
    scenario = FAILING.replace(" HANGS", "}\n          - {kind: uninitialized, at: 5s")
    readings = play(simulated, tmp_path, scenario, LOOKS.replace("SECONDS", "7"))
    for index in (0, 1, 2):
        last = readings[index][-1]
        assert (last.troubles, last.energy_uj is None) == ((), False)
        assert last.ring
    well = [reading for reading in readings[0] if not reading.troubles]
    # Another thread attaches at most once a look; nobody waits for the one that hangs.
    assert len(readings[0]) - len(well) <= 4
    assert len(readings[0]) > 20
    for index in (1, 2):
        lost = [reading for reading in readings[index] if reading.troubles == ("gpu_lost",)]
        assert 4 <= len(lost) <= 10
        assert all(reading.ring is None and reading.partition is None for reading in lost)
    assert len(readings[3]) < 12, "this one hangs"


def test_gpus_that_are_gone_and_back_are_found(simulated: Path, tmp_path: Path) -> None:
    program = """
import os
driver = open_driver()
found = []
began = time.monotonic()
while time.monotonic() - began < 6:
    found.append(([gpu.uuid[-1] for gpu in driver.gpus(0.3)], driver.nameless))
    time.sleep(0.1)
pickle.dump(found, sys.stdout.buffer)
sys.stdout.flush()
os._exit(0)
"""
    with simulation(tmp_path, FAILING.replace(" HANGS", ", until: 4s")) as mapping:
        found: list[tuple[list[str], int]] = run(simulated, program, NVML_SIM_MAPPING=mapping)
    assert found[0] == (["1", "2", "3", "4"], 0)
    assert found[-1] == found[0]
    failing = [each for each in found if each != found[0]]
    # Lost and hanging are counted and nameless, gone is not even counted.
    assert (["1"], 2) in failing
