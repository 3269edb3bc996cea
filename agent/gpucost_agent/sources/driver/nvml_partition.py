"""How a GPU of the real driver is partitioned: the calls of driver_calls.Calls that MIG mode needs."""

import ctypes
from functools import partial
from typing import Any

from gpucost.clock import Clock

from gpucost_agent.sources.driver.driver_calls import (
    DriverTrouble,
    RawCompute,
    RawInstance,
    RawMig,
    RawProfile,
    Why,
)
from gpucost_agent.sources.driver.nvml_handle import DeviceHandle, Library

NOT_FOUND = 6
_ENABLED = 1
_UUID_BYTES = 96
_MOST_PLACEMENTS = 64


class PartitionCalls(DeviceHandle):
    """Those calls, on one GPU."""

    def __init__(self, library: Library, gpu_uuid: str, clock: Clock) -> None:
        super().__init__(library, gpu_uuid, clock)
        self._mig_handles: dict[tuple[int, int], Any] = {}
        self._numbers = (ctypes.c_uint(), ctypes.c_uint())
        self._uuid = ctypes.create_string_buffer(_UUID_BYTES)

    def mig_mode(self) -> bool:
        ask, mode, pending = self.library.symbol("nvmlDeviceGetMigMode"), self._numbers[0], self._numbers[1]
        self.on_device(lambda gpu: self.library.check(ask(gpu, ctypes.byref(mode), ctypes.byref(pending))))
        return mode.value == _ENABLED

    def mig_devices(self) -> tuple[RawMig, ...]:
        symbol, check = self.library.symbol, self.library.check
        most, number = symbol("nvmlDeviceGetMaxMigDeviceCount"), self._numbers[0]
        by_index = symbol("nvmlDeviceGetMigDeviceHandleByIndex")
        gi_of, ci_of = symbol("nvmlDeviceGetGpuInstanceId"), symbol("nvmlDeviceGetComputeInstanceId")
        uuid_of, a_handle = symbol("nvmlDeviceGetUUID"), self.library.named("c_nvmlDevice_t")
        handles, found = {}, []

        def at(gpu: Any, index: int) -> Any:
            handle = a_handle()
            code = by_index(gpu, index, ctypes.byref(handle))
            if code == NOT_FOUND:
                return None
            check(code)
            return handle

        self.on_device(lambda gpu: check(most(gpu, ctypes.byref(number))))
        for index in range(number.value):
            handle = self.on_device(partial(at, index=index))
            if handle is None:
                continue
            key = []
            for ask in (gi_of, ci_of):
                check(ask(handle, ctypes.byref(number)))
                key.append(number.value)
            check(uuid_of(handle, self._uuid, len(self._uuid)))
            gi, ci = key
            handles[gi, ci] = handle
            place = ctypes.cast(handle, ctypes.c_void_p).value or 0
            found.append(RawMig(gi, ci, place, self._uuid.value.decode()))
        self._mig_handles = handles
        return tuple(found)

    def compute_instance(self, gi: int, ci: int) -> RawCompute:
        handle = self.mig_handle(gi, ci)
        attributes = self.library.call("nvmlDeviceGetAttributes_v2", handle)
        uuid = str(self.library.call("nvmlDeviceGetUUID", handle))
        return RawCompute(uuid, int(attributes.computeInstanceSliceCount))

    def profiles(self) -> list[RawProfile]:
        found = []
        handle = self.current_handle()
        for number in range(self.library.named("NVML_GPU_INSTANCE_PROFILE_COUNT")):
            try:
                info = self.library.call("nvmlDeviceGetGpuInstanceProfileInfo", handle, number)
            except DriverTrouble as trouble:
                # A profile that this GPU does not have, or that is newer than this driver.
                if trouble.why in (Why.NOT_SUPPORTED, Why.STALE_HANDLE):
                    continue
                raise
            name = str(info.name).removeprefix("MIG ")
            numbers = (info.sliceCount, info.memorySizeMB, info.instanceCount)
            found.append(RawProfile(info.id, name, *map(int, numbers)))
        return found

    def memory_slices(self, profile_id: int) -> int:
        placements = (self.library.named("c_nvmlGpuInstancePlacement_t") * _MOST_PLACEMENTS)()
        count = ctypes.c_uint(_MOST_PLACEMENTS)
        self.call("nvmlDeviceGetGpuInstancePossiblePlacements", profile_id, placements, ctypes.byref(count))
        if not count.value:
            raise DriverTrouble(Why.FAILED, f"the driver names no placement for the profile {profile_id}")
        return int(placements[0].size)

    def gpu_instances(self, profile: RawProfile) -> list[RawInstance]:
        instances = (self.library.named("c_nvmlGpuInstance_t") * max(1, profile.most))()
        count = ctypes.c_uint(len(instances))
        self.call("nvmlDeviceGetGpuInstances", profile.profile_id, instances, ctypes.byref(count))
        return [self._instance(instances[place]) for place in range(count.value)]

    def gpu_instance(self, gi: int) -> RawInstance:
        return self._instance(self.call("nvmlDeviceGetGpuInstanceById", gi))

    def _instance(self, instance: Any) -> RawInstance:
        info = self.library.call("nvmlGpuInstanceGetInfo", instance)
        return RawInstance(info.id, info.profileId, info.placement.start, info.placement.size)

    def mig_handle(self, gi: int, ci: int) -> Any:
        """The handle of a compute instance that the last answer of mig_devices had."""
        handle = self._mig_handles.get((gi, ci))
        if handle is None:
            raise DriverTrouble(Why.STALE_HANDLE, f"compute instance {ci} of GPU instance {gi} is not there")
        return handle
