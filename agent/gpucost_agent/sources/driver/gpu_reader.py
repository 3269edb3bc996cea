"""One GPU, look after look: how it is partitioned, how busy it was and for whom, who holds memory."""

from collections.abc import Callable
from functools import partial

from gpucost.clock import Clock, Instant

from gpucost_agent.readings import (
    ActivitySpan,
    GpuReading,
    Partition,
    ProcessWindow,
    RingSample,
    RunningProcess,
)
from gpucost_agent.sources.driver.accounting import AccountingReader
from gpucost_agent.sources.driver.driver_calls import Calls, DriverTrouble, ListKind, RawProcess, Why
from gpucost_agent.sources.driver.driver_rows import running_processes
from gpucost_agent.sources.driver.gpm import GpmReader
from gpucost_agent.sources.driver.look import GPU_LOST, Look, What
from gpucost_agent.sources.driver.mig import PartitionReader
from gpucost_agent.sources.driver.ring import RingReader

_UJ_PER_MJ = 1_000
_PERCENT_PPM = 10_000
_RATE_NS = 1_000_000_000
"""The longest period over which a driver takes its spot reading; it says nothing of the time before."""
_EMPTY_AGAIN_NS = 5_000_000_000
"""A list that was empty is asked for so rarely: most GPUs never have a graphics process or an MPS client."""


def on_time() -> int:
    """How far a clock is ahead of the node's that is the node's."""
    return 0


class GpuReader:
    """
    Reads one GPU, for one thread; remembers what it has reported, and what the GPU does not support.

    *off_ns* tells how far *clock* is ahead of the node's own, by which the driver stamps.
    """

    def __init__(
        self, gpu_uuid: str, calls: Calls, clock: Clock, off_ns: Callable[[], int] = on_time
    ) -> None:
        self.gpu_uuid = gpu_uuid
        self._calls = calls
        self._clock = clock
        self._unsupported: dict[str, int] = {}
        self._partition = PartitionReader(calls)
        self._ring = RingReader(calls, clock, off_ns)
        self._gpm = GpmReader(calls, clock)
        self._accounting = AccountingReader(calls, clock)
        self._empty_until_ns: dict[ListKind, int] = {}
        self._rated: Instant | None = None

    def read(self) -> GpuReading:
        """
        One look. May block for ever if the driver hangs.

        Raises Stop if the library does not fit the driver any more; all else is a trouble named in the reading.
        """
        look = Look(self._clock.now(), self._unsupported)
        try:
            return self._read(look)
        except DriverTrouble:
            # Nothing of a look in which the GPU was lost stands; should it come back, that look is a first one.
            self._forget()
            self._partition.doubt()
            now = self._clock.now()
            return GpuReading(self.gpu_uuid, now, None, None, None, None, (GPU_LOST,), partition=None)

    def _read(self, look: Look) -> GpuReading:
        was_mig = self._partition.mig
        partition = self._partition.read(look)
        if self._partition.mig != was_mig:
            # What a GPU supports differs between the modes.
            self._unsupported.clear()
            self._forget()
        ring: tuple[RingSample, ...] | None = None
        window: ProcessWindow | None = None
        accounting: ProcessWindow | None = None
        if self._partition.mig:
            self._ring.forget()
        else:
            ring, window = self._ring.read(look)
            accounting = self._accounting.read(look, self._ring.period_ns)
        gpm = self._gpm.read(look, partition, self._partition.devices)
        processes = look.ask(What.PROCESSES, partial(self._processes, look))
        energy_mj = look.ask(What.ENERGY, self._calls.energy_mj)
        rate = self._rate(look, partition)
        if any(trouble.endswith(Why.STALE_HANDLE) for trouble in look.troubles):
            self._partition.doubt()
        return GpuReading(
            gpu_uuid=self.gpu_uuid,
            read_at=self._clock.now(),
            ring=ring,
            process_window=window,
            processes=processes,
            energy_uj=None if energy_mj is None else energy_mj * _UJ_PER_MJ,
            troubles=tuple(dict.fromkeys(look.troubles)),
            partition=partition,
            gpm=gpm,
            accounting=accounting,
            rate=rate,
        )

    def _forget(self) -> None:
        self._ring.forget()
        self._gpm.forget()
        self._accounting.forget()
        self._empty_until_ns.clear()
        self._rated = None

    def _processes(self, look: Look) -> tuple[RunningProcess, ...]:
        lists: dict[ListKind, list[RawProcess]] = {}
        for kind in ListKind:
            if look.began.monotonic_ns < self._empty_until_ns.get(kind, 0):
                lists[kind] = []
                continue
            try:
                rows = look.supported(kind, partial(self._list, kind))
            except DriverTrouble as trouble:
                if trouble.why is not Why.NOT_SUPPORTED:
                    raise
                continue
            lists[kind] = rows
            if not rows and kind is not ListKind.COMPUTE:
                self._empty_until_ns[kind] = look.began.monotonic_ns + _EMPTY_AGAIN_NS
        if not lists:
            raise DriverTrouble(Why.NOT_SUPPORTED, "none of the driver's lists of processes is supported")
        return running_processes(lists)

    def _list(self, kind: ListKind) -> list[RawProcess]:
        try:
            return self._calls.processes(kind)
        except DriverTrouble as trouble:
            if trouble.why is not Why.NO_PERMISSION or not self._partition.devices:
                raise
        # Only those who may see the whole GPU get the list of all instances; each instance's own may be had.
        return [
            row
            for device in self._partition.devices
            for row in self._calls.instance_processes(kind, device.gi, device.ci)
        ]

    def _rate(self, look: Look, partition: Partition | None) -> ActivitySpan | None:
        """A spot reading, only where nothing better is there."""
        better = look.may_support(What.RING) or look.may_support(What.GPM)
        before, self._rated = self._rated, look.began
        if better or partition is None or partition.mig:
            self._rated = None
            return None
        percent = look.ask(What.RATE, self._calls.rate_percent)
        if before is None or percent is None or not 0 <= percent <= 100:
            return None
        length_ns = min(_RATE_NS, look.began.monotonic_ns - before.monotonic_ns)
        until_ns = look.began.wall_ns
        return ActivitySpan(until_ns - length_ns, until_ns, busy_ppm=percent * _PERCENT_PPM)
