"""The driver's calls on one GPU, kept in memory: a ring whose samples name one owner each, as the real one's do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gpucost_agent.sources.driver_rows import ListKind, RawProcess, RawSample, RawUse
from gpucost_agent.sources.gpu_reader import DriverTrouble, Why

Row = TypeVar("Row")


@dataclass(frozen=True)
class OwnedSample:
    stamp_us: int
    percent: int
    pid: int


class MemoryDriver:
    """gpu_reader.Calls; *ask* is called at the beginning of each call with its name, and may raise or add samples."""

    def __init__(self, depth: int = 72) -> None:
        self.depth = depth
        self.ring: list[OwnedSample] = []
        self.lists: dict[ListKind, list[RawProcess]] = {kind: [] for kind in ListKind}
        self.energy = 0
        self.ask: Callable[[str], None] = lambda _: None
        self.garbage_samples: list[RawSample] = []
        self.garbage_uses: list[RawUse] = []
        self.asked: list[str] = []

    def add(self, stamp_us: int, percent: int, pid: int = 0) -> None:
        self.ring = [*self.ring, OwnedSample(stamp_us, percent, pid)][-self.depth :]

    def samples(self, since_us: int) -> list[RawSample]:
        self._begin("samples")
        rows = [RawSample(s.stamp_us, s.percent) for s in self.ring if s.stamp_us > since_us]
        return self._some([*rows, *self.garbage_samples])

    def uses(self, since_us: int) -> list[RawUse]:
        self._begin("uses")
        window = [sample for sample in self.ring if sample.stamp_us > since_us]
        owned: dict[int, list[OwnedSample]] = {}
        for sample in window:
            if sample.pid and sample.percent:
                owned.setdefault(sample.pid, []).append(sample)
        rows = [
            RawUse(pid, its[-1].stamp_us, sum(sample.percent for sample in its) // len(window))
            for pid, its in owned.items()
        ]
        return self._some([*rows, *self.garbage_uses])

    def processes(self, kind: ListKind) -> list[RawProcess]:
        self._begin(kind)
        return self.lists[kind]

    def energy_mj(self) -> int:
        self._begin("energy")
        return self.energy

    def _begin(self, name: str) -> None:
        self.asked.append(name)
        self.ask(name)

    @staticmethod
    def _some(rows: list[Row]) -> list[Row]:
        if not rows:
            raise DriverTrouble(Why.NOTHING, "no rows")
        return rows
