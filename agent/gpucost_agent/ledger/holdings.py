"""
Who held a node's devices, and when: the kubelet's answers as a step function of time.

An answer holds from the middle between it and a different one before it, as the change lies between the two.
When the kubelet does not answer, its last holders hold for a grace; after that nobody can say.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gpucost.identity import Device
from gpucost.window import Interval

from gpucost_agent.readings import DeviceId, HoldingReading

KUBELET_AWAY = "kubelet_away"
UNMAPPED = "unmapped"
CLAIMS_HIDDEN = "claims_hidden"


@dataclass(frozen=True, slots=True, order=True)
class ContainerName:
    """
    A container by the names that the kubelet gives; its pod's UID is empty where the kubelet did not tell it.

    The kubelet's list leaves ordinary init containers out, so one that is not *listed* is one of them.
    """

    namespace: str
    pod: str
    container: str
    pod_uid: str = ""
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """
    What one answer of the kubelet says: how many replicas of which device each container holds.

    *replicas* is into how many each device is cut; one that is not named is not shared.
    *unmapped* are ids of no known device, each with the container that was given it.
    *claims_hidden*: pods hold devices by resource claims that the answer leaves out.
    """

    by_device: Mapping[Device, Mapping[ContainerName, int]] = field(default_factory=dict)
    replicas: Mapping[Device, int] = field(default_factory=dict)
    unmapped: tuple[tuple[ContainerName, str], ...] = ()
    claims_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time with one answer; *held* is None where nobody can say."""

    interval: Interval
    held: Held | None


@dataclass(slots=True)
class _Run:
    """One answer, from the first to the last time that it was heard without another in between."""

    first_ns: int
    last_ns: int
    held: Held
    changed_ns: int | None = None


class Holdings:
    """
    The history of who held what, as far back as it was not forgotten.

    *from_ns* is the first look at the node; the kubelet's first answer counts back to it if it came within
    the grace. *replicas* is into how many the devices were cut when an agent before this one looked last.
    """

    def __init__(self, from_ns: int, grace_ns: int, replicas: Mapping[Device, int] | None = None) -> None:
        self._from_ns = from_ns
        self._grace_ns = grace_ns
        self._runs: list[_Run] = []
        self._replicas = dict(replicas or {})
        self._offered: set[Device] | None = None
        self._heard: HoldingReading | None = None

    def heard(self, reading: HoldingReading) -> None:
        """Add an answer; it is later than those before it."""
        last = self._runs[-1] if self._runs else None
        same = last is not None and _says_the_same(reading, self._heard)
        self._heard = reading
        at, held = reading.read_at.wall_ns, last.held if last is not None and same else self._held(reading)
        if last is not None and last.held == held and at - last.last_ns <= self._grace_ns:
            last.last_ns = at
        else:
            appeared = last is None or bool(_grants(held) - _grants(last.held))
            self._runs.append(_Run(at, at, held, reading.changed_at_ns if appeared else None))

    @property
    def latest(self) -> Held | None:
        """The last answer; None if there was none."""
        return self._runs[-1].held if self._runs else None

    def periods(self, interval: Interval) -> Iterator[Period]:
        """*interval* cut where the answer changes, oldest first; together the periods cover it."""
        done_ns = interval.start_ns
        for number, run in enumerate(self._runs):
            known = Interval(self._begin(number), self._end(number)).cut(Interval(done_ns, interval.end_ns))
            if known is None:
                continue
            if done_ns < known.start_ns:
                yield Period(Interval(done_ns, known.start_ns), None)
            yield Period(known, run.held)
            done_ns = known.end_ns
        if done_ns < interval.end_ns:
            yield Period(Interval(done_ns, interval.end_ns), None)

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no interval from *instant_ns* on needs."""
        while len(self._runs) > 1 and self._end(0) <= instant_ns:
            # The next one begins where this one ended, so its beginning is kept as if it were the first look.
            self._from_ns = self._begin(1)
            del self._runs[0]

    def _begin(self, number: int) -> int:
        run = self._runs[number]
        before_ns = self._runs[number - 1].last_ns if number else self._from_ns
        if run.first_ns - before_ns > self._grace_ns:
            return run.first_ns
        if not number:
            return self._from_ns
        if run.changed_ns is not None and before_ns < run.changed_ns <= run.first_ns:
            return run.changed_ns
        return (before_ns + run.first_ns) // 2

    def _end(self, number: int) -> int:
        run = self._runs[number]
        if number + 1 < len(self._runs) and self._runs[number + 1].first_ns - run.last_ns <= self._grace_ns:
            return self._begin(number + 1)
        return run.last_ns + self._grace_ns

    def _held(self, reading: HoldingReading) -> Held:
        by_device: dict[Device, dict[ContainerName, int]] = {}
        ids: dict[Device, set[int]] = {}
        unmapped = set()
        for allocation in reading.allocations:
            name = ContainerName(
                allocation.namespace,
                allocation.pod,
                allocation.container,
                allocation.pod_uid,
                allocation.listed,
            )
            for device_id in allocation.devices:
                if device_id.device is None:
                    unmapped.add((name, device_id.raw))
                    continue
                holders = by_device.setdefault(device_id.device, {})
                holders[name] = holders.get(name, 0) + 1
                if device_id.replica is not None:
                    ids.setdefault(device_id.device, set()).add(device_id.replica)
        self._forget_unregistered(reading.allocatable)
        for device_id in reading.allocatable or ():
            if device_id.device is not None and device_id.replica is not None:
                ids.setdefault(device_id.device, set()).add(device_id.replica)
        # The kubelet lists healthy replicas only, so the most that were ever seen is how many there are.
        for device, seen in ids.items():
            self._replicas[device] = max(self._replicas.get(device, 1), len(seen))
        return Held(by_device, dict(self._replicas), tuple(sorted(unmapped)), reading.claims_hidden)

    def _forget_unregistered(self, allocatable: Iterable[DeviceId] | None) -> None:
        """A device plugin that went away and is back may cut its devices anew: what was counted before is void."""
        if allocatable is None:
            return
        offered = {device_id.device for device_id in allocatable if device_id.device is not None}
        if self._offered is not None:
            for device in offered - self._offered:
                self._replicas.pop(device, None)
        self._offered = offered


def _says_the_same(reading: HoldingReading, before: HoldingReading | None) -> bool:
    """Whether a source gave what it gave before, as it does nearly each second; a quick look, that may miss it."""
    return (
        before is not None
        and reading.allocations is before.allocations
        and reading.allocatable is before.allocatable
        and reading.claims_hidden == before.claims_hidden
    )


def _grants(held: Held) -> set[tuple[Device, ContainerName]]:
    return {(device, name) for device, names in held.by_device.items() for name in names}
