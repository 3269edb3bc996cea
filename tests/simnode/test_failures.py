"""How the driver fails, each failure at its time."""

import time

import pytest

SECOND = 10**9

SCENARIO = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        driver: {unsupported: [TotalEnergy]}
        gpus:
          - {model: NVIDIA L4, minor: 4, uuid: GPU-00000000-0000-4000-8000-000000000000}
          - {model: NVIDIA L4, minor: 5, unsupported: [PowerUsage], uuid: GPU-00000000-0000-4000-8000-000000000001}
        failures:
FAILURES
"""


@pytest.fixture
def failing(driven):
    def make(*failures: str):
        return driven(SCENARIO.replace("FAILURES", "".join(f"          - {{{f}}}\n" for f in failures)))

    return make


def test_a_gpu_that_is_lost(failing):
    driver = failing("kind: lost, at: 20s, until: 40s, gpu: 0")
    assert driver.ask("DeviceGetPowerUsage") == 70_000
    driver.advance(20 * SECOND)
    assert driver.ask("DeviceGetPowerUsage") == driver.ask("DeviceGetUUID") == "NVMLError_GpuIsLost"
    assert driver.ask("DeviceGetSamples", 0, 1, 0) == "NVMLError_GpuIsLost"
    assert driver.ask("DeviceGetHandleByIndex", None, 0) == "NVMLError_GpuIsLost"
    assert (driver.ask("DeviceGetCount", None), driver.ask("DeviceGetIndex", 1)) == (2, 1)
    driver.advance(40 * SECOND)
    assert driver.ask("DeviceGetPowerUsage") == 70_000


def test_a_gpu_that_is_gone(failing):
    driver = failing("kind: gone, at: 20s, gpu: 0")
    driver.advance(20 * SECOND)
    assert driver.ask("DeviceGetCount", None) == 1
    assert driver.ask("DeviceGetIndex", 1) == driver.ask("DeviceGetHandleByIndex", None, 0) == 0
    assert driver.run("return pynvml.nvmlDeviceGetMinorNumber(pynvml.nvmlDeviceGetHandleByIndex(0))") == 5
    assert driver.ask("DeviceGetPowerUsage") == driver.ask("DeviceGetHandleByIndex", None, 1)
    assert driver.ask("DeviceGetPowerUsage") == "NVMLError_InvalidArgument"
    gone = "GPU-00000000-0000-4000-8000-000000000000"
    assert driver.ask("DeviceGetHandleByUUID", None, gone) == "NVMLError_NotFound"


def test_a_call_that_hangs_burns_no_time_of_the_processor(failing):
    driver = failing("kind: hang, at: 20s, until: 30s, gpu: 0, call: Samples")
    driver.advance(20 * SECOND)
    assert driver.ask("DeviceGetIndex", 0) == 0
    assert len(driver.ask("DeviceGetSamples", 1, 1, 0)) == 2
    driver.run("import time; names['before'] = time.process_time()")
    driver.send("nvmlDeviceGetSamples", 0, 1, 0)
    time.sleep(0.5)
    driver.advance(29 * SECOND)
    time.sleep(0.1)
    driver.advance(30 * SECOND)
    assert len(driver.answer()[1]) == 72
    assert driver.run("import time; return time.process_time() - names['before']") < 0.2


def test_a_call_that_returns_an_error(failing):
    driver = failing(
        "kind: error, at: 5s, call: ProcessUtil, code: 17", "kind: error, at: 5s, until: 6s, gpu: 1, code: 16"
    )
    driver.advance(5 * SECOND)
    assert driver.ask("DeviceGetProcessUtilization", 0, 0) == "NVMLError_OperatingSystem"
    assert driver.ask("DeviceGetUUID", 1) == "NVMLError_ResetRequired"
    driver.advance(6 * SECOND)
    assert driver.ask("DeviceGetUUID", 1).endswith("1")
    assert driver.ask("DeviceGetProcessUtilization", 1, 0) == "NVMLError_OperatingSystem"


def test_what_a_driver_never_supports(failing):
    driver = failing("kind: error, at: 99s")
    assert driver.ask("DeviceGetTotalEnergyConsumption") == "NVMLError_NotSupported"
    assert driver.ask("DeviceGetPowerUsage", 1) == "NVMLError_NotSupported"
    assert driver.ask("DeviceGetPowerUsage", 0) == 70_000


def test_initialisation_that_is_lost(failing):
    driver = failing("kind: uninitialized, at: 5s")
    driver.advance(5 * SECOND)
    assert driver.ask("DeviceGetCount", None) == "NVMLError_Uninitialized"
    assert driver.ask("DeviceGetUUID") == "NVMLError_Uninitialized"
    assert driver.ask("Init", None) is None
    assert driver.ask("DeviceGetCount", None) == 2


def test_a_driver_that_was_changed_under_its_library(failing):
    driver = failing("kind: mismatch, at: 5s, until: 6s")
    driver.advance(5 * SECOND)
    for name in ("DeviceGetCount", "Init", "SystemGetDriverVersion"):
        assert driver.ask(name, None) == "NVMLError_LibRmVersionMismatch"
    driver.advance(6 * SECOND)
    assert driver.ask("DeviceGetCount", None) == 2
