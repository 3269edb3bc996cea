"""The agent's own sources and ledger, as they are measured here: the only file that knows them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

from gpucost.cost_slice import Price
from gpucost.identity import NodeId
from gpucost.system_clock import SystemClock
from gpucost.trouble import Retry, Stop

from gpucost_agent.ledger.books import Books, Method
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.readings import Boot, Gpu, GpuReading, HoldingReading, ProcessIdentity
from gpucost_agent.sources.driver.driver_calls import DriverTrouble, ListKind, RawSample, RawUse
from gpucost_agent.sources.driver.nvml import open_driver
from gpucost_agent.sources.driver.nvml_calls import DeviceCalls

_NS = 10**9
_REPEATS = 1_000


class NoGpu(Exception):
    """There is no driver, or no GPU, in words for a person."""


class Bench:
    """One GPU, read as an agent reads it."""

    def __init__(self, index: int) -> None:
        try:
            self._driver = open_driver()
            gpus = self._driver.gpus()
        except (Retry, Stop) as trouble:
            raise NoGpu(str(trouble)) from trouble
        if index >= len(gpus):
            raise NoGpu(f"there are {len(gpus)} GPUs, and none has the number {index}")
        self.gpu: Gpu = gpus[index]
        self.clock = SystemClock()
        self.calls = self.new_calls()
        self._reader = self._driver.reader(self.gpu, self.clock)
        self._books: Books | None = None

    @property
    def version(self) -> str:
        return self._driver.version()

    def new_calls(self) -> DeviceCalls:
        return DeviceCalls(self._driver, self.gpu.uuid, self.clock)

    def is_mig(self) -> bool:
        return bool(self._or_none(self.calls.mig_mode))

    def samples(self, since_us: int) -> list[RawSample]:
        """Sorted."""
        return sorted(self.calls.samples(since_us))

    def uses(self, since_us: int) -> list[RawUse]:
        return self.calls.uses(since_us)

    def running(self) -> set[int]:
        """The PIDs in the driver's list of compute processes."""
        return {process.pid for process in self.calls.processes(ListKind.COMPUTE)}

    def begin(self) -> None:
        """Open books: from now on nobody is in Kubernetes, so each process is a holder of its own."""
        now = self.clock.now()
        self._books = Books(
            NodeId("bench", "bench"),
            Method(60 * _NS, 0, 0),
            lambda *_: Price(),
            now.wall_ns,
            Boot("", now.wall_ns - now.monotonic_ns),
            None,
            Directory(stand_alone=True),
        )
        self._books.see_gpus((self.gpu,), now.wall_ns)
        self._reader.read()

    def look(self) -> GpuReading:
        """One look, into the books."""
        assert self._books is not None
        reading = self._reader.read()
        named = {process.pid for process in reading.processes or ()}
        for window in (reading.process_window, reading.accounting):
            named |= {use.pid for use in window.uses} if window is not None else set()
        identities = {pid: ProcessIdentity(pid, 1, command="load") for pid in named}
        self._books.read_gpu(reading, identities)
        self._books.read_holders(HoldingReading(self.clock.now(), (), None))
        self._books.tick(self.clock.now())
        return reading

    def end(self, at_ns: int) -> tuple[dict[int, int], int, str]:
        """Close the books at an instant: used nanoseconds by PID, what was watched, and how it was told."""
        assert self._books is not None
        used: dict[int, int] = {}
        watched, methods = 0, set()
        for closed in self._books.close_short(at_ns):
            for row in closed.slices:
                if row.key.holder.pod.isdecimal():
                    pid = int(row.key.holder.pod)
                    used[pid] = used.get(pid, 0) + row.time.used_ns
                    methods.add(row.evidence.method)
                watched += row.time.used_ns + row.time.idle_ns
        return used, watched, ", ".join(sorted(methods))

    def costs_us(self) -> dict[str, float | None]:
        """The median of a thousand calls each, in microseconds; None where the GPU does not answer."""
        since_us = time.time_ns() // 1000 - 1_000_000
        calls = self.calls
        asked: dict[str, Callable[[], object]] = {
            "samples": lambda: calls.samples(since_us),
            "process_utilization": lambda: calls.uses(since_us),
            "compute_processes": lambda: calls.processes(ListKind.COMPUTE),
            "graphics_processes": lambda: calls.processes(ListKind.GRAPHICS),
            "energy": calls.energy_mj,
            "utilization_rates": calls.rate_percent,
            "mig_mode": calls.mig_mode,
            "accounting_mode": calls.accounting_enabled,
        }
        if self._or_none(calls.gpm_supported):
            one, other = calls.gpm_allocate(), calls.gpm_allocate()
            asked["gpm_sample"] = lambda: calls.gpm_sample(None, one)
            with suppress(DriverTrouble):
                calls.gpm_sample(None, one)
                time.sleep(0.2)
                calls.gpm_sample(None, other)
                asked["gpm_metrics"] = lambda: calls.gpm_activity(one, other)
        asked["whole_look"] = self._reader.read
        return {name: _cost_us(call) for name, call in asked.items()}

    def probes(self) -> dict[str, int | None]:
        """What the driver answers, by its own codes, where it is asked for a size only."""
        count, kind, since = ctypes.c_uint(0), ctypes.c_int(), ctypes.c_ulonglong(0)
        by, handle = ctypes.byref, self.calls.current_handle()
        asked: dict[str, tuple[Any, ...]] = {
            "nvmlDeviceGetSamples": (1, since, by(kind), by(count), None),
            "nvmlDeviceGetProcessUtilization": (None, by(count), since),
            "nvmlDeviceGetComputeRunningProcesses_v3": (by(count), None),
            "nvmlDeviceGetGraphicsRunningProcesses_v3": (by(count), None),
            "nvmlDeviceGetMPSComputeRunningProcesses_v3": (by(count), None),
        }
        found: dict[str, int | None] = {}
        for name, arguments in asked.items():
            count.value = 0
            function = self._or_none(lambda name=name: self._driver.symbol(name))  # type: ignore[misc]
            found[name] = None if function is None else int(function(handle, *arguments))
        return found

    def accounted_centi(self, pids: Mapping[int, int]) -> dict[int, tuple[int, int]] | None:
        """Samples and the sum of their loads by accounting, for each PID; None where it is switched off."""
        if not self._or_none(self.calls.accounting_enabled):
            return None
        found = {}
        for pid in pids.values():
            account = self._or_none(lambda pid=pid: self.calls.account(pid))  # type: ignore[misc]
            if account is not None:
                found[pid] = (account.sample_count, account.centi_sum)
        return found

    def _or_none(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except DriverTrouble:
            return None


def _cost_us(call: Callable[[], object]) -> float | None:
    spent = []
    for _ in range(_REPEATS):
        began = time.perf_counter_ns()
        try:
            call()
        except DriverTrouble:
            return None
        spent.append(time.perf_counter_ns() - began)
    return round(median(spent) / 1000, 1)
