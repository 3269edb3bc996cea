"""
A load whose duty is known, by the driver's own library alone: no compiler, no framework.

`python -m gpu.cuda DEVICE ON_MS PERIOD_MS FILE` spins on a GPU for ON_MS of each PERIOD_MS until it is told to end,
and writes when it really did, as lines of two wall-clock nanoseconds, into FILE. DEVICE is a UUID as NVML has it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

# Reads the SM's clock until it has moved far enough. It goes on while another process has its turn, so a kernel ends
# after a length of time, not of work, and how long a process wants the GPU does not depend on who else does.
_PTX = b"""
.version 6.0
.target sm_60
.address_size 64
.visible .entry spin(.param .u64 cycles)
{
    .reg .u64 %rd<4>;
    .reg .pred %p<2>;
    ld.param.u64 %rd1, [cycles];
    mov.u64 %rd2, %clock64;
LOOP:
    mov.u64 %rd3, %clock64;
    sub.u64 %rd3, %rd3, %rd2;
    setp.lt.u64 %p1, %rd3, %rd1;
    @%p1 bra LOOP;
    ret;
}
"""
_MS = 10**6


class NoCuda(Exception):
    """There is no GPU to work on, or its driver refuses."""


class Gpu:
    """A context on one GPU with the kernel in it."""

    def __init__(self, uuid: str) -> None:
        try:
            self._cuda = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise NoCuda(f"no libcuda.so.1: {error}") from error
        self._call("cuInit", 0)
        device, context, module = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), self._number(uuid))
        self._call("cuCtxCreate_v2", ctypes.byref(context), 0, device)
        self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_PTX))
        self._kernel = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(self._kernel), module, b"spin")

    def spin(self, cycles: int) -> tuple[int, int]:
        """Keep the GPU busy; from when to when."""
        argument = ctypes.c_uint64(cycles)
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
        begin_ns = time.time_ns()
        self._call("cuLaunchKernel", self._kernel, 1, 1, 1, 1, 1, 1, 0, None, arguments, None)
        self._call("cuCtxSynchronize")
        return begin_ns, time.time_ns()

    def cycles_per_ms(self) -> float:
        """How fast the clock runs, once it is at the speed of work."""
        cycles = 10**8
        for _ in range(5):
            begin_ns, end_ns = self.spin(cycles)
        return cycles * _MS / (end_ns - begin_ns)

    def _number(self, uuid: str) -> int:
        """CUDA's number of the GPU; what is visible to this process may be fewer than what NVML shows."""
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        for number in range(count.value):
            device, found = ctypes.c_int(), (ctypes.c_ubyte * 16)()
            self._call("cuDeviceGet", ctypes.byref(device), number)
            self._call("cuDeviceGetUuid", found, device)
            if bytes(found).hex() == uuid.removeprefix("GPU-").replace("-", ""):
                return number
        raise NoCuda(f"{uuid} is not among the {count.value} GPUs that CUDA shows")

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code:
            raise NoCuda(f"{name} answered {code}")


def main(uuid: str, on_ms: float, period_ms: float, file: Path) -> int:
    """Until SIGTERM; the exit code."""
    over = False

    def end(_: int, __: FrameType | None) -> None:
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, end)
    try:
        gpu = Gpu(uuid)
        cycles = round(gpu.cycles_per_ms() * on_ms)
        with file.open("w", buffering=1, encoding="ascii") as told:
            turn_ns = time.time_ns()
            while not over:
                begin_ns, end_ns = gpu.spin(cycles)
                told.write(f"{begin_ns} {end_ns}\n")
                turn_ns += round(period_ms * _MS)
                time.sleep(max(0, turn_ns - time.time_ns()) / 10**9)
    except NoCuda as trouble:
        print(trouble, file=sys.stderr)
        return 3
    sys.stdout.flush()
    os._exit(0)  # without the driver's own way down, which may take a second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])))
