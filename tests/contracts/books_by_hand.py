"""A node's books, fed by hand: readings of its GPUs and answers of its kubelet, at any instant."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from gpucost.clock import Instant
from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import Device, Holder, HolderKind, NodeId

from gpucost_agent.ledger.books import Books, ClosedWindow, Method
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import (
    Allocation,
    Boot,
    DeviceId,
    Gpu,
    GpuReading,
    HoldingReading,
    ProcessUse,
    ProcessWindow,
    RingSample,
    RunningProcess,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 490_000 * HOUR
"""An instant at which a UTC hour begins; all tests count from it."""

LATENESS = 10 * SECOND
METHOD = Method(MINUTE, 60 * SECOND, LATENESS)
PRICE = Price(3_600_000_000_007, "override", "2026-11-01")
LONG_AGO = START - 100 * HOUR
ONE, TWO, THREE = "GPU-1", "GPU-2", "GPU-3"


def a_gpu(uuid: str = ONE) -> Gpu:
    return Gpu(uuid, int(uuid[-1]), int(uuid[-1]), "NVIDIA H100", 80 << 30)


def a_pod(pod: str, uid: str = "", container: str = "main") -> Holder:
    return Holder(HolderKind.CONTAINER, "ns", pod, uid, container)


def an_instant(at_ns: int) -> Instant:
    return Instant(at_ns, at_ns - LONG_AGO)


def an_answer(
    at_ns: int, held: Mapping[str, Iterable[str]], unmapped: Iterable[str] = (), replicas: int = 0
) -> HoldingReading:
    """
    The kubelet's answer: which pods hold which GPU, by UUID.

    With *replicas* each GPU is cut into so many, and a pod's name stands once for each that it holds.
    """
    ids: dict[str, list[DeviceId]] = defaultdict(list)
    for uuid, pods in held.items():
        for number, pod in enumerate(pods):
            ids[pod].append(DeviceId("gpu", f"{uuid}::{number}", Device(uuid), number if replicas else None))
    for raw in unmapped:
        ids["stranger"].append(DeviceId("gpu", raw, None))
    allocations = tuple(Allocation("ns", pod, "main", tuple(devices)) for pod, devices in ids.items())
    allocatable = tuple(
        DeviceId("gpu", f"{uuid}::{number}", Device(uuid), number)
        for uuid in held
        for number in range(replicas)
    )
    return HoldingReading(an_instant(at_ns), allocations, allocatable)


def a_look(
    at_ns: int,
    uuid: str = ONE,
    ring: Iterable[tuple[int, int]] = (),
    uses: ProcessWindow | None = None,
    memory: Mapping[int, int] | None = None,
) -> GpuReading:
    """One look: samples as (end, busy percent), and memory by PID."""
    processes = None if memory is None else tuple(RunningProcess(pid, held) for pid, held in memory.items())
    samples = tuple(RingSample(end, percent * 10_000) for end, percent in ring)
    return GpuReading(uuid, an_instant(at_ns), samples, uses, processes, None)


def a_lost_look(at_ns: int, uuid: str = ONE) -> GpuReading:
    """The GPU fell off the bus."""
    return GpuReading(uuid, an_instant(at_ns), None, None, None, None, ("gpu_lost",))


def uses(since_ns: int, until_ns: int, percents: Mapping[int, int], samples: int = 1) -> ProcessWindow:
    """Use by PID over the samples of an interval."""
    return ProcessWindow(
        since_ns,
        until_ns,
        samples,
        tuple(ProcessUse(pid, percent * 10_000) for pid, percent in percents.items()),
    )


def new_books(
    gpus: Iterable[str] = (ONE,),
    look_ns: int = START,
    before: Checkpoint | None = None,
    boot: Boot | None = None,
    price: Price = PRICE,
) -> Books:
    """Books that begin at *look_ns*, on a node that was booted long ago unless *boot* says otherwise."""
    boot = boot or Boot("boot-1", LONG_AGO)
    books = Books(NodeId("c", "n"), METHOD, lambda _, __: price, look_ns, boot, before)
    books.see_gpus(tuple(a_gpu(uuid) for uuid in gpus), look_ns)
    return books


def watch(
    books: Books,
    uuid: str,
    from_ns: int,
    to_ns: int,
    percent: int,
    *,
    identities: Mapping[int, Process] | None = None,
) -> None:
    """A look every second from *from_ns* on, each with one sample; with *identities*, each process has it all."""
    for end in range(from_ns + SECOND, to_ns + 1, SECOND):
        window = None if identities is None else uses(end - SECOND, end, dict.fromkeys(identities, percent))
        books.read_gpu(a_look(end, uuid, [(end, percent)], window), identities or {})


def hear(books: Books, from_ns: int, to_ns: int, held: Mapping[str, Iterable[str]]) -> None:
    """The kubelet answers every second, the same."""
    held = {uuid: tuple(pods) for uuid, pods in held.items()}
    for at in range(from_ns, to_ns + 1, SECOND):
        books.read_holders(an_answer(at, held))


def close_all(books: Books, now_ns: int) -> list[ClosedWindow]:
    """Every window that is due."""
    closed = []
    while (window := books.close_next(now_ns)) is not None:
        closed.append(window)
    return closed


def charged(windows: Iterable[ClosedWindow]) -> dict[tuple[str, str], int]:
    """Charged nanoseconds by GPU and holder; a container by its pod, the others by kind or reason."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for window in windows:
        for row in window.slices:
            sums[row.key.device.gpu_uuid, name(row)] += row.time.charged_ns
    return dict(sums)


def name(row: CostSlice) -> str:
    holder = row.key.holder
    return holder.pod or holder.reason or holder.kind.value
