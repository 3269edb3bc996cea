"""
The NVIDIA driver's library: the only importer of pynvml.

A call may block for as long as the driver hangs, so each GPU has its reader, and each reader a thread of its own;
no lock is held while the driver is asked. What a call answers becomes a value, a DriverTrouble that names why not,
or a Stop. The binding's functions are called by their names, as older releases of it lack some.
"""

import threading
from collections.abc import Callable
from typing import Any

import pynvml
from gpucost.clock import Clock
from gpucost.trouble import EXIT_NO_DRIVER, EXIT_PERMISSION, Stop

from gpucost_agent.readings import Gpu
from gpucost_agent.sources.driver.driver_calls import DriverTrouble, Why
from gpucost_agent.sources.driver.gpu_reader import GpuReader, on_time
from gpucost_agent.sources.driver.nvml_calls import DeviceCalls

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
_SUCCESS: int = pynvml.NVML_SUCCESS

_DENIED_TEXT = (
    "the NVIDIA driver refuses every call on every GPU: the container lost its devices, as happens when systemd on "
    "the node is reloaded; the agent has to be started again, and if that comes back, the container runtime has to "
    "hand out the devices by CDI, or with the cgroupfs driver"
)
_DENIED_NS = 60_000_000_000
"""For so long no GPU may answer before the agent gives up; a driver that is reset comes back sooner."""
_LONGEST_PAUSE_NS = 64_000_000_000
"""Attaching costs the driver a second or more, so each attempt that fails doubles the pause up to this."""
_FIRST_PAUSE_NS = 1_000_000_000
PATIENCE_S = 30.0
"""
How long all GPUs have to tell their names. A driver without persistence wakes them then, a second or two each; one
that hangs must not hide the others.
"""


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
    """An attached driver, and nvml_handle.Library; safe for many threads. Made by open_driver."""

    def __init__(self) -> None:
        self._attaching = threading.Lock()
        self._generation = 0
        self._attach_from_ns = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._denied_since_ns: int | None = None
        self._hanging: dict[int, _Naming] = {}
        self.nameless = 0
        """How many GPUs the driver counted at the last look and could not name."""

    @property
    def generation(self) -> int:
        """Grows with each attachment; handles of an earlier one are worthless."""
        return self._generation

    def version(self) -> str:
        """The driver's version. May block; raises DriverTrouble."""
        return str(_call(pynvml.nvmlSystemGetDriverVersion))

    def gpus(self, patience_s: float = PATIENCE_S) -> tuple[Gpu, ...]:
        """
        The GPUs that the driver shows, in its order. For one thread at a time, again and again.

        Blocks for *patience_s* where a GPU begins to hang, and for ever only where the driver can not count; raises
        DriverTrouble if it fails to. A GPU that can not be named, because it hangs or fell off the bus, is left out
        and counted as nameless.
        """
        count = _call(pynvml.nvmlDeviceGetCount)
        self._hanging = {index: naming for index, naming in self._hanging.items() if not naming.done(0.0)}
        asked = {index: _Naming(index) for index in range(count) if index not in self._hanging}
        found: list[Gpu] = []
        for index, naming in asked.items():
            if not naming.done(patience_s):
                self._hanging[index] = naming
                patience_s = 0.0  # the others were asked together with this one
            elif (gpu := naming.gpu()) is not None:
                found.append(gpu)
        self.nameless = count - len(found)
        return tuple(found)

    def reader(self, gpu: Gpu, clock: Clock, off_ns: Callable[[], int] = on_time) -> GpuReader:
        """A reader of one GPU for one thread, as in ``GpuReader``. Neither blocks nor raises."""
        return GpuReader(gpu.uuid, DeviceCalls(self, gpu.uuid, clock), clock, off_ns)

    def call(self, name: str, *arguments: object) -> Any:
        """What the binding's function of that name answers. May block; raises DriverTrouble, or Stop."""
        return _call(self.named(name), *arguments)

    def named(self, name: str) -> Any:
        """A function, structure or number of the binding."""
        try:
            return getattr(pynvml, name)
        except AttributeError:
            raise DriverTrouble(Why.NOT_SUPPORTED, f"this release of the binding has no {name}") from None

    def symbol(self, name: str) -> Callable[..., int]:
        """The library's own function of that name, which answers a code."""
        try:
            function: Callable[..., int] = getattr(pynvml.nvmlLib, name)
        except AttributeError:
            raise DriverTrouble(Why.NOT_SUPPORTED, f"the driver's library has no {name}") from None
        return function

    def check(self, code: int) -> None:
        """Raises what a code of such a function means."""
        if code != _SUCCESS:
            error = pynvml.NVMLError(code)
            raise _trouble(error) from error

    def attach_again(self, generation: int, now_ns: int) -> None:
        """
        Attaches once more, unless another thread did so since *generation*. May block; raises DriverTrouble.

        While another thread tries, and for a pause after each try, it raises at once: nobody waits for a thread
        that hangs in here.
        """
        if not self._attaching.acquire(blocking=False):
            raise DriverTrouble(Why.UNINITIALIZED, "another thread attaches to the driver")
        try:
            if generation != self._generation:
                return
            if now_ns < self._attach_from_ns:
                raise DriverTrouble(Why.UNINITIALIZED, "attaching to the driver was tried a moment ago")
            self._attach_from_ns = now_ns + self._pause_ns
            self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS)
            _call(pynvml.nvmlInit)
            self._generation += 1
        finally:
            self._attaching.release()

    def answered(self) -> None:
        """A GPU answered."""
        self._denied_since_ns = None
        self._pause_ns = _FIRST_PAUSE_NS

    def denied(self, now_ns: int) -> None:
        """
        A GPU said what it says when its device may not be used.

        Raises Stop if no GPU answered for a minute: only a new container has its devices.
        """
        since_ns = self._denied_since_ns
        if since_ns is None:
            self._denied_since_ns = now_ns
        elif now_ns - since_ns >= _DENIED_NS:
            raise Stop(_DENIED_TEXT, EXIT_PERMISSION)


class _Naming:
    """Asks one GPU for its name, in a thread of its own, as it may hang."""

    def __init__(self, index: int) -> None:
        self._answer: Gpu | Stop | None = None
        self._thread = threading.Thread(target=self._ask, args=[index], name=f"naming-{index}", daemon=True)
        self._thread.start()

    def _ask(self, index: int) -> None:
        try:
            self._answer = _gpu(index)
        except DriverTrouble:
            pass
        except Stop as stop:
            self._answer = stop

    def done(self, patience_s: float) -> bool:
        """Whether it answered, now or within *patience_s*."""
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def gpu(self) -> Gpu | None:
        """The GPU; None if it can not be named. Raises the Stop that it met."""
        if isinstance(self._answer, Stop):
            raise self._answer
        return self._answer


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


def _call(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise _trouble(error) from error
    except pynvml.NVMLLibraryMismatchError as error:
        raise DriverTrouble(Why.NOT_SUPPORTED, str(error)) from error


def _trouble(error: Any) -> DriverTrouble | Stop:
    code = int(error.value)
    if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return Stop(_NO_DRIVER_TEXTS[code], EXIT_NO_DRIVER)
    if code == _SUCCESS:
        # The binding raises the success of its question for a size: there is nothing to fetch.
        return DriverTrouble(Why.NOTHING, "no rows", code)
    return DriverTrouble(_WHYS.get(code, Why.FAILED), str(error), code)
