"""A node's books, fed by hand: readings of its GPUs and answers of its kubelet, at any instant."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gpucost.clock import Instant
from gpucost.cost_slice import CostSlice, Price, breaches
from gpucost.identity import REMAINDER, Device, Holder, HolderKind, NodeId

from gpucost_agent.ledger.books import Books, ClosedWindow, Method
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import (
    WHOLE,
    ActivitySpan,
    Allocation,
    Boot,
    ClusterReading,
    ComputeInstance,
    DeviceId,
    Gpu,
    GpuFraction,
    GpuInstance,
    GpuReading,
    HoldingReading,
    Node,
    Partition,
    Pod,
    PodContainer,
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
ByDevice = Mapping[Any, Iterable[str]]
"""Pods by what they hold: a GPU by its UUID, or a device."""


def a_gpu(uuid: str = ONE) -> Gpu:
    return Gpu(uuid, int(uuid[-1]), int(uuid[-1]), "NVIDIA H100", 80 << 30)


def a_pod(pod: str, uid: str = "", container: str = "main") -> Holder:
    return Holder(HolderKind.CONTAINER, "ns", pod, uid, container)


def an_instant(at_ns: int) -> Instant:
    return Instant(at_ns, at_ns - LONG_AGO)


def an_answer(
    at_ns: int,
    held: ByDevice,
    unmapped: Iterable[str] = (),
    replicas: int = 0,
    *,
    unlisted: Collection[str] = (),
    changed_at_ns: int | None = None,
    healthy: int | None = None,
) -> HoldingReading:
    """
    The kubelet's answer: which pods, or POD/CONTAINERs, hold which device; a GPU is one by its UUID.

    With *replicas* each device is cut into so many, and a pod's name stands once for each that it holds; *healthy*
    is how many of them can be given. *unlisted* are init containers, of which only the kubelet's file tells.
    """
    devices = {key: key if isinstance(key, Device) else Device(key) for key in held}
    ids: dict[str, list[DeviceId]] = defaultdict(list)
    for key, pods in held.items():
        for number, pod in enumerate(pods):
            replica = number if replicas else None
            ids[pod].append(DeviceId("gpu", f"{short(devices[key])}::{number}", devices[key], replica))
    for raw in unmapped:
        ids["stranger"].append(DeviceId("gpu", raw, None))
    allocations = []
    for full, given in ids.items():
        pod, _, container = full.partition("/")
        allocations.append(
            Allocation("ns", pod, container or "main", tuple(given), listed=full not in unlisted)
        )
    allocatable = tuple(
        DeviceId("gpu", f"{short(device)}::{number}", device, number)
        for device in devices.values()
        for number in range(replicas if healthy is None else healthy)
    )
    return HoldingReading(an_instant(at_ns), tuple(allocations), allocatable, changed_at_ns)


def a_look(
    at_ns: int,
    uuid: str = ONE,
    ring: Iterable[tuple[int, int]] = (),
    uses: ProcessWindow | None = None,
    memory: Mapping[int, int] | None = None,
    *,
    partition: Partition | None = WHOLE,
    gpm: Iterable[ActivitySpan] = (),
    accounting: ProcessWindow | None = None,
    rate: ActivitySpan | None = None,
    processes: Iterable[RunningProcess] | None = None,
    energy_uj: int | None = None,
) -> GpuReading:
    """One look: samples as (end, busy percent), and memory by PID."""
    if memory is not None:
        processes = tuple(RunningProcess(pid, held) for pid, held in memory.items())
    return GpuReading(
        uuid,
        an_instant(at_ns),
        tuple(RingSample(end, percent * 10_000) for end, percent in ring),
        uses,
        None if processes is None else tuple(processes),
        energy_uj,
        partition=partition,
        gpm=tuple(gpm),
        accounting=accounting,
        rate=rate,
    )


def a_lost_look(at_ns: int, uuid: str = ONE) -> GpuReading:
    """The GPU fell off the bus."""
    return GpuReading(uuid, an_instant(at_ns), None, None, None, None, ("gpu_lost",), partition=None)


def an_instance(
    gi: int,
    profile: str = "1g.6gb",
    placement: int = 0,
    slices: int = 1,
    *,
    parts: Iterable[int] | None = None,
    made: str = "",
) -> GpuInstance:
    """
    A GPU instance of as many compute as memory slices, with compute instances of so many compute slices each.

    One that was *made* otherwise has other UUIDs.
    """
    inside = (slices,) if parts is None else tuple(parts)
    return GpuInstance(
        gi,
        profile,
        placement,
        slices,
        slices,
        tuple(ComputeInstance(ci, f"MIG-{gi}-{ci}{made}", part) for ci, part in enumerate(inside)),
    )


def cut_into(*instances: GpuInstance, total: int = 4) -> Partition:
    """A GPU in MIG mode; with the four slices of an A30 its parts are quarters."""
    return Partition(True, instances, total, total)


def device_of(instance: GpuInstance, ci: int | None = 0, uuid: str = ONE) -> Device:
    """A compute instance; the rest of its GPU instance without *ci*."""
    return Device(uuid, instance.gi, ci, instance.profile, instance.placement)


def a_span(
    since_ns: int, until_ns: int, percent: int | None, gi: int | None = None, sm_percent: int | None = None
) -> ActivitySpan:
    """What a source says of an interval."""
    return ActivitySpan(
        since_ns,
        until_ns,
        gi,
        None if percent is None else percent * 10_000,
        None if sm_percent is None else sm_percent * 10_000,
    )


def a_container(
    name: str = "main", *, init: bool = False, started_ns: int | None = None, finished_ns: int | None = None
) -> PodContainer:
    """A container as the API server tells it; its id is id-NAME."""
    return PodContainer(name, f"id-{name}", started_ns, finished_ns, init)


def an_object(
    name: str,
    *containers: PodContainer,
    uid: str = "",
    phase: str = "Running",
    fractions: Iterable[GpuFraction] = (),
    reserves: str = "",
    gone_ns: int | None = None,
) -> Pod:
    """A pod's object; its UID is uid-NAME if it is not told."""
    return Pod(
        "ns", name, uid or f"uid-{name}", phase, {}, {}, "", "", containers or (a_container(),), gone_ns,
        tuple(fractions), reserves,
    )  # fmt: skip


def learn(books: Books, at_ns: int, *pods: Pod, labels: Mapping[str, str] | None = None) -> None:
    """The API server's answer."""
    node = None if labels is None else Node("n", labels)
    books.directory.learn(ClusterReading(an_instant(at_ns), "cluster-uid", node, pods))


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


def hear(
    books: Books,
    from_ns: int,
    to_ns: int,
    held: ByDevice,
    *,
    replicas: int = 0,
    unlisted: Collection[str] = (),
    unmapped: Iterable[str] = (),
) -> None:
    """The kubelet answers every second, the same."""
    held = {device: tuple(pods) for device, pods in held.items()}
    for at in range(from_ns, to_ns + 1, SECOND):
        books.read_holders(an_answer(at, held, tuple(unmapped), replicas, unlisted=unlisted))


def look_on(books: Books, from_ns: int, to_ns: int, partition: Partition | None, **percent: int) -> None:
    """A look every second after *from_ns*: the partition, and GPM of its instances as gi1=50 for instance 1."""
    for end in range(from_ns + SECOND, to_ns + 1, SECOND):
        spans = [a_span(end - SECOND, end, busy, int(gi.removeprefix("gi"))) for gi, busy in percent.items()]
        books.read_gpu(a_look(end, partition=partition, gpm=spans), {})


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


def short(device: Device) -> str:
    """A device in a few letters: GPU-1, 2/0 for a compute instance, 2/- for a rest inside, rest for the remainder."""
    if device.is_whole:
        return device.gpu_uuid
    if device.profile == REMAINDER:
        return "rest"
    return f"{device.gi}/{'-' if device.ci is None else device.ci}"


Bill = dict[tuple[str, str], tuple[float, float, float, float]]


def bill(windows: Iterable[ClosedWindow]) -> Bill:
    """Reserved, used, idle and unmeasured seconds of a GPU by device and holder; and no law is broken."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    for window in windows:
        assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []
        assert [words for row in window.slices for words in breaches(row)] == []
        for row in window.slices:
            container = row.key.holder.container
            who = name(row) if container in ("", "main") else f"{name(row)}/{container}"
            time = row.time
            for place, ns in enumerate((time.reserved_ns, time.used_ns, time.idle_ns, time.unmeasured_ns)):
                sums[short(row.key.device), who][place] += ns
    return {
        key: (reserved / SECOND, used / SECOND, idle / SECOND, unmeasured / SECOND)
        for key, (reserved, used, idle, unmeasured) in sums.items()
    }


def row_of(windows: Iterable[ClosedWindow], device: str, holder: str) -> CostSlice:
    """The one slice of a holder on a device, in short names."""
    (row,) = [
        row
        for window in windows
        for row in window.slices
        if (short(row.key.device), name(row)) == (device, holder)
    ]
    return row
