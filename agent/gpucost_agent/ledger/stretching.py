"""From what is known of one GPU to the stretches of its devices in one window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

from gpucost.identity import Device, Holder, HolderKind, unobserved
from gpucost.window import Interval

from gpucost_agent.ledger.activity import Seen
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.clock_steps import ClockSteps
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.engines import Engines, over_parts
from gpucost_agent.ledger.gpu_memory import GpuMemory
from gpucost_agent.ledger.occupancy import Occupancy, Reservation
from gpucost_agent.ledger.settle import Stretch
from gpucost_agent.ledger.turns import Turns, turns_of
from gpucost_agent.ledger.usage import Holders, Process, usage
from gpucost_agent.readings import GpuInstance

GPU_LOST = "gpu_lost"
"""A reading's trouble, and the reason of the time until the GPU is back."""


_ABOUT_NS = 5 * 1_000_000_000
"""Holders are asked each second, and the longest rows of use by process are five seconds."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """
    What a GPU's book asks of its node: who is who, who held what in a window, what was before, which time was.

    *occupancies* cover the window from the first look on, and *around* some time before and after it, as readings lie
    across its borders; *after_gap* is who held what at the first look.
    """

    directory: Directory
    occupancies: tuple[Occupancy, ...]
    around: tuple[Occupancy, ...]
    after_gap: Occupancy | None
    gpu_uuids: tuple[str, ...]
    before: Checkpoint | None
    clock: ClockSteps


@dataclass(frozen=True, slots=True)
class Place:
    """A device of a GPU, and the instance that it is a part of; None for a whole GPU."""

    device: Device
    instance: GpuInstance | None = None


def place_of(gpu_uuid: str, instance: GpuInstance, ci: int) -> Place:
    """A compute instance's place."""
    return Place(Device(gpu_uuid, instance.gi, ci, instance.profile, instance.placement), instance)


@dataclass(slots=True)
class Stretching:
    """
    One GPU in one window. *most_held* gathers the most memory that a holder held on a device, in bytes.
    """

    engines: Engines
    contexts: GpuMemory
    view: NodeView
    most_held: dict[tuple[Device, Holder], int] = field(default_factory=dict)
    _turns: dict[Device, Turns] = field(default_factory=dict)

    def stretches(self, part: Interval, place: Place) -> Iterator[Stretch]:
        """What has to be settled of a device in *part*, in which the GPU's partition did not change."""
        for period, reservation in self._reservations(part, place.device):
            for real in self.view.clock.real(period):
                yield self._stretch(real, place, reservation)
            if again_ns := self.view.clock.again_ns(period):
                # The driver's stamps say nothing of it, as they had been given before.
                held = reservation.reserved(again_ns)
                yield Stretch(again_ns, 0, held, free=reservation.free, excess=reservation.excess)

    def length_ns(self, part: Interval) -> int:
        """How long *part* really was."""
        return sum(real.length_ns for real in self.view.clock.real(part)) + self.view.clock.again_ns(part)

    def unseen(self, part: Interval, reason: str) -> Stretch:
        """A part of which nobody can say anything, and why."""
        return Stretch(self.length_ns(part), 0, free=unobserved(reason))

    def _reservations(self, part: Interval, device: Device) -> Iterator[tuple[Interval, Reservation]]:
        periods = [
            (period, occupancy.of(device, self.view.gpu_uuids))
            for occupancy in self.view.occupancies
            if (period := occupancy.interval.cut(part)) is not None
        ]
        for reservation, group in groupby(periods, key=lambda entry: entry[1]):
            parts = [period for period, _ in group]
            yield Interval(parts[0].start_ns, parts[-1].end_ns), reservation

    def _stretch(self, part: Interval, place: Place, reservation: Reservation) -> Stretch:
        device, held, directory = place.device, dict(reservation.held), self.view.directory
        most = self.contexts.by_holder(part, device, tuple(held), directory)
        for holder, held_bytes in most.items():
            key = (device, holder)
            self.most_held[key] = max(self.most_held.get(key, 0), held_bytes)
        whole = self.engines.at(None, part.start_ns) if place.instance is None else None
        seen = self._seen(part, place)
        limits = self._limits(device, reservation)
        found = usage(
            seen,
            whole.used(part, self._turns_of(device)) if whole is not None else None,
            Holders(
                tuple(held),
                reservation.alone,
                lambda process: directory.owner(process, held),
                most,
                self.contexts.is_blind(part, device),
                bool(limits),
            ),
        )
        users = [holder for holder, used_ns in found.used.items() if used_ns]
        return Stretch(
            part.length_ns,
            found.watched_ns,
            reservation.reserved(part.length_ns),
            found.used,
            limits,
            free=reservation.free,
            method=found.method,
            samples=found.samples,
            excess=reservation.excess,
            shadows=_shadows(users, reservation, self._held_about(part, device)),
            worker=reservation.alone if not users else users[0] if len(users) == 1 else None,
            efficiency=seen.efficiency,
        )

    def _limits(self, device: Device, reservation: Reservation) -> dict[Holder, Fraction]:
        """What MPS enforces: what clients were told, else what their replicas come to."""
        if not self.contexts.has_mps(device):
            return {}
        holders = tuple(holder for holder, _ in reservation.held)
        told = self.contexts.mps_limits(device, holders, self.view.directory)
        return {holder: told.get(holder, limit) for holder, limit in reservation.limits().items()}

    def _at(self, device: Device) -> Turns:
        if device not in self._turns:
            self._turns[device] = turns_of(device, self.view.around)
        return self._turns[device]

    def _held_about(self, part: Interval, device: Device) -> set[Holder]:
        """Who held *device* just before *part*, or just after it: so exactly nobody knows when that ended or began."""
        around = Interval(part.start_ns - _ABOUT_NS, part.end_ns + _ABOUT_NS)
        by_holder = self._at(device).by_holder
        return {holder for holder, turns in by_holder.items() if any(turn.cut(around) for turn in turns)}

    def _turns_of(self, device: Device) -> Callable[[Process], Sequence[Interval]]:
        """When the holder of a process held *device*."""
        by_holder, directory = self._at(device).by_holder, self.view.directory
        return lambda process: (
            by_holder.get(directory.owner(process, by_holder), ()) if process is not None else ()
        )

    def _seen(self, part: Interval, place: Place) -> Seen:
        instance, ci = place.instance, place.device.ci
        engine = self.engines.at(None if instance is None else instance.gi, part.start_ns)
        seen = engine.seen(part, self._at(place.device).held) if engine is not None else Seen()
        if instance is None or ci is None:
            return seen
        if len(instance.parts) == 1 and instance.parts[0].compute_slices == instance.compute_slices:
            return seen
        uuid = place.device.gpu_uuid
        devices = {each.ci: place_of(uuid, instance, each.ci).device for each in instance.parts}
        held = {
            each
            for each, device in devices.items()
            for occupancy in self.view.occupancies
            if occupancy.interval.cut(part) is not None and occupancy.of(device, self.view.gpu_uuids).held
        }
        memory = {each: self.contexts.most(part, device) for each, device in devices.items()}
        return over_parts(seen, instance, memory, held)[ci]


def _shadows(users: list[Holder], reservation: Reservation, about: set[Holder]) -> frozenset[Holder]:
    """
    Containers that use what was given to others or to nobody; nobody is called so where it is not known to whom.

    Who held it *about* that time, and who is of a holder's pod, is none.
    """
    if reservation.free.kind is HolderKind.UNOBSERVED:
        return frozenset()
    held = about | {holder for holder, _ in reservation.held}
    pods = {(holder.namespace, holder.pod) for holder in held}
    return frozenset(
        user
        for user in users
        if user.kind is HolderKind.CONTAINER and user not in held and (user.namespace, user.pod) not in pods
    )
