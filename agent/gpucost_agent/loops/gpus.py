"""The driver: one thread for each GPU, as a call that hangs holds up its own GPU only, and one that looks for more."""

from collections.abc import Callable, Collection
from typing import Protocol

from gpucost.trouble import Retry, Stop
from gpucost.units import NS_PER_SECOND

from gpucost_agent.loops.relay import Runner
from gpucost_agent.loops.room import Complaint, Room
from gpucost_agent.readings import Gpu, GpuLook, GpuReading, GpusSeen, ProcessIdentity

GPU_PERIOD_S = 1.0
"""The driver's ring holds ten seconds; a second loses nothing and sees most processes before they end."""

DRIVER_PERIOD_S = 30.0
"""GPUs are seldom plugged in; one that came back after a reset waits so long for its thread."""

_BLIND_LOOKS = 5
"""Looks in a row in which no process was found, before that is called blindness."""


class GpuSource(Protocol):
    """One GPU; ``read`` may block for ever where the driver hangs."""

    def read(self) -> GpuReading:
        """A look. Raises Retry where it may work later, Stop where it never will."""
        ...


class ProcessSource(Protocol):
    """Host processes; does not block."""

    def identify(self, pid: int) -> ProcessIdentity | None:
        """Who a process is; None if that can not be found out."""
        ...

    def blindness(self, pids: Collection[int]) -> str | None:
        """Why none of *pids*, which the driver names, can be found, in words; None if one can."""
        ...


class Sight:
    """Says when the host's processes can not be named at all; one that just ended is no sign of that."""

    def __init__(self, room: Room, processes: ProcessSource) -> None:
        self._complaint = Complaint(room, "host_processes")
        self._processes = processes
        self._blind_looks = 0

    def look(self, pids: Collection[int]) -> None:
        """The driver names *pids* as running now."""
        blindness = self._processes.blindness(pids) if pids else None
        if blindness is None:
            self._blind_looks = 0
            if pids:
                self._complaint.works()
            return
        self._blind_looks += 1
        if self._blind_looks >= _BLIND_LOOKS:
            self._complaint.failing(f"{blindness}; use on shared GPUs is told by memory, or not at all")

    def works(self) -> None:
        """A process of the driver's was found."""
        self._blind_looks = 0
        self._complaint.works()


def watch_gpu(room: Room, gpu: Gpu, source: GpuSource, processes: ProcessSource, place: Runner) -> None:
    """Thread of one GPU: its readings, with its processes identified while they still live."""
    complaint, sight = Complaint(room, f"nvml:{gpu.uuid}"), Sight(room, processes)
    while True:
        try:
            reading = source.read()
            identities = _take(room, gpu, reading, processes)
            running = {process.pid for process in reading.processes or ()}
            if any(identities[pid] is not None for pid in running):
                sight.works()
            else:
                sight.look(running)
        except Retry as trouble:
            complaint.failing(str(trouble))
        except Stop as trouble:
            room.fail(trouble)
            return
        else:
            complaint.works()
        place.done()
        if place.wait(room, GPU_PERIOD_S):
            return


def _take(
    room: Room, gpu: Gpu, reading: GpuReading, processes: ProcessSource
) -> dict[int, ProcessIdentity | None]:
    """Into the books; who its processes are."""
    for name in reading.troubles:
        room.metrics.troubles.labels("nvml", name).inc()
    identities = {pid: processes.identify(pid) for pid in reading.pids()}
    room.last_read_ns[gpu.uuid] = reading.read_at.monotonic_ns
    room.metrics.last_read.labels(gpu.uuid).set(reading.read_at.wall_ns / NS_PER_SECOND)
    room.take(GpuLook(reading, identities))
    return identities


def watch_driver(room: Room, gpus: Callable[[], tuple[Gpu, ...]], start: Callable[[Gpu], None]) -> None:
    """Thread that looks for GPUs that were plugged in or came back; *start* gives each a thread of its own."""
    complaint = Complaint(room, "driver")
    known = {gpu.uuid for gpu in room.books.gpus() if gpu.index >= 0}
    while not room.wait(DRIVER_PERIOD_S):
        try:
            found = gpus()
        except Retry as trouble:
            complaint.failing(str(trouble))
            continue
        except Stop as trouble:
            room.fail(trouble)
            return
        complaint.works()
        new = [gpu for gpu in found if gpu.uuid not in known]
        # All of them, as the driver counts them anew when one comes or goes.
        room.take(GpusSeen(found, room.clock.now().wall_ns))
        for gpu in new:
            room.log.info("gpu_found", gpu_uuid=gpu.uuid, model=gpu.model)
            known.add(gpu.uuid)
            start(gpu)
