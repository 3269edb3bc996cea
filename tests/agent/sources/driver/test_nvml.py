"""The real pynvml over the simulated driver's library."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from contracts.driver_library import run, simulated_library, simulation
from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import GpuReading

SCENARIO = """
name: small
clusters:
  - name: c
    nodes:
      - name: n
        driver: {version: 550.54.15, sample_period_ms: 20, ring_depth: 1000}
        gpus:
          - {model: NVIDIA L4, uuid: GPU-00000000-0000-0000-0000-00000000000a, minor: 1}
          - {model: NVIDIA L4, uuid: GPU-00000000-0000-0000-0000-00000000000b, minor: 0}
        host_processes:
          - {gpu: 0, pid: 101, memory_mib: 100, busy: {pattern: constant, share: 0.6}}
          - {gpu: 0, pid: 102, memory_mib: 300, busy: {pattern: constant, share: 0.2}}
"""


@pytest.fixture(scope="module")
def simulated() -> Path:
    return simulated_library()


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulation(tmp_path_factory.mktemp("simulated"), SCENARIO) as mapping:
        yield mapping


def test_a_simulated_node_is_read_as_the_contract_says(simulated: Path, mapping: str) -> None:
    version, gpus, nameless, first_look_ns, readings = run(
        simulated,
        """
        driver = open_driver()
        gpus = driver.gpus()
        readers = [driver.reader(gpu, Clock()) for gpu in gpus]
        first_look_ns = time.time_ns()
        readings = [[] for _ in readers]
        for pause in (0, 0.3, 0.05, 0, 0.2, 0.5, 0.1, 0.3):
            time.sleep(pause)
            for reader, its in zip(readers, readings):
                its.append(reader.read())
        pickle.dump((driver.version(), gpus, driver.nameless, first_look_ns, readings), sys.stdout.buffer)
        """,
        NVML_SIM_MAPPING=mapping,
    )
    assert (version, nameless) == ("550.54.15", 0)
    assert [(gpu.uuid[-1], gpu.index, gpu.minor, gpu.model) for gpu in gpus] == [
        ("a", 0, 1, "NVIDIA L4"),
        ("b", 1, 0, "NVIDIA L4"),
    ]
    assert all(gpu.memory_bytes > 0 for gpu in gpus)
    busy: list[GpuReading] = readings[0]
    idle: list[GpuReading] = readings[1]
    for its in (busy, idle):
        check_gpu_readings(its, first_look_ns)
        assert all(reading.energy_uj for reading in its)
        windows = [reading.process_window for reading in its if reading.process_window]
        assert windows
        # Nothing between two windows: the first begins at the first look, each next where the last ended.
        assert all(a.until_ns == b.since_ns for a, b in pairwise(windows))
    used = {use.pid for reading in busy if reading.process_window for use in reading.process_window.uses}
    assert used == {101, 102}
    assert [(p.pid, p.memory_bytes) for p in busy[-1].processes or ()] == [(101, 100 << 20), (102, 300 << 20)]
    assert idle[-1].processes == ()
    assert all(window.uses == () for reading in idle if (window := reading.process_window))
