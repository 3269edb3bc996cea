"""One GPU's part of the books: what is known of it since the last closed window."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise

from gpucost.identity import UNALLOCATED, Device, Holder, NodeId, unobserved
from gpucost.window import Interval

from gpucost_agent.ledger.closing import GpuWindow
from gpucost_agent.ledger.engines import Engines
from gpucost_agent.ledger.gpu_memory import GpuMemory
from gpucost_agent.ledger.layout import ComputeInstance, GpuInstance, Layout, joined
from gpucost_agent.ledger.occupancy import Part, Reservation
from gpucost_agent.ledger.partitions import Partitions, Period
from gpucost_agent.ledger.settle import Stretch
from gpucost_agent.ledger.stretching import GPU_LOST, NodeView, Place, Stretching, place_of
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import (
    WHOLE,
    ActivitySource,
    ActivitySpan,
    Gpu,
    GpuReading,
    Partition,
    ProcessWindow,
)

AGENT_GAP = "agent_gap"
NODE_STARTING = "node_starting"
LAYOUT_UNKNOWN = "layout_unknown"
CARRIED = "carried"


class GpuBook:
    """
    One GPU. Its life began at *life_start_ns*; this agent looks at it since *first_look_ns*.

    *known* is how it was cut before, in MIG mode: where that can not be read any more, these are its devices.
    """

    def __init__(
        self, gpu: Gpu, life_start_ns: int, first_look_ns: int, known: Partition | None = None
    ) -> None:
        self.gpu = gpu
        self.life_start_ns = life_start_ns
        self.first_look_ns = first_look_ns
        self._known = known
        self._is_unreadable = False
        self._partitions = Partitions(first_look_ns)
        self._engines = Engines(first_look_ns)
        self._contexts = GpuMemory()
        self._energy: list[tuple[int, int]] = []
        self._losses: list[Interval] = []
        self._lost_since_ns: int | None = None

    @property
    def partition(self) -> Partition:
        """How the GPU was cut when it was last seen."""
        return self._partitions.latest or self._known or WHOLE

    def add(self, reading: GpuReading, identities: Mapping[int, Process]) -> None:
        """Take in one look, and who its processes were; looks come in the order of their time."""
        at = reading.read_at.wall_ns
        if GPU_LOST in reading.troubles:
            self.lose(at)
        elif self._lost_since_ns is not None:
            self._losses.append(Interval(self._lost_since_ns, at))
            self._lost_since_ns = None
        if reading.partition is not None:
            self._recut(at, reading.partition)
        elif self._lost_since_ns is None:
            self._is_unreadable = True
        self._engines.add_spans(ActivitySource.GPM, reading.gpm)
        if reading.rate is not None:
            self._engines.add_spans(ActivitySource.RATE, [reading.rate])
        if (whole := self._engines.whole) is not None:
            if reading.ring:
                whole.add_samples(reading.ring)
            if reading.process_window is not None:
                whole.add_uses(reading.process_window, _by_process(reading.process_window, identities))
            if reading.accounting is not None:
                whole.add_accounting(reading.accounting, _by_process(reading.accounting, identities))
        if reading.processes is not None:
            self._contexts.add(at, reading.processes, identities)
        if reading.energy_uj is not None:
            self._energy.append((at, reading.energy_uj))

    def add_spans(self, source: ActivitySource, spans: Iterable[ActivitySpan]) -> None:
        """Take in what another source than the driver says of its activity."""
        self._engines.add_spans(source, spans)

    def lose(self, at_ns: int) -> None:
        """The GPU does not answer any more, until a look says otherwise."""
        if self._lost_since_ns is None:
            self._lost_since_ns = at_ns

    def window(self, node: NodeId, interval: Interval, view: NodeView) -> GpuWindow | None:
        """What has to be settled of *interval*; None if the GPU did not live in it."""
        life = interval.cut(Interval(self.life_start_ns, interval.end_ns))
        if life is None:
            return None
        layouts: list[Layout] = []
        stretching = Stretching(self._engines, self._contexts, view)
        gap = life.cut(Interval(life.start_ns, min(self.first_look_ns, life.end_ns)))
        if gap is not None and (gap_ns := stretching.length_ns(gap)):
            layouts.append(self._unwatched(gap_ns, view))
        looked_at = life.cut(Interval(self.first_look_ns, life.end_ns))
        if looked_at is not None:
            layouts += [
                self._layout(part, period, is_lost, stretching)
                for period in self._partitions.periods(looked_at)
                for part, is_lost in self._cut_by_losses(period.interval)
                if stretching.length_ns(part)
            ]
        if not layouts:
            return None
        most, energy_uj = stretching.most_held, self._energy_uj(life)
        return GpuWindow(node, self.gpu.uuid, interval.start_ns, life, joined(layouts), most, energy_uj)

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no window from *instant_ns* on needs."""
        self._partitions.forget_before(instant_ns)
        self._engines.forget_before(instant_ns)
        self._contexts.forget_before(instant_ns)
        before = [entry for entry in self._energy if entry[0] < instant_ns]
        self._energy = before[-1:] + self._energy[len(before) :]
        self._losses = [loss for loss in self._losses if loss.end_ns > instant_ns]

    def _recut(self, at_ns: int, partition: Partition) -> None:
        begin_ns = self._partitions.seen(at_ns, partition)
        if begin_ns is not None:
            self._engines.cut(begin_ns, partition)

    def _unwatched(self, length_ns: int, view: NodeView) -> Layout:
        """Time before this agent's first look: carried by who held a device before and after it."""
        before = view.before
        if before is None:
            return Layout(length_ns, (Stretch(length_ns, 0, free=unobserved(NODE_STARTING)),))

        def carried(place: Place) -> tuple[Stretch, ...]:
            device = place.device
            after = dict(view.after_gap.of(device, view.gpu_uuids).held) if view.after_gap is not None else {}
            shares = before.shares.get(device, {})
            survivors: dict[Holder, Part] = {}
            for holder, count in before.held.get(device, {}).items():
                survivor = _same(holder, after)
                if survivor is not None:
                    part = Part(count, shares.get(holder, Fraction(0)))
                    survivors[survivor] = part.at_most(after[survivor])
            held = Reservation(tuple(survivors.items()), before.replicas.get(device, 1))
            reserved, flags = held.reserved(length_ns), frozenset({CARRIED})
            free = unobserved(AGENT_GAP)
            return (Stretch(length_ns, 0, reserved, free=free, flags=flags, excess=held.excess),)

        partition = before.partitions.get(self.gpu.uuid, WHOLE)
        return _lay_out(self.gpu.uuid, length_ns, partition, carried, unobserved(AGENT_GAP))

    def _layout(self, part: Interval, period: Period, is_lost: bool, stretching: Stretching) -> Layout:
        partition = period.partition
        reason = GPU_LOST if is_lost else LAYOUT_UNKNOWN if partition is None and self._is_unknown else ""

        def stretches(place: Place) -> tuple[Stretch, ...]:
            return (stretching.unseen(part, reason),) if reason else tuple(stretching.stretches(part, place))

        # Its holders are known by the kubelet also while nobody sees how the rest is cut.
        rest_reason = reason or ("" if period.is_seen else LAYOUT_UNKNOWN)
        rest = unobserved(rest_reason) if rest_reason else UNALLOCATED
        cut = partition or self._known or WHOLE
        return _lay_out(self.gpu.uuid, stretching.length_ns(part), cut, stretches, rest)

    @property
    def _is_unknown(self) -> bool:
        """Whether a layout that nobody saw may be another than that of a whole GPU."""
        return self._is_unreadable or self._known is not None

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

    def _energy_uj(self, life: Interval) -> int | None:
        """The counter's increase over *life*, between the readings next to its ends; None if it went back."""
        start, end = _at(self._energy, life.start_ns), _at(self._energy, life.end_ns)
        return None if start is None or end is None or end < start else end - start


def _lay_out(
    gpu_uuid: str,
    length_ns: int,
    partition: Partition,
    stretches: Callable[[Place], tuple[Stretch, ...]],
    rest: Holder,
) -> Layout:
    """The layout that *partition* was for *length_ns*, with the stretches of each of its devices."""
    if not partition.mig:
        return Layout(length_ns, stretches(Place(Device(gpu_uuid))))
    instances = tuple(
        GpuInstance(
            each.gi,
            each.profile,
            each.placement,
            each.compute_slices,
            each.memory_slices,
            tuple(
                ComputeInstance(part.ci, part.compute_slices, stretches(place_of(gpu_uuid, each, part.ci)))
                for part in each.parts
            ),
        )
        for each in partition.instances
    )
    totals = partition.compute_total, partition.memory_total
    return Layout(length_ns, (), instances, *totals, rest=((length_ns, rest),), partitioned=True)


def _by_process(window: ProcessWindow, identities: Mapping[int, Process]) -> dict[Process, int]:
    busy: dict[Process, int] = {}
    for use in window.uses:
        who = identities.get(use.pid)
        busy[who] = busy.get(who, 0) + use.busy_ppm
    return busy


def _same(holder: Holder, others: Iterable[Holder]) -> Holder | None:
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
