"""Who had a context on a GPU, and how much memory in it: the driver's lists of processes, look after look."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from gpucost.identity import Device, Holder
from gpucost.window import Interval

from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import RunningProcess


@dataclass(frozen=True, slots=True)
class _Context:
    """One process on one device."""

    who: Process
    gi: int | None
    ci: int | None
    held_bytes: int | None
    mps: bool


class GpuMemory:
    """The looks at one GPU's processes since the last closed window."""

    def __init__(self) -> None:
        self._looks: list[tuple[int, tuple[_Context, ...]]] = []
        self._mps_looks: list[tuple[int, tuple[_Context, ...]]] = []
        """Those among them that saw a client of MPS, which most GPUs never have."""

    def add(
        self, at_ns: int, processes: tuple[RunningProcess, ...], identities: Mapping[int, Process]
    ) -> None:
        """Take in one look."""
        contexts = tuple(
            _Context(identities.get(each.pid), each.gi, each.ci, each.memory_bytes, each.mps)
            for each in processes
        )
        self._looks.append((at_ns, contexts))
        if any(each.mps for each in contexts):
            self._mps_looks.append((at_ns, contexts))

    def by_holder(
        self, part: Interval, device: Device, holders: tuple[Holder, ...], directory: Directory
    ) -> dict[Holder, int]:
        """The most that each holder's processes held at one time on *device*, in bytes."""
        most: dict[Holder, int] = {}
        for contexts in self._on(part, device):
            sums: dict[Holder, int] = {}
            for context in contexts:
                if context.who is not None and context.held_bytes is not None:
                    owner = directory.owner(context.who, holders)
                    sums[owner] = sums.get(owner, 0) + context.held_bytes
            for owner, held_bytes in sums.items():
                most[owner] = max(most.get(owner, 0), held_bytes)
        return most

    def most(self, part: Interval, device: Device) -> int:
        """The most that was held on *device* at one time, by whomever, in bytes."""
        return max(
            (sum(each.held_bytes or 0 for each in contexts) for contexts in self._on(part, device)), default=0
        )

    def is_blind(self, part: Interval, device: Device) -> bool:
        """Whether processes were seen, and of none could be said whose it is."""
        seen = [each.who is None for contexts in self._on(part, device) for each in contexts]
        return bool(seen) and all(seen)

    def has_mps(self, device: Device) -> bool:
        """Whether clients of MPS were seen lately; how a device is shared is not changed under its holders."""
        contexts = (each for _, looked in self._mps_looks for each in looked)
        return any(each.mps and _is_on(each, device) for each in contexts)

    def mps_limits(
        self, device: Device, holders: tuple[Holder, ...], directory: Directory
    ) -> dict[Holder, Fraction]:
        """The part of *device* that MPS lets a holder's clients use, where their environments say so."""
        limits: dict[Holder, Fraction] = {}
        for _, contexts in self._mps_looks:
            for each in contexts:
                if each.mps and _is_on(each, device) and each.who is not None and each.who.mps_percent:
                    owner = directory.owner(each.who, holders)
                    limits[owner] = max(limits.get(owner, Fraction(0)), Fraction(each.who.mps_percent, 100))
        return limits

    def forget_before(self, instant_ns: int) -> None:
        """Drop looks from before *instant_ns*, but for the last of them."""
        before = [look for look in self._looks if look[0] < instant_ns]
        self._looks = before[-1:] + self._looks[len(before) :]
        kept_from_ns = self._looks[0][0] if self._looks else instant_ns
        self._mps_looks = [look for look in self._mps_looks if look[0] >= kept_from_ns]

    def _on(self, part: Interval, device: Device) -> Iterator[list[_Context]]:
        for place in range(bisect_left(self._looks, part.start_ns, key=_at_ns), len(self._looks)):
            at_ns, contexts = self._looks[place]
            if at_ns >= part.end_ns:
                return
            yield [each for each in contexts if _is_on(each, device)]


def _at_ns(look: tuple[int, tuple[_Context, ...]]) -> int:
    return look[0]


def _is_on(context: _Context, device: Device) -> bool:
    return device.gi is None or (context.gi, context.ci) == (device.gi, device.ci)
