"""
The calls on one GPU of the real driver: driver_calls.Calls over the library that nvml.py opened.

What is asked at every look is asked with memory that is there already: the binding asks for a size first, which is
a second call into the driver each time, and makes an object of every field.
"""

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Any, TypeVar

from gpucost.clock import Clock

from gpucost_agent.sources.driver.driver_calls import (
    DriverTrouble,
    GpmSample,
    ListKind,
    RawAccount,
    RawActivity,
    RawProcess,
    RawSample,
    RawUse,
    Why,
)
from gpucost_agent.sources.driver.nvml_handle import Library
from gpucost_agent.sources.driver.nvml_partition import NOT_FOUND, PartitionCalls

T = TypeVar("T")

_INSUFFICIENT_SIZE = 7
_MOST_TRIES = 5
_UTILIZATION_SAMPLES = 1
_SAMPLE_VALUES = {kind: Struct(f"=Q{value}") for kind, value in enumerate(("d", "I4x", "Q", "Q", "q", "i4x"))}
"""How a sample's value is written, by the driver's number of its type."""
_USE = Struct("=I4xQI12x")
_PROCESS = Struct("=I4xQII")
_METRIC = Struct("=4xId24x")
_NO_MEMORY = 0xFFFF_FFFF_FFFF_FFFF
_LISTS = {
    ListKind.COMPUTE: "nvmlDeviceGetComputeRunningProcesses_v3",
    ListKind.GRAPHICS: "nvmlDeviceGetGraphicsRunningProcesses_v3",
    ListKind.MPS: "nvmlDeviceGetMPSComputeRunningProcesses_v3",
}
_METRICS = (1, 2, 5, 10)
"""GPM's numbers for what RawActivity holds."""


class _Rows:
    """Memory that the driver fills with rows; it grows when the driver says so."""

    def __init__(self, row: Struct, capacity: int) -> None:
        self._row_bytes = row.size
        self.count = ctypes.c_uint()
        self._make(capacity)

    def _make(self, capacity: int) -> None:
        self._capacity = capacity
        self.memory = (ctypes.c_ubyte * (capacity * self._row_bytes))()
        self._view = memoryview(self.memory)

    def begin(self) -> None:
        # Old drivers count rows that they do not fill; those must not be the ones of the last answer.
        ctypes.memset(self.memory, 0, len(self.memory))
        self.count.value = self._capacity

    def grow(self) -> None:
        self._make(max(self.count.value, 2 * self._capacity))

    def filled(self) -> memoryview:
        return self._view[: min(self.count.value, self._capacity) * self._row_bytes]


class _Metrics:
    """Memory for what GPM computes between two samples."""

    def __init__(self, library: Library) -> None:
        # Releases of the binding differ in how many metrics there are: only those asked for are touched.
        self._memory = library.named("c_nvmlGpmMetricsGet_t")()
        self._memory.version = library.named("NVML_GPM_METRICS_GET_VERSION")
        self._memory.numMetrics = len(_METRICS)
        for place, number in enumerate(_METRICS):
            self._memory.metrics[place].metricId = number
        self._compute, self._check = library.symbol("nvmlGpmMetricsGet"), library.check
        length = len(_METRICS) * ctypes.sizeof(library.named("c_nvmlGpmMetric_t"))
        rows = (ctypes.c_ubyte * length).from_buffer(self._memory, type(self._memory).metrics.offset)
        self._rows = memoryview(rows)

    def between(self, earlier: GpmSample, later: GpmSample) -> RawActivity:
        self._memory.sample1, self._memory.sample2 = earlier, later
        self._check(self._compute(ctypes.byref(self._memory)))
        return RawActivity(*(None if code else value for code, value in _METRIC.iter_unpack(self._rows)))


class DeviceCalls(PartitionCalls):
    """driver_calls.Calls of the real driver on one GPU, for one thread. Each may block for ever."""

    def __init__(self, library: Library, gpu_uuid: str, clock: Clock) -> None:
        super().__init__(library, gpu_uuid, clock)
        self._samples: _Rows | None = None
        self._uses = _Rows(_USE, 128)
        self._processes = _Rows(_PROCESS, 64)
        self._metrics: _Metrics | None = None

    def samples(self, since_us: int) -> list[RawSample]:
        ask = self.library.symbol("nvmlDeviceGetSamples")
        kind, since = ctypes.c_int(), ctypes.c_ulonglong(since_us)
        if self._samples is None:
            self._samples = self.on_device(lambda handle: self._room_for_samples(ask, handle))
        rows = self._samples
        filled = self._fill(
            rows,
            lambda handle: ask(
                handle,
                _UTILIZATION_SAMPLES,
                since,
                ctypes.byref(kind),
                ctypes.byref(rows.count),
                rows.memory,
            ),
        )
        if not filled:
            return []
        if kind.value not in _SAMPLE_VALUES:
            raise DriverTrouble(Why.FAILED, f"samples of the unknown value type {kind.value}")
        return [
            RawSample(stamp, int(value)) for stamp, value in _SAMPLE_VALUES[kind.value].iter_unpack(filled)
        ]

    def uses(self, since_us: int) -> list[RawUse]:
        ask = self.library.symbol("nvmlDeviceGetProcessUtilization")
        since, rows = ctypes.c_ulonglong(since_us), self._uses
        filled = self._fill(rows, lambda handle: ask(handle, rows.memory, ctypes.byref(rows.count), since))
        return list(map(RawUse._make, _USE.iter_unpack(filled)))

    def processes(self, kind: ListKind) -> list[RawProcess]:
        return self._list(kind, self.on_device)

    def instance_processes(self, kind: ListKind, gi: int, ci: int) -> list[RawProcess]:
        def on_instance(ask: Callable[[Any], T]) -> T:
            return ask(self.mig_handle(gi, ci))

        return [RawProcess(row.pid, gi, ci, row.memory_bytes) for row in self._list(kind, on_instance)]

    def energy_mj(self) -> int:
        return int(self.call("nvmlDeviceGetTotalEnergyConsumption"))

    def rate_percent(self) -> int:
        return int(self.call("nvmlDeviceGetUtilizationRates").gpu)

    def gpm_supported(self) -> bool:
        return bool(self.call("nvmlGpmQueryDeviceSupport").isSupportedDevice)

    def gpm_allocate(self) -> GpmSample:
        return self.library.call("nvmlGpmSampleAlloc")

    def gpm_free(self, sample: GpmSample) -> None:
        self.library.call("nvmlGpmSampleFree", sample)

    def gpm_sample(self, gi: int | None, sample: GpmSample) -> None:
        if gi is None:
            self.call("nvmlGpmSampleGet", sample)
        else:
            self.call("nvmlGpmMigSampleGet", gi, sample)

    def gpm_activity(self, earlier: GpmSample, later: GpmSample) -> RawActivity:
        if self._metrics is None:
            self._metrics = _Metrics(self.library)
        return self._metrics.between(earlier, later)

    def accounting_enabled(self) -> bool:
        return bool(self.call("nvmlDeviceGetAccountingMode"))

    def accounted_pids(self) -> list[int]:
        return list(map(int, self.call("nvmlDeviceGetAccountingPids")))

    def account(self, pid: int) -> RawAccount:
        stats = self.call("nvmlDeviceGetAccountingStats_v2", pid)
        return RawAccount(
            pid, int(stats.startTime), bool(stats.isRunning), int(stats.sampleCount), int(stats.sumGpuUtil)
        )

    def _room_for_samples(self, ask: Callable[..., int], handle: Any) -> _Rows:
        """As much as the ring holds: less would lose its newest."""
        kind, count = ctypes.c_int(), ctypes.c_uint()
        since = ctypes.c_ulonglong()
        code = ask(handle, _UTILIZATION_SAMPLES, since, ctypes.byref(kind), ctypes.byref(count), None)
        if code not in (_INSUFFICIENT_SIZE, NOT_FOUND):
            self.library.check(code)
        return _Rows(_SAMPLE_VALUES[1], max(128, count.value))

    def _list(self, kind: ListKind, on: Callable[[Callable[[Any], None]], None]) -> list[RawProcess]:
        ask, rows = self.library.symbol(_LISTS[kind]), self._processes
        filled = self._fill(rows, lambda handle: ask(handle, ctypes.byref(rows.count), rows.memory), on)
        return [
            RawProcess(pid, gi, ci, None if memory == _NO_MEMORY else memory)
            for pid, memory, gi, ci in _PROCESS.iter_unpack(filled)
        ]

    def _fill(
        self,
        rows: _Rows,
        ask: Callable[[Any], int],
        on: Callable[[Callable[[Any], None]], None] | None = None,
    ) -> memoryview:
        def fill(handle: Any) -> None:
            for _ in range(_MOST_TRIES):
                rows.begin()
                code = ask(handle)
                if code != _INSUFFICIENT_SIZE:
                    break
                rows.grow()
            if code == NOT_FOUND:
                rows.count.value = 0
            elif code:
                self.library.check(code)

        (on or self.on_device)(fill)
        return rows.filled()
