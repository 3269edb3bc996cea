"""
The NVIDIA driver's library: the only importer of pynvml.

A call may block for as long as the driver hangs, so each GPU has its reader, and each reader a thread of its own.
What a call answers becomes a value, a DriverTrouble that names why not, or a Stop.
"""

import threading
from collections.abc import Callable
from typing import Any

import pynvml
from gpucost.clock import Clock
from gpucost.trouble import EXIT_NO_DRIVER, EXIT_PERMISSION, Stop

from gpucost_agent.readings import Gpu
from gpucost_agent.sources.driver_rows import ListKind, RawProcess, RawSample, RawUse
from gpucost_agent.sources.gpu_reader import DriverTrouble, GpuReader, Why

_NO_DRIVER_TEXTS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "libnvidia-ml.so.1 was not found: run the agent under the NVIDIA container runtime (runtimeClassName nvidia, "
        "NVIDIA_VISIBLE_DEVICES=all, NVIDIA_DRIVER_CAPABILITIES=utility), or mount the driver's libraries"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded on this node: see that nvidia-smi works there, and keep the agent to nodes "
        "that have GPUs"
    ),
    pynvml.NVML_ERROR_GPU_NOT_FOUND: "the NVIDIA driver finds no GPU on this node: keep the agent to nodes with GPUs",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver was changed and its library does not fit any more: the agent has to be started again, and "
        "if that does not help, the node too"
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVIDIA driver's library is too old: it has no nvmlInitWithFlags",
}
_WHYS = {
    pynvml.NVML_ERROR_UNINITIALIZED: Why.UNINITIALIZED,
    pynvml.NVML_ERROR_INVALID_ARGUMENT: Why.STALE_HANDLE,
    pynvml.NVML_ERROR_NOT_SUPPORTED: Why.NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: Why.NOT_SUPPORTED,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: Why.NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION: Why.NO_PERMISSION,
    pynvml.NVML_ERROR_NOT_FOUND: Why.NOTHING,
    pynvml.NVML_ERROR_INSUFFICIENT_SIZE: Why.TOO_SMALL,
    pynvml.NVML_ERROR_TIMEOUT: Why.TIMEOUT,
    pynvml.NVML_ERROR_GPU_IS_LOST: Why.LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: Why.LOST,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Why.NO_DRIVER,
    pynvml.NVML_ERROR_GPU_NOT_FOUND: Why.NO_DRIVER,
}
_VALUE_FIELDS = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
}
# The names with a version: those without look like the same calls and raise an error that is no NVMLError.
_PROCESS_LISTS = {
    ListKind.COMPUTE: pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
    ListKind.GRAPHICS: pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
    ListKind.MPS: pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3,
}
_MOST_TRIES = 5
_SUCCESS: int = pynvml.NVML_SUCCESS


def open_driver() -> "Driver":
    """
    Loads the driver's library and attaches to the driver. Blocks; called once, by whoever builds the program.

    Raises Stop with what a person has to do, or Retry where the driver failed for a passing reason.
    """
    try:
        _call(pynvml.nvmlInit)
    except DriverTrouble as trouble:
        if trouble.why is Why.NO_PERMISSION:
            text = (
                "the NVIDIA driver refuses this user: the agent needs read and write access to /dev/nvidiactl"
            )
            raise Stop(text, EXIT_PERMISSION) from trouble
        if text := _NO_DRIVER_TEXTS.get(trouble.code, ""):
            raise Stop(text, EXIT_NO_DRIVER) from trouble
        raise
    return Driver()


class Driver:
    """An attached driver; safe for many threads. Made by open_driver."""

    def __init__(self) -> None:
        self._attaching = threading.Lock()
        self._generation = 0
        self.nameless = 0
        """How many GPUs the driver counted at the last look and could not name."""

    @property
    def generation(self) -> int:
        """Grows with each attachment; handles of an earlier one are worthless."""
        return self._generation

    def version(self) -> str:
        """The driver's version. May block; raises DriverTrouble."""
        return str(_call(pynvml.nvmlSystemGetDriverVersion))

    def gpus(self) -> tuple[Gpu, ...]:
        """
        The GPUs that the driver shows, in its order. May block; raises DriverTrouble if it can not count them.

        A GPU that can not be named any more, because it fell off the bus, is left out and counted as nameless.
        """
        found: list[Gpu] = []
        count = _call(pynvml.nvmlDeviceGetCount)
        for index in range(count):
            try:
                found.append(_gpu(index))
            except DriverTrouble:
                continue
        self.nameless = count - len(found)
        return tuple(found)

    def reader(self, gpu: Gpu, clock: Clock) -> GpuReader:
        """A reader of one GPU for one thread. Neither blocks nor raises."""
        return GpuReader(gpu.uuid, DeviceCalls(self, gpu.uuid), clock)

    def attach_again(self, generation: int) -> None:
        """Attaches once more, unless another thread did so since *generation*. May block; raises DriverTrouble."""
        with self._attaching:
            if generation == self._generation:
                _call(pynvml.nvmlInit)
                self._generation += 1


class DeviceCalls:
    """
    The calls on one GPU: gpu_reader.Calls of the real driver. For one thread.

    Each may block for ever. Raises DriverTrouble, or Stop if the library does not fit the driver any more.
    A handle that became worthless is looked up again, once a call.
    """

    def __init__(self, driver: Driver, gpu_uuid: str) -> None:
        self._driver = driver
        self._gpu_uuid = gpu_uuid
        self._handle: Any = None
        self._generation = 0

    def samples(self, since_us: int) -> list[RawSample]:
        """The ring's samples that ended after *since_us*; raises NOTHING if there are none."""
        value_type, rows = self._on_device(
            pynvml.nvmlDeviceGetSamples, pynvml.NVML_GPU_UTILIZATION_SAMPLES, since_us
        )
        if (field := _VALUE_FIELDS.get(value_type)) is None:
            raise DriverTrouble(Why.FAILED, f"samples of the unknown value type {value_type}")
        return [RawSample(row.timeStamp, int(getattr(row.sampleValue, field))) for row in rows]

    def uses(self, since_us: int) -> list[RawUse]:
        """The driver's use by process since *since_us*; raises NOTHING if no process used the GPU."""
        rows = self._on_device(pynvml.nvmlDeviceGetProcessUtilization, since_us)
        return [RawUse(row.pid, row.timeStamp, row.smUtil) for row in rows]

    def processes(self, kind: ListKind) -> list[RawProcess]:
        """The processes of one of the driver's lists, with their memory by MIG instance."""
        rows = self._on_device(_PROCESS_LISTS[kind])
        return [
            RawProcess(row.pid, row.gpuInstanceId, row.computeInstanceId, row.usedGpuMemory) for row in rows
        ]

    def energy_mj(self) -> int:
        """Millijoules since the driver was loaded."""
        return int(self._on_device(pynvml.nvmlDeviceGetTotalEnergyConsumption))

    def _on_device(self, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return _call_until_it_fits(function, self._current_handle(), *arguments)
        except DriverTrouble as trouble:
            if trouble.why not in (Why.UNINITIALIZED, Why.STALE_HANDLE, Why.LOST):
                raise
            self._handle = None
            if trouble.why is Why.LOST:
                raise
            if trouble.why is Why.UNINITIALIZED:
                self._driver.attach_again(self._generation)
        return _call_until_it_fits(function, self._current_handle(), *arguments)

    def _current_handle(self) -> Any:
        generation = self._driver.generation
        if self._handle is None or generation != self._generation:
            self._generation = generation
            try:
                self._handle = _call(pynvml.nvmlDeviceGetHandleByUUID, self._gpu_uuid)
            except DriverTrouble as trouble:
                if trouble.why is Why.NOTHING:
                    raise DriverTrouble(
                        Why.LOST, "the driver does not know the GPU's UUID any more"
                    ) from trouble
                raise
        return self._handle


def _gpu(index: int) -> Gpu:
    handle = _call(pynvml.nvmlDeviceGetHandleByIndex, index)
    memory = _call_or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        uuid=str(_call(pynvml.nvmlDeviceGetUUID, handle)),
        index=index,
        minor=_call_or_none(pynvml.nvmlDeviceGetMinorNumber, handle),
        model=str(_call(pynvml.nvmlDeviceGetName, handle)),
        memory_bytes=None if memory is None else int(memory.total),
    )


def _call_or_none(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return _call(function, *arguments)
    except DriverTrouble:
        return None


def _call_until_it_fits(function: Callable[..., Any], *arguments: object) -> Any:
    """Asks again while the answer grows between pynvml's question for its size and the one for it."""
    for _ in range(_MOST_TRIES - 1):
        try:
            return _call(function, *arguments)
        except DriverTrouble as trouble:
            if trouble.why is not Why.TOO_SMALL:
                raise
    return _call(function, *arguments)


def _call(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        code = int(error.value)
        if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            raise Stop(_NO_DRIVER_TEXTS[code], EXIT_NO_DRIVER) from error
        if code == _SUCCESS:
            # pynvml raises the success of its question for a size: there is nothing to fetch.
            raise DriverTrouble(Why.NOTHING, "no rows", code) from error
        raise DriverTrouble(_WHYS.get(code, Why.FAILED), str(error), code) from error
    except pynvml.NVMLLibraryMismatchError as error:
        raise DriverTrouble(Why.NOT_SUPPORTED, str(error)) from error
