"""The simulated library as the real pynvml sees it, in a process of its own."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from simnode import mapping_layout as layout
from simnode.engines import MOST_INSTANCES
from simnode.gpus import MOST_GPUS
from simnode.mapping_layout import LAYOUT, MAGIC, offset, packer
from simnode.sampling import NO_PID

NVML = Path(__file__).resolve().parents[2] / "hack/nvml"
SECOND = 10**9
START = 1_790_000_000 * SECOND

SCENARIO = """\
name: t
seed: 5
clusters:
  - name: c
    nodes:
      - name: n
        booted: -1h
        driver: {rounding: ROUNDING, version: 570.86.15}
        gpus:
          - {model: NVIDIA H100 80GB HBM3, uuid: GPU-5a5a7118-e550-79a1-597e-7631e126c57a, minor: 3}
          - {model: Tesla T4}
        host_processes:
          - {gpu: 0, pid: 50, memory_mib: 1000, busy: {pattern: duty, on_ms: 200, period_ms: 400}}
          - {gpu: 0, pid: 51, memory_mib: 3000, busy: {pattern: duty, on_ms: 52, period_ms: 130}}
          - {gpu: 0, pid: 52, memory_mib: 10, start: 700s, busy: {pattern: none}}
"""


@pytest.fixture
def driver(driven, request):
    return driven(SCENARIO.replace("ROUNDING", getattr(request, "param", "down")))


def stamp(sample) -> int:
    return (START + sample.stamp_ns) // 1000


def test_who_the_devices_are(driver):
    ask = driver.ask
    assert ask("SystemGetDriverVersion", None) == "570.86.15"
    assert ask("SystemGetNVMLVersion", None) == "12.570.86.15"
    assert ask("SystemGetCudaDriverVersion", None) == 12080
    uuid = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
    assert (ask("DeviceGetUUID"), ask("DeviceGetName")) == (uuid, "NVIDIA H100 80GB HBM3")
    assert (ask("DeviceGetMinorNumber"), ask("DeviceGetIndex", 1)) == (3, 1)
    assert (ask("DeviceGetArchitecture"), ask("DeviceGetCudaComputeCapability", 1)) == (9, [7, 5])
    bus = ask("DeviceGetPciInfo", 1)["busId"]
    assert ask("DeviceGetHandleByPciBusId", None, bus) == ask("DeviceGetHandleByUUID", None, uuid) + 1 == 1
    assert ask("DeviceGetHandleByUUID", None, "GPU-none") == "NVMLError_NotFound"
    assert ask("DeviceGetHandleByIndex", None, 2) == "NVMLError_InvalidArgument"
    assert (ask("DeviceGetMigMode"), ask("DeviceGetMigMode", 1)) == ([0, 0], "NVMLError_NotSupported")
    assert (ask("DeviceGetMaxMigDeviceCount"), ask("DeviceIsMigDeviceHandle")) == (0, 0)
    assert (ask("DeviceGetComputeMode"), ask("DeviceGetPersistenceMode")) == (0, 1)
    assert ask("DeviceGetTopologyCommonAncestor", 0, {"gpu": 1}) == 40
    assert ask("DeviceGetNvLinkState", 0, 0) == 0
    assert (ask("DeviceGetSupportedEventTypes"), ask("DeviceGetSupportedEventTypes", 1)) == (0x108, 8)
    assert ask("DeviceGetAccountingMode") == 0
    assert ask("DeviceGetAccountingPids") == "NVMLError_NotSupported"
    assert ask("DeviceGetGpuInstanceId") == "NVMLError_NotSupported"


def test_memory_power_and_processes(driver):
    driver.advance(701 * SECOND)
    ask, gpu = driver.ask, driver.gpus[0]
    used = 4010 << 20
    assert ask("DeviceGetMemoryInfo") == {"total": 81559 << 20, "used": used, "free": (81559 << 20) - used}
    assert ask("DeviceGetMemoryInfo", 0, pynvml.nvmlMemory_v2)["used"] == used
    assert ask("DeviceGetTotalEnergyConsumption") == gpu.energy_mj > 70 * 4000 * 1000
    assert ask("DeviceGetPowerUsage") == gpu.ring[-1].power_mw
    assert ask("DeviceGetUtilizationRates")["gpu"] == gpu.ring[-1].util_centi // 100
    assert ask("DeviceGetTemperatureV", 0, 0) >= 35
    fields = ask("DeviceGetFieldValues", 0, [83, 186, 1])
    assert [f["nvmlReturn"] for f in fields] == [0, 0, 3]
    rows = ask("DeviceGetComputeRunningProcesses")
    assert {(row["pid"], row["usedGpuMemory"] >> 20) for row in rows} == {(50, 1000), (51, 3000), (52, 10)}
    assert ask("DeviceGetGraphicsRunningProcesses") == ask("DeviceGetMPSComputeRunningProcesses") == []
    assert ask("DeviceGetComputeRunningProcesses", 1) == []


def test_samples_newer_than_last_seen(driver):
    driver.advance(60 * SECOND)
    ring = list(driver.gpus[0].ring)
    ask = driver.ask
    assert ask("DeviceGetSamples", 0, 1, 0) == [1, [[stamp(s), s.util_centi // 100] for s in ring]]
    assert len(ring) == 72
    seen = stamp(ring[-10])
    assert [row[0] for row in ask("DeviceGetSamples", 0, 1, seen)[1]] == [stamp(s) for s in ring[-9:]]
    assert ask("DeviceGetSamples", 0, 1, stamp(ring[-1])) == "NVMLError_NotFound"
    assert ask("DeviceGetSamples", 0, 0, seen)[1][0][1] == ring[-9].power_mw
    assert ask("DeviceGetSamples", 0, 5, 0) == "NVMLError_NotSupported"
    driver.advance(61 * SECOND)
    assert len(ask("DeviceGetSamples", 0, 1, stamp(ring[-1]))[1]) in (5, 6)


@pytest.mark.parametrize("driver", ["down", "nearest"], indirect=True)
def test_rows_are_the_sum_of_owned_samples_over_the_window(driver):
    driver.advance(60 * SECOND)
    ring, rounding = list(driver.gpus[0].ring), driver.node.driver.rounding
    for seen, window in ((0, ring), (stamp(ring[-31]), ring[-30:]), (stamp(ring[-2]), ring[-1:])):
        expected = {}
        for pid in {s.pid for s in window} - {NO_PID}:
            owned = [s for s in window if s.pid == pid]
            exact = sum(s.util_centi for s in owned) / len(window) / 100
            expected[pid] = (stamp(owned[-1]), int(exact + (0.5 if rounding == "nearest" else 0)))
        rows = driver.ask("DeviceGetProcessUtilization", 0, seen)
        assert {row["pid"]: (row["timeStamp"], row["smUtil"]) for row in rows} == expected
        info = driver.ask("DeviceGetProcessesUtilizationInfo", 0, seen)
        assert {row["pid"]: (row["timeStamp"], row["smUtil"]) for row in info} == expected


def test_a_step_of_the_clock_is_in_new_samples_only(driver):
    driver.advance(60 * SECOND)
    newest = stamp(driver.gpus[0].ring[-1])
    driver.ahead_ns = -3600 * SECOND
    driver.advance(61 * SECOND)
    stamps = [row[0] for row in driver.ask("DeviceGetSamples", 0, 1, 0)[1]]
    fresh = [s for s in driver.gpus[0].ring if stamp(s) > newest]
    assert stamps[-len(fresh) :] == [stamp(s) - 3_600_000_000 for s in fresh]
    assert stamps[-len(fresh) - 1] == newest
    # who kept his last stamp waits for an hour
    assert driver.ask("DeviceGetSamples", 0, 1, newest) == "NVMLError_NotFound"


def test_nobody_busy_is_not_found(driver):
    driver.advance(60 * SECOND)
    assert driver.ask("DeviceGetProcessUtilization", 1, 0) == "NVMLError_NotFound"
    assert driver.ask("DeviceGetProcessesUtilizationInfo", 1, 0) == "NVMLError_NotFound"
    newest = stamp(driver.gpus[0].ring[-1])
    assert driver.ask("DeviceGetProcessUtilization", 0, newest) == "NVMLError_NotFound"


@pytest.mark.parametrize("driver", ["nearest"], indirect=True)
def test_rows_add_up_to_the_truth(driver):
    """Ten minutes, read every 5 s as an agent would: within four standard errors of the draws."""
    busy_us, seen = {50: 0.0, 51: 0.0}, START // 1000
    for tick in range(1, 121):
        driver.advance(tick * 5 * SECOND)
        newest = driver.ask("DeviceGetSamples", 0, 1, seen)[1][-1][0]
        for row in driver.ask("DeviceGetProcessUtilization", 0, seen):
            busy_us[row["pid"]] += row["smUtil"] / 100 * (newest - seen)
        seen = newest
    truth = {r.process.pid: r.in_window_ns / 1000 for r in driver.gpus[0].activity.ran_in_window}
    error = 4 * 0.5 / (600 / 0.167) ** 0.5 * 600e6
    assert sum(busy_us.values()) == pytest.approx(sum(truth.values()), abs=error)
    for pid, exact in truth.items():
        assert busy_us[pid] == pytest.approx(exact, abs=error)


def raw(driver_folder: Path, library: Path, code: str, **more: str) -> str:
    env = os.environ | {"LD_LIBRARY_PATH": str(library.parent), "NVML_SIM_MAPPING": str(driver_folder)} | more
    return subprocess.run(
        [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
    ).stdout


SIZES = """
import ctypes, pynvml
pynvml.nvmlInit()
lib = ctypes.CDLL("libnvidia-ml.so.1")
handle, count, kind = pynvml.nvmlDeviceGetHandleByIndex(0), ctypes.c_uint(0), ctypes.c_uint(9)
nothing = ctypes.c_ulonglong(0)
print(lib.nvmlDeviceGetProcessUtilization(handle, None, ctypes.byref(count), nothing), count.value)
count.value = 1
rows = (pynvml.c_nvmlProcessUtilizationSample_t * 1)()
print(lib.nvmlDeviceGetProcessUtilization(handle, rows, ctypes.byref(count), nothing), count.value)
count.value = 0
print(lib.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), None), count.value)
count.value = 0
code = lib.nvmlDeviceGetSamples(handle, 1, nothing, ctypes.byref(kind), ctypes.byref(count), None)
print(code, count.value, kind.value)
"""


def test_sizes_are_told(tmp_path, library, driver):
    driver.advance(60 * SECOND)
    answers = raw(tmp_path / "nvml.map", library, SIZES).splitlines()
    assert answers == ["7 2", "7 2", "7 2", "0 72 1"]


def test_without_a_mapping_there_is_no_driver(tmp_path, library):
    code = "import pynvml\ntry: pynvml.nvmlInit()\nexcept pynvml.NVMLError as e: print(e.value)"
    assert raw(tmp_path / "none.map", library, code) == "9\n"
    (tmp_path / "bad.map").write_bytes(b"x" * 4096)
    assert raw(tmp_path / "bad.map", library, code) == "18\n"


def test_the_mapping_may_lie_beside_the_library(tmp_path, library, driver):
    beside = tmp_path / "libnvidia-ml.so.1"
    beside.write_bytes(library.read_bytes())
    code = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
    assert raw(Path(), beside, code, NVML_SIM_MAPPING="") == "2\n"


def test_all_that_pynvml_looks_up_is_exported(library):
    names = re.findall(r'_nvmlGetFunctionPointer\("(\w+)"\)', Path(pynvml.__file__).read_text())
    exported = ctypes.CDLL(str(library))
    assert len(names) > 300
    assert [name for name in names if not hasattr(exported, name)] == []


def test_the_mapping_is_laid_out_as_the_library_reads_it():
    told = subprocess.run(
        ["make", "-s", "-C", str(NVML), "layout"], check=True, capture_output=True, text=True
    )
    facts = {name: int(value) for name, value in (line.split() for line in told.stdout.splitlines())}
    constants = {"SIM_MAGIC": MAGIC, "SIM_LAYOUT": LAYOUT, "SIM_NO_PID": NO_PID, "SIM_MOST_GPUS": MOST_GPUS}
    constants["SIM_MOST_INSTANCES"] = MOST_INSTANCES
    names = (
        "header",
        "gpu",
        "sample",
        "process",
        "failure",
        "profile",
        "gpu_instance",
        "compute_instance",
        "account",
    )
    structs = {f"sim_{name}": getattr(layout, name.upper()) for name in names}
    for name, value in facts.items():
        struct, _, member = name.partition(".")
        if name in constants:
            assert value == constants[name], name
        else:
            assert value == (offset(structs[struct], member) if member else packer(structs[struct]).size), (
                name
            )


def test_the_sanitised_library_passes_its_own_check():
    told = subprocess.run(
        ["make", "-s", "-C", str(NVML), "check"], check=True, capture_output=True, text=True
    )
    assert told.stdout.startswith("ok: ")
