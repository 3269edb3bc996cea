"""A GPU that is partitioned anew while it is read, by the real pynvml."""

import pytest

from simnode.mapping_reader import read

SECOND = 10**9

SCENARIO = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        driver: {accounting: true}
        gpus:
          - model: NVIDIA H200
            mig:
              - at: 0s
                instances:
                  - gi: 1
                    profile: 3g.71gb
                    start: 4
                    compute_instances:
                      - {ci: 0, slices: 1, uuid: MIG-00000000-0000-4000-8000-000000000010}
                      - {ci: 1, slices: 2, uuid: MIG-00000000-0000-4000-8000-000000000011}
                  - {gi: 9, profile: 1g.18gb+me}
              - at: 40s
                instances:
                  - {gi: 9, profile: 1g.18gb+me}
                  - {gi: 1, profile: 2g.35gb, start: 2}
              - {at: 50s, instances: []}
              - {at: 80s, off: true}
          - {model: NVIDIA A30, mig: [{at: 10s, instances: [{gi: 3, profile: 2g.12gb}]}]}
          - {model: NVIDIA L4}
        host_processes:
          - {gpu: 0, gi: 1, ci: 0, pid: 50, memory_mib: 1000, busy: {pattern: constant, share: 0.6}}
          - {gpu: 0, gi: 1, ci: 1, pid: 51, memory_mib: 2000, busy: {pattern: constant, share: 1}}
          - {gpu: 0, gi: 9, pid: 52, start: 1s, busy: {pattern: constant, share: 0.25}}
          - {gpu: 0, pid: 53, start: 80s, busy: {pattern: constant, share: 0.5}}
"""

DEVICES = """
found = []
for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handles[GPU])):
    try:
        mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handles[GPU], number)
    except pynvml.NVMLError_NotFound:
        continue
    gi = pynvml.nvmlDeviceGetGpuInstanceId(mig)
    info = pynvml.nvmlGpuInstanceGetInfo(pynvml.nvmlDeviceGetGpuInstanceById(handles[GPU], gi))
    attributes = pynvml.nvmlDeviceGetAttributes_v2(mig)
    memory = pynvml.nvmlDeviceGetMemoryInfo(mig)
    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig)
    again = pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(mig))
    assert pynvml.nvmlDeviceIsMigDeviceHandle(mig)
    assert ctypes.addressof(again.contents) == ctypes.addressof(mig.contents)
    found.append({
        "number": number, "gi": gi, "ci": pynvml.nvmlDeviceGetComputeInstanceId(mig),
        "uuid": pynvml.nvmlDeviceGetUUID(mig), "name": pynvml.nvmlDeviceGetName(mig),
        "parent": pynvml.nvmlDeviceGetIndex(parent), "sm": attributes.multiprocessorCount,
        "slices": [attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount],
        "place": [info.profileId, info.placement.start, info.placement.size],
        "memory": [attributes.memorySizeMB, memory.total >> 20, memory.used >> 20],
        "pids": [[p.pid, p.gpuInstanceId, p.computeInstanceId]
                 for p in pynvml.nvmlDeviceGetComputeRunningProcesses(mig)],
    })
return found
"""


@pytest.fixture
def driver(driven):
    return driven(SCENARIO)


def devices(driver, gpu: int = 0) -> list[dict]:
    return driver.run(DEVICES.replace("GPU", str(gpu)))


def test_devices_are_enumerated_with_their_parents_facts(driver):
    driver.advance(2 * SECOND)
    one, two, small = devices(driver)
    assert (one["gi"], one["ci"], two["gi"], two["ci"], small["gi"], small["ci"]) == (1, 0, 1, 1, 9, 0)
    assert one["uuid"] == "MIG-00000000-0000-4000-8000-000000000010"
    assert [d["name"] for d in (one, two, small)] == [
        f"NVIDIA H200 MIG {name}" for name in ("1c.3g.71gb", "2c.3g.71gb", "1g.18gb+me")
    ]
    assert (one["slices"], two["slices"], small["slices"]) == ([3, 1], [3, 2], [1, 1])
    assert (one["place"], small["place"]) == ([9, 4, 4], [20, 0, 1])
    assert (one["sm"], two["sm"], small["sm"]) == (20, 40, 16)
    # memory belongs to the GPU instance and is told of each compute instance
    assert one["memory"] == two["memory"] == [71424, 71424, 3000]
    assert (one["pids"], two["pids"], small["pids"]) == ([[50, 1, 0]], [[51, 1, 1]], [[52, 9, 0]])
    assert [d["parent"] for d in (one, two, small)] == [0, 0, 0]
    rows = driver.ask("DeviceGetComputeRunningProcesses")
    assert {(row["pid"], row["gpuInstanceId"], row["computeInstanceId"]) for row in rows} == {
        (50, 1, 0),
        (51, 1, 1),
        (52, 9, 0),
    }


def test_a_partitioned_gpu_has_no_ring_and_no_accounts(driver):
    driver.advance(5 * SECOND)
    ask = driver.ask
    assert (ask("DeviceGetMigMode"), ask("DeviceGetMigMode", 1)) == ([1, 1], [0, 0])
    assert ask("DeviceGetMigMode", 2) == "NVMLError_NotSupported"
    for name, *arguments in (
        ("UtilizationRates",),
        ("Samples", 1, 0),
        ("ProcessUtilization", 0),
        ("ProcessesUtilizationInfo", 0),
        ("AccountingMode",),
        ("AccountingPids",),
    ):
        assert ask(f"DeviceGet{name}", 0, *arguments) == "NVMLError_NotSupported", name
    assert len(ask("DeviceGetSamples", 0, 0, 0)[1]) > 20  # power
    assert ask("DeviceGetPowerUsage") > 70_000
    assert ask("DeviceGetAccountingMode", 1) == 1


def test_what_is_asked_of_a_mig_device_that_it_has_not(driver):
    code = """
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handles[0], 0)
    found = []
    for name in ("PowerUsage", "Index", "UtilizationRates", "TotalEnergyConsumption", "MigMode"):
        try:
            getattr(pynvml, "nvmlDeviceGet" + name)(mig)
        except pynvml.NVMLError as error:
            found.append(error.value)
    return found
    """
    assert driver.run(code) == [3] * 5
    assert (
        driver.ask("DeviceGetGpuInstanceId") == driver.ask("DeviceGetAttributes") == "NVMLError_NotSupported"
    )


def test_layouts_change_ids_are_used_again_and_old_handles_are_stale(driver):
    driver.advance(39 * SECOND)
    before = devices(driver)
    driver.run("names['old'] = [pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handles[0], i) for i in range(3)]")
    event = """
    names["set"] = pynvml.nvmlEventSetCreate()
    pynvml.nvmlDeviceRegisterEvents(handles[0], pynvml.nvmlEventMigConfigChange, names["set"])
    return pynvml.nvmlEventSetWait_v2(names["set"], 5)
    """
    assert driver.run(event) == "NVMLError_Timeout"
    driver.advance(41 * SECOND)
    assert driver.run("return pynvml.nvmlEventSetWait_v2(names['set'], 1000)")["eventType"] == 0x100
    stale = "return pynvml.nvmlDeviceGetUUID(names['old'][%d])"
    assert [driver.run(stale % i) for i in range(3)] == [
        "NVMLError_InvalidArgument",
        "NVMLError_InvalidArgument",
        before[2]["uuid"],
    ]
    after = devices(driver)
    assert [(d["number"], d["gi"], d["ci"], d["place"]) for d in after] == [
        (0, 1, 0, [14, 2, 2]),
        (2, 9, 0, [20, 0, 1]),
    ]
    assert after[1]["uuid"] == before[2]["uuid"]
    assert after[0]["uuid"] not in {d["uuid"] for d in before}
    assert driver.run(stale % 0) == after[0]["uuid"]  # the old value was given out again
    assert (after[0]["pids"], after[1]["pids"]) == ([], [[52, 9, 0]])
    driver.advance(51 * SECOND)
    assert (
        devices(driver),
        driver.ask("DeviceGetMigMode"),
        driver.ask("DeviceGetComputeRunningProcesses"),
    ) == (
        [],
        [1, 1],
        [],
    )
    driver.advance(81 * SECOND)
    assert (driver.ask("DeviceGetMigMode"), driver.ask("DeviceGetMaxMigDeviceCount")) == ([0, 0], 0)
    rows = driver.ask("DeviceGetSamples", 0, 1, 0)[1]
    assert 3 <= len(rows) <= 6  # those of the partitioned time are not of the whole GPU
    assert rows[-1][1] == driver.ask("DeviceGetUtilizationRates")["gpu"] > 40
    assert [row["pid"] for row in driver.ask("DeviceGetProcessUtilization", 0, 0)] == [53]


def test_profiles_placements_and_what_is_left(driver):
    driver.advance(11 * SECOND)
    info = driver.ask("DeviceGetGpuInstanceProfileInfo", 0, 2)
    assert (info["id"], info["sliceCount"], info["multiprocessorCount"], info["instanceCount"]) == (
        9,
        3,
        60,
        2,
    )
    assert (
        driver.run("return pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handles[0], 2).name") == "MIG 3g.71gb"
    )
    assert driver.ask("DeviceGetGpuInstanceProfileInfo", 0, 2, 1)["memorySizeMB"] == 71424
    # an A30 has four slices of either kind
    assert driver.ask("DeviceGetGpuInstanceProfileInfo", 1, 3)["sliceCount"] == 4
    assert driver.ask("DeviceGetGpuInstanceProfileInfo", 1, 4) == "NVMLError_NotSupported"
    assert driver.ask("DeviceGetGpuInstanceProfileInfo", 2, 0) == "NVMLError_NotSupported"
    assert devices(driver, 1)[0]["place"] == [5, 0, 2]
    placements = """
    count, room = ctypes.c_uint(0), (pynvml.c_nvmlGpuInstancePlacement_t * 8)()
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(handles[0], PROFILE, room, ctypes.byref(count))
    return [[place.start, place.size] for place in room[: count.value]]
    """
    assert driver.run(placements.replace("PROFILE", "9")) == [[0, 4], [4, 4]]
    # 1g at 0 and 3g at 4 are taken; three memory slices and three compute slices are free
    left = {id_: driver.ask("DeviceGetGpuInstanceRemainingCapacity", 0, id_) for id_ in (19, 14, 9, 5)}
    assert left == {19: 3, 14: 1, 9: 0, 5: 0}
    instances = """
    count, room = ctypes.c_uint(0), (pynvml.c_nvmlGpuInstance_t * 8)()
    pynvml.nvmlDeviceGetGpuInstances(handles[0], 9, room, ctypes.byref(count))
    parts, many = (pynvml.c_nvmlComputeInstance_t * 8)(), ctypes.c_uint(0)
    pynvml.nvmlGpuInstanceGetComputeInstances(room[0], 1, parts, ctypes.byref(many))
    info = pynvml.nvmlComputeInstanceGetInfo_v2(parts[0])
    return [count.value, many.value, info.id, info.placement.start, info.placement.size]
    """
    assert driver.run(instances) == [1, 1, 1, 1, 2]


def test_the_mappings_reader_has_every_engine(driver, tmp_path):
    driver.advance(30 * SECOND)
    found = {(e.gpu, e.gi, e.ci): e for e in read(tmp_path / "nvml.map")}
    assert sorted(found, key=str) == sorted(
        [(0, 1, 0), (0, 1, 1), (0, 9, 0), (1, 3, 0), (2, None, None)], key=str
    )
    assert {key: e.busy_ns for key, e in found.items() if key[0] == 0} == {
        (0, 1, 0): 18 * SECOND,
        (0, 1, 1): 30 * SECOND,
        (0, 9, 0): 29 * SECOND // 4,
    }
    assert {e.as_of_ns for e in found.values()} == {30 * SECOND}
    assert found[0, 1, 1].memory_used == 3000 << 20
