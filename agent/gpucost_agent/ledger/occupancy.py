"""
Who held what on a node, and when: the kubelet's answers, with what the API server knows that they leave out.

The kubelet's list leaves out ordinary init containers, which hold devices that others of their pod get after them;
old kubelets list finished pods with their devices; schedulers of fractions write who got what into annotations.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from gpucost.identity import UNALLOCATED, Device, Holder, unobserved
from gpucost.window import Interval

from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.holdings import CLAIMS_HIDDEN, KUBELET_AWAY, UNMAPPED, ContainerName, Held, Holdings
from gpucost_agent.ledger.pod_lives import PodLife
from gpucost_agent.ledger.settle import OVERLAPPING, OVERSUBSCRIBED, reserve_replicas
from gpucost_agent.readings import PPM, Gpu, GpuFraction


@dataclass(frozen=True, slots=True)
class Part:
    """What a container holds of a device: so many of its replicas, or a share that a scheduler gave it."""

    replicas: int = 0
    share: Fraction = Fraction(0)

    def __add__(self, other: "Part") -> "Part":
        return Part(self.replicas + other.replicas, self.share + other.share)

    def at_most(self, other: "Part") -> "Part":
        """This, but no more replicas, and no larger a share, than *other* has if it has any."""
        return Part(
            min(self.replicas, other.replicas or self.replicas), min(self.share, other.share or self.share)
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Who holds a device for a while, into how many replicas it is cut, and who answers for what is free."""

    held: tuple[tuple[Holder, Part], ...] = ()
    replicas: int = 1
    free: Holder = UNALLOCATED

    @property
    def alone(self) -> Holder | None:
        """Who holds the whole device by itself."""
        if len(self.held) != 1:
            return None
        holder, part = self.held[0]
        return holder if part.replicas >= self.replicas or part.share >= 1 else None

    @property
    def excess(self) -> str:
        """What it is called where more is reserved than there is."""
        return OVERLAPPING if any(part.share for _, part in self.held) else OVERSUBSCRIBED

    def reserved(self, length_ns: int) -> dict[Holder, int]:
        """What each holder blocks of a stretch of *length_ns*."""
        replicas = {holder: part.replicas for holder, part in self.held if part.replicas}
        reserved = reserve_replicas(length_ns, self.replicas, replicas)
        for holder, part in self.held:
            if part.share:
                reserved[holder] = reserved.get(holder, 0) + int(length_ns * part.share)
        return reserved

    def limits(self) -> dict[Holder, Fraction]:
        """The part of a device that MPS lets each holder use: its part of the replicas."""
        return {
            holder: min(Fraction(1), Fraction(part.replicas, self.replicas)) if part.replicas else part.share
            for holder, part in self.held
        }


@dataclass(frozen=True, slots=True)
class Occupancy:
    """
    Who held what in *interval*; None where nobody can say. *unmapped* are ids of no known device.

    *claims_hidden*: any device that looks free may be held.
    """

    interval: Interval
    by_device: Mapping[Device, Mapping[Holder, Part]] | None
    replicas: Mapping[Device, int] = field(default_factory=dict)
    unmapped: int = 0
    claims_hidden: bool = False

    def cut(self, interval: Interval) -> "Occupancy | None":
        """The same for the part of *interval* that lies in it; None where none does."""
        part = self.interval.cut(interval)
        return replace(self, interval=part) if part is not None else None

    def of(self, device: Device, gpu_uuids: tuple[str, ...]) -> Reservation:
        """The reservation of *device*, on a node with these GPUs."""
        if self.by_device is None:
            return Reservation(free=unobserved(KUBELET_AWAY))
        held = self.by_device.get(device, {})
        free = UNALLOCATED
        if not held and self.claims_hidden:
            free = unobserved(CLAIMS_HIDDEN)
        elif not held and self.unmapped:
            # One of the free GPUs is the one that an unmapped id means; nobody knows which.
            taken = {each.gpu_uuid for each in self.by_device}
            free_gpus = [uuid for uuid in gpu_uuids if uuid not in taken]
            if device.gpu_uuid in free_gpus[: self.unmapped]:
                free = unobserved(UNMAPPED)
        ordered = tuple(sorted(held.items(), key=lambda entry: entry[0].order))
        return Reservation(ordered, self.replicas.get(device, 1), free)


@dataclass(frozen=True, slots=True)
class Occupants:
    """
    What tells who held what.

    *fractions*: annotations of schedulers of fractions count. *label_replicas* is what the node's label says of
    shared GPUs, for where the kubelet lists fewer because some are unhealthy.
    """

    holdings: Holdings
    directory: Directory
    gpus: tuple[Gpu, ...]
    fractions: bool = True
    label_replicas: int | None = None

    def periods(self, interval: Interval) -> Iterator[Occupancy]:
        """*interval* cut wherever it changes who holds what, oldest first."""
        for period in self.holdings.periods(interval):
            if period.held is None:
                yield Occupancy(period.interval, None)
                continue
            for part in _cut(period.interval, self._instants(period.held)):
                yield self._at(period.held, part)

    def at(self, instant_ns: int) -> Occupancy:
        """Who held what at an instant."""
        return next(iter(self.periods(Interval(instant_ns, instant_ns + 1))))

    def unmapped_ids(self, at_ns: int) -> tuple[str, ...]:
        """The ids in the kubelet's latest answer for each of which a free GPU is unobserved at *at_ns*."""
        latest = self.holdings.latest
        return () if latest is None else tuple(raw for _, raw in self._unmapped(latest, at_ns))

    def _instants(self, held: Held) -> Iterator[int]:
        """When something happened to a pod that may move who holds what of *held*."""
        pods = {(name.namespace, name.pod) for name in _given(held)}
        for namespace, pod in pods:
            lives = self.directory.lives(namespace, pod)
            for life in lives:
                yield from life.ends()
                if len(lives) > 1:
                    yield life.first_seen_ns
        for life in self._grouped():
            yield life.begin_ns
            yield from life.ends()

    def _grouped(self) -> Iterator[PodLife]:
        """Placeholders of a scheduler of fractions, and pods of their groups, to which the kubelet gave nothing."""
        if self.fractions:
            for life in self.directory.pods():
                if life.pod is not None and (life.pod.reserves or any(f.group for f in life.pod.fractions)):
                    yield life

    def _at(self, held: Held, part: Interval) -> Occupancy:
        at_ns = part.start_ns
        found: dict[Device, dict[Holder, Part]] = {}
        for device, names in held.by_device.items():
            for name, count in names.items():
                if self._holds(name, device, held, at_ns):
                    _add(found, device, self.directory.holder(name, at_ns), Part(replicas=count))
        if self.fractions:
            self._add_fractions(found, held, at_ns)
        replicas = dict(held.replicas)
        if self.label_replicas:
            replicas.update(
                {dev: max(count, self.label_replicas) for dev, count in replicas.items() if dev.is_whole}
            )
        return Occupancy(part, found, replicas, len(self._unmapped(held, at_ns)), held.claims_hidden)

    def _unmapped(self, held: Held, at_ns: int) -> list[tuple[ContainerName, str]]:
        """The ids of no known device, without those of which something else than the kubelet tells the device."""
        return [
            (name, raw)
            for name, raw in held.unmapped
            if not (self._fractions(name, at_ns) or self._has_ended(name, at_ns))
        ]

    def _holds(self, name: ContainerName, device: Device, held: Held, at_ns: int) -> bool:
        """Whether a container to which the kubelet gave *device* has it at *at_ns*."""
        life = self.directory.life(name, at_ns)
        if life is None:
            return name.listed
        if life.end_ns is not None and life.end_ns <= at_ns:
            return False
        if self.fractions and (self._fractions(name, at_ns) or (life.pod is not None and life.pod.reserves)):
            return False
        turns = {
            other.container: (other.listed, life.turn(other.container))
            for other in held.by_device.get(device, {})
            if (other.namespace, other.pod) == (name.namespace, name.pod)
        }
        if life.pod is None:
            # Nobody tells when an init container has ended; those after it run longer.
            return name.listed or not any(listed for listed, _ in turns.values())
        mine = turns[name.container]
        for other, turn in turns.items():
            # Until the init containers before it have ended, the device is not this one's yet.
            if turn < mine and (life.init_end_ns(other) or at_ns + 1) > at_ns:
                return False
        end_ns = None if name.listed else life.init_end_ns(name.container)
        return end_ns is None or at_ns < end_ns or not any(turn > mine for turn in turns.values())

    def _has_ended(self, name: ContainerName, at_ns: int) -> bool:
        life = self.directory.life(name, at_ns)
        return life is not None and life.end_ns is not None and life.end_ns <= at_ns

    def _fractions(self, name: ContainerName, at_ns: int) -> tuple[tuple[Gpu, GpuFraction], ...]:
        """What a scheduler of fractions gave a container, or to one of its pod without saying to which."""
        life = self.directory.life(name, at_ns) if self.fractions else None
        if life is None or life.pod is None:
            return ()
        return tuple(
            (gpu, fraction)
            for fraction in life.pod.fractions
            if fraction.container in ("", name.container) and (gpu := self._gpu(fraction)) is not None
        )

    def _gpu(self, fraction: GpuFraction) -> Gpu | None:
        """The GPU that a fraction names by itself; None where its group does, or nobody knows it."""
        for gpu in self.gpus:
            if gpu.uuid == fraction.gpu_uuid if fraction.gpu_uuid else gpu.index == fraction.gpu_index:
                return gpu
        return None

    def _add_fractions(self, found: dict[Device, dict[Holder, Part]], held: Held, at_ns: int) -> None:
        pods_told: set[tuple[str, str]] = set()
        given = [name for name in _given(held) if self._fractions(name, at_ns)]
        for name in sorted(given, key=lambda name: (self._place(name, at_ns), name)):
            pod = name.namespace, name.pod
            for gpu, fraction in self._fractions(name, at_ns):
                # What is not said to be another's is the first one's.
                if (fraction.container or pod not in pods_told) and not self._has_ended(name, at_ns):
                    self._add_fraction(found, fraction, gpu, name, at_ns)
            pods_told.add(pod)
        groups = self._groups(held, at_ns)
        for life in self._grouped() if groups else ():
            if life.pod is None or not _lives(life, at_ns):
                continue
            for fraction in life.pod.fractions:
                if (group_gpu := groups.get(fraction.group)) is not None:
                    ordinary = (each.name for each in life.pod.containers if not each.init)
                    container = fraction.container or next(ordinary, "")
                    name = ContainerName(life.pod.namespace, life.pod.name, container, life.pod.uid)
                    self._add_fraction(found, fraction, group_gpu, name, at_ns)

    def _place(self, name: ContainerName, at_ns: int) -> int:
        """The place of a container in its pod."""
        life = self.directory.life(name, at_ns)
        names = (
            [each.name for each in life.pod.containers] if life is not None and life.pod is not None else []
        )
        return names.index(name.container) if name.container in names else len(names)

    def _add_fraction(
        self,
        found: dict[Device, dict[Holder, Part]],
        fraction: GpuFraction,
        gpu: Gpu,
        name: ContainerName,
        at_ns: int,
    ) -> None:
        share = share_of(fraction, gpu.memory_bytes)
        part = Part(replicas=1) if share is None else Part(share=share)
        _add(found, Device(gpu.uuid), self.directory.holder(name, at_ns), part)

    def _groups(self, held: Held, at_ns: int) -> dict[str, Gpu]:
        """The GPU that a scheduler's placeholder holds for each group."""
        known = {gpu.uuid: gpu for gpu in self.gpus}
        groups: dict[str, Gpu] = {}
        for life in self._grouped():
            if life.pod is None or not life.pod.reserves or not _lives(life, at_ns):
                continue
            uuid = life.pod.reserves_uuid or next(
                (
                    device.gpu_uuid
                    for device, names in held.by_device.items()
                    if any(
                        (name.namespace, name.pod) == (life.pod.namespace, life.pod.name) for name in names
                    )
                ),
                "",
            )
            if uuid in known:
                groups[life.pod.reserves] = known[uuid]
        return groups


def share_of(fraction: GpuFraction, memory_bytes: int | None) -> Fraction | None:
    """The part of a GPU that *fraction* is; None where it does not say."""
    if fraction.share_ppm:
        return Fraction(fraction.share_ppm, PPM)
    shares = [Fraction(fraction.cores_ppm, PPM)] if fraction.cores_ppm else []
    if fraction.memory_bytes and memory_bytes:
        shares.append(min(Fraction(1), Fraction(fraction.memory_bytes, memory_bytes)))
    return max(shares, default=None)


def _lives(life: PodLife, at_ns: int) -> bool:
    return life.begin_ns <= at_ns < (life.end_ns or at_ns + 1)


def _add(found: dict[Device, dict[Holder, Part]], device: Device, holder: Holder, part: Part) -> None:
    holders = found.setdefault(device, {})
    holders[holder] = holders[holder] + part if holder in holders else part


def _given(held: Held) -> set[ContainerName]:
    """The containers to which the kubelet gave something."""
    given = {name for names in held.by_device.values() for name in names}
    return given | {name for name, _ in held.unmapped}


def _cut(interval: Interval, instants: Iterable[int]) -> Iterator[Interval]:
    inside = sorted({instant for instant in instants if interval.start_ns < instant < interval.end_ns})
    for start, end in pairwise([interval.start_ns, *inside, interval.end_ns]):
        yield Interval(start, end)
