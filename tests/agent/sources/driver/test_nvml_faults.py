"""The real pynvml over a shared library that fails as it is told."""

from pathlib import Path

import pytest

from contracts.driver_library import faulty_library, run
from gpucost_agent.readings import WHOLE, GpuReading, RunningProcess

DRIVER_UUID = "GPU-00000000-0000-0000-0000-000000000001"

STOPPED = """
try:
    open_driver()
except Stop as stop:
    pickle.dump((stop.exit_code, str(stop)), sys.stdout.buffer)
except Retry as retry:
    pickle.dump((0, str(retry)), sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty_library(tmp_path_factory.mktemp("faulty"))


def test_no_library_stops_with_what_to_do(tmp_path: Path) -> None:
    # Where a real driver is installed the loader finds it, so the library that is found first is none.
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    code, text = run(tmp_path, STOPPED)
    assert code == 3
    assert "NVIDIA container runtime" in text


@pytest.mark.parametrize(
    ("code", "exit_code", "says"),
    [
        (9, 3, "not loaded"),
        (28, 3, "no GPU"),
        (18, 3, "started again"),
        (4, 4, "/dev/nvidiactl"),
        (999, 0, "Unknown"),
        (10, 0, ""),
    ],
)
def test_a_driver_that_can_not_be_opened(faulty: Path, code: int, exit_code: int, says: str) -> None:
    found, text = run(faulty, STOPPED, NVML_FAULTS=f"init={code}")
    assert found == exit_code
    assert says in text


READ = """
driver = open_driver()
reader = driver.reader(driver.gpus()[0], Clock())
try:
    readings = [reader.read() for _ in range(3)]
except Stop as stop:
    readings = str(stop)
pickle.dump((driver.nameless, readings), sys.stdout.buffer)
"""


def read(faulty: Path, faults: str, **environment: str) -> list[GpuReading]:
    _, readings = run(faulty, READ, NVML_FAULTS=faults, **environment)
    assert isinstance(readings, list), readings
    return readings


def test_success_without_rows_is_nobody(faulty: Path) -> None:
    readings = read(faulty, "")
    assert [reading.troubles for reading in readings] == [(), (), ()]
    assert all(reading.process_window and reading.process_window.uses == () for reading in readings)
    assert readings[0].energy_uj == 42_000
    assert readings[0].partition == WHOLE


def test_a_samples_value_is_no_more_than_its_type_says(faulty: Path) -> None:
    assert [sample.busy_ppm for sample in read(faulty, "")[0].ring or ()] == [500_000]


def test_memory_and_instance_that_are_not_available_are_not_known(faulty: Path) -> None:
    assert read(faulty, "")[0].processes == (RunningProcess(7, None),)


def test_symbols_that_are_missing_are_not_supported(faulty: Path) -> None:
    # MIG, GPM, accounting, the graphics and MPS lists are not in this library, and nothing is the worse for it.
    assert read(faulty, "")[0].gpu_uuid == DRIVER_UUID


def test_more_rows_than_there_was_room_for_are_asked_for_again(faulty: Path) -> None:
    readings = read(faulty, "room=7 samples=0,7 uses=7,7", NVML_PROCESSES="300")
    assert [reading.troubles for reading in readings] == [(), (), ()]
    assert [process.pid for process in readings[0].processes or ()] == list(range(7, 307))


def test_a_list_that_grows_for_ever_is_given_up(faulty: Path) -> None:
    assert read(faulty, "uses=7*")[0].troubles == ("uses_too_small",)


@pytest.mark.parametrize("code", [15, 16])
def test_a_gpu_that_is_lost(faulty: Path, code: int) -> None:
    readings = read(faulty, f"energy=0,{code}")
    assert [reading.troubles for reading in readings] == [(), ("gpu_lost",), ()]


def test_a_gpu_whose_uuid_is_not_known_any_more_is_lost(faulty: Path) -> None:
    assert read(faulty, "uuid=6,6,6")[0].troubles == ("gpu_lost",)


def test_a_driver_that_forgot_us_is_attached_again(faulty: Path) -> None:
    assert [reading.troubles for reading in read(faulty, "energy=1")] == [(), (), ()]


LATER = """
class Later:
    def __init__(self):
        self.passed_s = 0
    def now(self):
        return Instant(1_800_000_000_000_000_000 + int(self.passed_s * 1e9), int(self.passed_s * 1e9))

clock = Later()
"""


def test_attaching_is_tried_at_growing_distances(faulty: Path) -> None:
    program = (
        LATER
        + """
driver = open_driver()
reader = driver.reader(driver.gpus()[0], clock)
found = []
for second in range(20):
    clock.passed_s = second
    found.append((reader.read().troubles, driver.generation))
pickle.dump(found, sys.stdout.buffer)
"""
    )
    found = run(faulty, program, NVML_FORGETS="1", NVML_FAULTS="init=0,999,999,999")
    failed = {second: troubles[0] for second, (troubles, generation) in enumerate(found) if generation == 0}
    assert len(failed) == 7
    assert {second for second, trouble in failed.items() if trouble != "ring_uninitialized"} == {0, 1, 3}
    assert set(found[7:]) == {((), 1)}


def test_while_another_thread_attaches_nobody_waits(faulty: Path) -> None:
    program = """
driver = open_driver()
began = time.monotonic()
with driver._attaching:
    try:
        driver.attach_again(driver.generation, 0)
    except Retry as trouble:
        pickle.dump((str(trouble), time.monotonic() - began), sys.stdout.buffer)
"""
    text, waited_s = run(faulty, program)
    assert "another thread" in text
    assert waited_s < 0.5


def test_a_driver_that_refuses_everything_for_a_minute_stops(faulty: Path) -> None:
    program = (
        LATER
        + """
driver = open_driver()
reader = driver.reader(driver.gpus()[0], clock)
for second in range(200):
    clock.passed_s = second
    try:
        reader.read()
    except Stop as stop:
        pickle.dump((second, stop.exit_code, str(stop)), sys.stdout.buffer)
        break
else:
    pickle.dump((None, 0, ""), sys.stdout.buffer)
"""
    )
    everything = "uuid={0} samples={0} compute={0} energy={0}"
    second, exit_code, text = run(faulty, program, NVML_FAULTS=everything.format("999*"))
    assert (second, exit_code) == (60, 4)
    assert "container lost its devices" in text
    second, _, _ = run(faulty, program, NVML_FAULTS="samples=999* compute=17*")
    assert second is None, "a call that works says that the device is there"


def test_a_gpu_that_hangs_does_not_hide_the_others(faulty: Path) -> None:
    program = """
driver = open_driver()
found = []
for _ in range(3):
    began = time.monotonic()
    gpus = driver.gpus(2.0)
    found.append((len(gpus), driver.nameless, time.monotonic() - began))
pickle.dump(found, sys.stdout.buffer)
sys.stdout.flush()
import os
os._exit(0)
"""
    found = run(faulty, program, NVML_GPUS="3", NVML_HANGS="1")
    assert [(gpus, nameless) for gpus, nameless, _ in found] == [(2, 1)] * 3
    assert found[0][2] >= 2.0
    assert all(seconds < 2.0 for _, _, seconds in found[1:]), "it is waited for once"


def test_a_handle_that_became_worthless_is_looked_up_again(faulty: Path) -> None:
    assert [reading.troubles for reading in read(faulty, "energy=2")] == [(), (), ()]


@pytest.mark.parametrize(
    ("code", "why"),
    [(4, "no_permission"), (3, "not_supported"), (10, "timeout"), (999, "failed"), (9, "no_driver")],
)
def test_a_call_that_fails_has_a_name(faulty: Path, code: int, why: str) -> None:
    first = read(faulty, f"energy={code}")[0]
    assert first.energy_uj is None
    assert first.troubles == (f"energy_{why}",)


def test_a_driver_that_was_changed_under_us_stops(faulty: Path) -> None:
    _, text = run(faulty, READ, NVML_FAULTS="energy=0,18")
    assert "started again" in text


def test_a_gpu_that_has_no_name_is_counted(faulty: Path) -> None:
    program = "driver = open_driver()\npickle.dump((driver.gpus(), driver.nameless), sys.stdout.buffer)\n"
    assert run(faulty, program, NVML_FAULTS="index=15") == ((), 1)
    (gpu,), nameless = run(faulty, program, NVML_FAULTS="minor=3")
    assert (gpu.minor, gpu.memory_bytes, nameless) == (None, None, 0)
