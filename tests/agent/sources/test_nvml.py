"""The real pynvml over a real shared library: the simulated driver, and one that fails as it is told."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import GpuReading

ROOT = Path(__file__).resolve().parents[3]
HACK = ROOT / "hack"
PATIENCE_S = 120
DRIVER_UUID = "GPU-00000000-0000-0000-0000-000000000001"

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

PRELUDE = """
import pickle, sys, time
from gpucost.clock import Instant
from gpucost.trouble import Retry, Stop
from gpucost_agent.sources.nvml import open_driver

class Clock:
    def now(self):
        return Instant(time.time_ns(), time.monotonic_ns())

"""


def run(library: Path, program: str, **environment: str) -> Any:
    """What a program pickles, that sees *library* as the driver's."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(program)],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(library),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "proto"), str(ROOT / "agent")]),
            **environment,
        },
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE_S,
    )
    return pickle.loads(done.stdout)  # noqa: S301 - of the program above


@pytest.fixture(scope="module")
def simulated() -> Path:
    subprocess.run(["make", "-s", "-C", str(HACK / "nvml")], check=True, timeout=PATIENCE_S)
    return HACK / "nvml" / "build"


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("simulated")
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "simnode",
            "simulate",
            "--scenario",
            str(scenario),
            "--state",
            str(folder),
        ],
        env={**os.environ, "PYTHONPATH": str(HACK)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        word, _, facts = process.stdout.readline().partition(" ")
        assert word == "ready"
        yield json.loads(facts)["nodes"][0]["mapping"]
        process.terminate()
        process.wait(PATIENCE_S)


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


def test_no_library_stops_with_what_to_do(tmp_path: Path) -> None:
    # Where a real driver is installed the loader finds it, so the library that is found first is none.
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    code, text = run(tmp_path, STOPPED)
    assert code == 3
    assert "NVIDIA container runtime" in text


STOPPED = """
try:
    open_driver()
except Stop as stop:
    pickle.dump((stop.exit_code, str(stop)), sys.stdout.buffer)
except Retry as retry:
    pickle.dump((0, str(retry)), sys.stdout.buffer)
"""

# Plays a driver of one GPU. NVML_FAULTS is a list of SYMBOL=CODE,CODE,...: what a call answers, one code each time it
# is made, and success after that.
FAULTY = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define EXPORT __attribute__((visibility("default")))
static unsigned calls[16];
static const char *names[16];
static int fault(const char *name) {
    unsigned i = 0;
    while (names[i] && strcmp(names[i], name)) i++;
    names[i] = name;
    unsigned call = calls[i]++;
    char text[1024], *rest = text;
    snprintf(text, sizeof text, "%s", getenv("NVML_FAULTS") ? getenv("NVML_FAULTS") : "");
    for (char *entry; (entry = strsep(&rest, " "));) {
        char *codes = strchr(entry, '=');
        if (!codes || (size_t)(codes - entry) != strlen(name) || strncmp(entry, name, strlen(name))) continue;
        codes++;
        for (char *code; (code = strsep(&codes, ","));)
            if (!call--) return atoi(code);
    }
    return 0;
}
static int handle, looked_up[64], lookups;
static void *worthless;
EXPORT int nvmlInitWithFlags(unsigned f) { return fault("init"); }
EXPORT const char *nvmlErrorString(int code) { return "a fault"; }
EXPORT int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return fault("count"); }
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = &handle; return fault("index"); }
EXPORT int nvmlDeviceGetHandleByUUID(const char *u, void **h) { *h = &looked_up[lookups++ % 64]; return fault("uuid"); }
EXPORT int nvmlDeviceGetUUID(void *h, char *t, unsigned n) {
    snprintf(t, n, "GPU-00000000-0000-0000-0000-000000000001"); return 0;
}
EXPORT int nvmlDeviceGetName(void *h, char *t, unsigned n) { snprintf(t, n, "Faulty"); return 0; }
EXPORT int nvmlDeviceGetMinorNumber(void *h, unsigned *n) { *n = 0; return fault("minor"); }
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *h, uint64_t *mj) {
    *mj = 42;
    int code = h == worthless ? 2 : fault("energy");
    if (code == 2) worthless = h;
    return code;
}
/* Samples of every millisecond from the one asked for on; a row whose size is asked for in vain. */
EXPORT int nvmlDeviceGetSamples(void *h, int type, uint64_t seen, int *value, unsigned *n, uint64_t *rows) {
    int code = fault("samples");
    *value = 1;
    if (!rows) { *n = 1; return code; }
    rows[0] = seen + 1; rows[1] = 50;
    return code;
}
EXPORT int nvmlDeviceGetProcessUtilization(void *h, void *rows, unsigned *n, uint64_t seen) {
    *n = 0;
    return fault("uses");
}
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, void *rows) {
    int code = fault("compute");
    *n = 1;
    if (rows) memset(rows, 0, 24), *(uint32_t *)rows = 7, ((uint64_t *)rows)[1] = -1;
    return code ? code : rows ? 0 : 7;
}
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.c").write_text(FAULTY)
    command = ["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", "libnvidia-ml.so.1", "faulty.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=PATIENCE_S)
    return folder


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


def read(faulty: Path, faults: str) -> list[GpuReading]:
    _, readings = run(faulty, READ, NVML_FAULTS=faults)
    assert isinstance(readings, list), readings
    return readings


def test_success_where_a_size_was_asked_for_is_nobody(faulty: Path) -> None:
    readings = read(faulty, "")
    assert [reading.troubles for reading in readings] == [(), (), ()]
    assert all(reading.process_window and reading.process_window.uses == () for reading in readings)
    assert readings[0].energy_uj == 42_000


def test_memory_that_is_not_available_is_not_known(faulty: Path) -> None:
    (process,) = read(faulty, "")[0].processes or ()
    assert (process.pid, process.memory_bytes) == (7, None)


def test_symbols_that_are_missing_are_not_supported(faulty: Path) -> None:
    # The graphics and MPS lists and the memory are not in this library, and nothing is the worse for it.
    assert read(faulty, "")[0].gpu_uuid == DRIVER_UUID


def test_a_list_that_grew_is_asked_for_again(faulty: Path) -> None:
    readings = read(faulty, "compute=7,7,7,7,7 samples=7,0,7 uses=7,7")
    assert [reading.troubles for reading in readings] == [(), (), ()]


def test_a_list_that_grows_for_ever_is_given_up(faulty: Path) -> None:
    assert read(faulty, "uses=" + ",".join(["7"] * 10))[0].troubles == ("uses_too_small",)


@pytest.mark.parametrize("code", [15, 16])
def test_a_gpu_that_is_lost(faulty: Path, code: int) -> None:
    readings = read(faulty, f"energy=0,{code}")
    assert [reading.troubles for reading in readings] == [(), ("gpu_lost",), ()]


def test_a_gpu_whose_uuid_is_not_known_any_more_is_lost(faulty: Path) -> None:
    assert read(faulty, "uuid=6,6,6")[0].troubles == ("gpu_lost",)


def test_a_driver_that_forgot_us_is_attached_again(faulty: Path) -> None:
    assert [reading.troubles for reading in read(faulty, "energy=1")] == [(), (), ()]


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
