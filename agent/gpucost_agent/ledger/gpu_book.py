"""One GPU's part of the books: what is known of it since the last closed window."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise

from gpucost.identity import UNALLOCATED, Device, Holder, NodeId, unobserved
from gpucost.window import Interval

from gpucost_agent.ledger.activity import Activity
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.clock_steps import ClockSteps
from gpucost_agent.ledger.closing import GpuWindow
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.holdings import KUBELET_AWAY, UNMAPPED, Held, Holdings
from gpucost_agent.ledger.layout import Layout
from gpucost_agent.ledger.settle import Stretch, reserve_replicas
from gpucost_agent.ledger.usage import Holders, Process, usage
from gpucost_agent.readings import Gpu, GpuReading

AGENT_GAP = "agent_gap"
NODE_STARTING = "node_starting"
CARRIED = "carried"

GPU_LOST = "gpu_lost"
"""A reading's trouble, and the reason of the time until the GPU is back."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a GPU's book asks of its node: who is who, who held what, which GPUs, what was before, which time was."""

    directory: Directory
    holdings: Holdings
    gpu_uuids: tuple[str, ...]
    before: Checkpoint | None
    clock: ClockSteps


@dataclass(frozen=True, slots=True)
class _Reservation:
    """Who holds the GPU for a while; equal ones that follow each other are one stretch."""

    held: tuple[tuple[Holder, int], ...]
    replicas: int
    free: Holder


class GpuBook:
    """
    One GPU. Its life began at *life_start_ns*; this agent looks at it since *first_look_ns*.
    """

    def __init__(self, gpu: Gpu, life_start_ns: int, first_look_ns: int) -> None:
        self.gpu = gpu
        self.life_start_ns = life_start_ns
        self.first_look_ns = first_look_ns
        self._device = Device(gpu.uuid)
        self._activity: Activity[Process] = Activity(first_look_ns)
        self._memory: list[tuple[int, Mapping[Process, int]]] = []
        self._energy: list[tuple[int, int]] = []
        self._losses: list[Interval] = []
        self._lost_since_ns: int | None = None

    def add(self, reading: GpuReading, identities: Mapping[int, Process]) -> None:
        """Take in one look, and who its processes were; looks come in the order of their time."""
        at = reading.read_at.wall_ns
        if GPU_LOST in reading.troubles:
            self.lose(at)
        elif self._lost_since_ns is not None:
            self._losses.append(Interval(self._lost_since_ns, at))
            self._lost_since_ns = None
        if reading.ring:
            self._activity.add_samples(reading.ring)
        if (window := reading.process_window) is not None:
            busy: dict[Process, int] = {}
            for use in window.uses:
                who = identities.get(use.pid)
                busy[who] = busy.get(who, 0) + use.busy_ppm
            self._activity.add_uses(window, busy)
        if reading.processes is not None:
            held: dict[Process, int] = {}
            for process in reading.processes:
                if process.memory_bytes is not None:
                    who = identities.get(process.pid)
                    held[who] = held.get(who, 0) + process.memory_bytes
            self._memory.append((at, held))
        if reading.energy_uj is not None:
            self._energy.append((at, reading.energy_uj))

    def lose(self, at_ns: int) -> None:
        """The GPU does not answer any more, until a look says otherwise."""
        if self._lost_since_ns is None:
            self._lost_since_ns = at_ns

    def window(self, node: NodeId, interval: Interval, view: NodeView) -> GpuWindow | None:
        """What has to be settled of *interval*; None if the GPU did not live in it."""
        life = interval.cut(Interval(self.life_start_ns, interval.end_ns))
        if life is None:
            return None
        stretches: list[Stretch] = []
        memory: dict[Holder, int] = {}
        looked_at = life.cut(Interval(self.first_look_ns, life.end_ns))
        if gap := life.cut(Interval(life.start_ns, min(self.first_look_ns, life.end_ns))):
            stretches.append(self._unwatched(gap, view))
        if looked_at is not None:
            for part, reservation in self._reservations(looked_at, view):
                for real in view.clock.real(part):
                    stretch, held = self._stretch(real, reservation, view.directory)
                    stretches.append(stretch)
                    for holder, held_bytes in held.items():
                        memory[holder] = max(memory.get(holder, 0), held_bytes)
                if again_ns := view.clock.again_ns(part):
                    stretches.append(_unseen(again_ns, reservation))
        length_ns = sum(stretch.length_ns for stretch in stretches)
        if not length_ns:
            return None
        return GpuWindow(
            node,
            self.gpu.uuid,
            interval.start_ns,
            life,
            (Layout(length_ns, tuple(stretches)),),
            {(self._device, holder): held_bytes for holder, held_bytes in memory.items()},
            self._energy_uj(life),
        )

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no window from *instant_ns* on needs."""
        self._activity.forget_before(instant_ns)
        self._memory = [entry for entry in self._memory if entry[0] >= instant_ns]
        before = [entry for entry in self._energy if entry[0] < instant_ns]
        self._energy = before[-1:] + self._energy[len(before) :]
        self._losses = [loss for loss in self._losses if loss.end_ns > instant_ns]

    def _unwatched(self, gap: Interval, view: NodeView) -> Stretch:
        """Time before this agent's first look: carried by who held the GPU before and after it."""
        before = view.before
        if before is None:
            return Stretch(gap.length_ns, 0, free=unobserved(NODE_STARTING))
        first = next(iter(view.holdings.periods(Interval(self.first_look_ns, self.first_look_ns + 1))))
        after = self._holders(first.held, self.first_look_ns, view.directory) if first.held else {}
        survivors: dict[Holder, int] = {}
        for holder, count in before.held.get(self._device, {}).items():
            survivor = _same(holder, after)
            if survivor is not None:
                survivors[survivor] = min(count, after[survivor])
        replicas = before.replicas.get(self._device, 1)
        return Stretch(
            gap.length_ns,
            0,
            reserve_replicas(gap.length_ns, replicas, survivors),
            free=unobserved(AGENT_GAP),
            flags=frozenset({CARRIED}),
        )

    def _reservations(self, interval: Interval, view: NodeView) -> Iterator[tuple[Interval, _Reservation]]:
        lost = _Reservation((), 1, unobserved(GPU_LOST))
        periods = [
            (part, lost if is_lost else self._reservation(period.held, part.start_ns, view))
            for period in view.holdings.periods(interval)
            for part, is_lost in self._cut_by_losses(period.interval)
        ]
        for reservation, group in groupby(periods, key=lambda period: period[1]):
            parts = [part for part, _ in group]
            yield Interval(parts[0].start_ns, parts[-1].end_ns), reservation

    def _cut_by_losses(self, interval: Interval) -> Iterator[tuple[Interval, bool]]:
        """*interval* in parts, each with whether the GPU was lost in it."""
        losses = list(self._losses)
        if self._lost_since_ns is not None:
            losses.append(Interval(self._lost_since_ns, max(self._lost_since_ns, interval.end_ns)))
        done_ns = interval.start_ns
        for loss in losses:
            part = loss.cut(Interval(done_ns, interval.end_ns))
            if part is None:
                continue
            if done_ns < part.start_ns:
                yield Interval(done_ns, part.start_ns), False
            yield part, True
            done_ns = part.end_ns
        if done_ns < interval.end_ns:
            yield Interval(done_ns, interval.end_ns), False

    def _reservation(self, held: Held | None, at_ns: int, view: NodeView) -> _Reservation:
        if held is None:
            return _Reservation((), 1, unobserved(KUBELET_AWAY))
        holders = self._holders(held, at_ns, view.directory)
        free = UNALLOCATED
        if not holders and held.unmapped:
            # One of the free GPUs is the one that an unmapped id means; nobody knows which.
            free_gpus = [uuid for uuid in view.gpu_uuids if not held.by_device.get(Device(uuid))]
            if self.gpu.uuid in free_gpus[: len(held.unmapped)]:
                free = unobserved(UNMAPPED)
        ordered = tuple(sorted(holders.items(), key=lambda entry: entry[0].order))
        return _Reservation(ordered, held.replicas.get(self._device, 1), free)

    def _holders(self, held: Held, at_ns: int, directory: Directory) -> dict[Holder, int]:
        holders: dict[Holder, int] = {}
        for name, count in held.by_device.get(self._device, {}).items():
            holder = directory.holder(name, at_ns)
            holders[holder] = holders.get(holder, 0) + count
        return holders

    def _stretch(
        self, part: Interval, reservation: _Reservation, directory: Directory
    ) -> tuple[Stretch, dict[Holder, int]]:
        if reservation.free.reason == GPU_LOST:
            return Stretch(part.length_ns, 0, free=reservation.free), {}
        held = dict(reservation.held)
        memory = self._memory_by_holder(part, tuple(held), directory)
        alone = next(iter(held)) if len(held) == 1 and reservation.replicas == 1 else None
        seen = usage(
            self._activity,
            part,
            Holders(tuple(held), alone, lambda process: directory.owner(process, held), memory),
        )
        stretch = Stretch(
            part.length_ns,
            seen.watched_ns,
            reserve_replicas(part.length_ns, reservation.replicas, held),
            seen.used,
            free=reservation.free,
            method=seen.method,
            samples=seen.samples,
        )
        return stretch, memory

    def _memory_by_holder(
        self, part: Interval, holders: tuple[Holder, ...], directory: Directory
    ) -> dict[Holder, int]:
        most: dict[Holder, int] = {}
        for at, by_process in self._memory:
            if not part.start_ns <= at < part.end_ns:
                continue
            sums: dict[Holder, int] = {}
            for process, held_bytes in by_process.items():
                if process is not None:
                    owner = directory.owner(process, holders)
                    sums[owner] = sums.get(owner, 0) + held_bytes
            for owner, held_bytes in sums.items():
                most[owner] = max(most.get(owner, 0), held_bytes)
        return most

    def _energy_uj(self, life: Interval) -> int | None:
        """The counter's increase over *life*, between the readings next to its ends; None if it went back."""
        start, end = _at(self._energy, life.start_ns), _at(self._energy, life.end_ns)
        return None if start is None or end is None or end < start else end - start


def _unseen(length_ns: int, reservation: _Reservation) -> Stretch:
    """Time of which the driver's stamps say nothing, as they had been given before."""
    held = reserve_replicas(length_ns, reservation.replicas, dict(reservation.held))
    return Stretch(length_ns, 0, held, free=reservation.free)


def _same(holder: Holder, others: Mapping[Holder, int]) -> Holder | None:
    """*holder* among *others*, also where one of the two was written before its UID was known."""
    for other in others:
        names = (other.namespace, other.pod, other.container)
        if names == (holder.namespace, holder.pod, holder.container) and (
            other.pod_uid == holder.pod_uid or not (other.pod_uid and holder.pod_uid)
        ):
            return other
    return None


def _at(counter: list[tuple[int, int]], instant_ns: int) -> int | None:
    """The counter at *instant_ns*, on the line between the readings around it."""
    for (earlier_ns, earlier), (later_ns, later) in pairwise(counter):
        if earlier_ns <= instant_ns <= later_ns and later_ns > earlier_ns:
            return earlier + (later - earlier) * (instant_ns - earlier_ns) // (later_ns - earlier_ns)
    return None
