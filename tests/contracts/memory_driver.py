"""The driver's calls on one GPU, kept in memory: a ring whose samples name one owner each, as the real one's do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from gpucost_agent.sources.driver.driver_calls import (
    DriverTrouble,
    ListKind,
    RawAccount,
    RawActivity,
    RawCompute,
    RawInstance,
    RawMig,
    RawProcess,
    RawProfile,
    RawSample,
    RawUse,
    Why,
)

Key = TypeVar("Key")
Row = TypeVar("Row")

SMALL = RawProfile(19, "1g.10gb", 1, 9_856, 7)
HALF = RawProfile(9, "3g.40gb", 3, 40_448, 2)
FULL = RawProfile(0, "7g.80gb", 7, 80_384, 1)


@dataclass(frozen=True)
class OwnedSample:
    stamp_us: int
    percent: int
    pid: int


@dataclass
class Sample:
    """Memory for a GPM sample: whose counters it holds, and which."""

    gi: int | None = -1
    elapsed_ns: int = 0
    sums: tuple[float, ...] = ()


@dataclass
class Counters:
    elapsed_ns: int = 0
    sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)


@dataclass
class Cut:
    """How the GPU is partitioned. *mode* None: it can not be."""

    mode: bool | None = None
    profiles: list[RawProfile] = field(default_factory=lambda: [SMALL, HALF, FULL])
    slices: dict[int, int] = field(default_factory=lambda: {19: 1, 9: 4, 0: 8})
    instances: dict[int, RawInstance] = field(default_factory=dict)
    parts: dict[tuple[int, int], RawCompute] = field(default_factory=dict)
    handles: dict[tuple[int, int], int] = field(default_factory=dict)
    made: int = 0

    def make(self, gi: int, profile: RawProfile, start: int, *parts: int) -> None:
        """A GPU instance, with compute instances of so many slices."""
        self.mode = True
        self.instances[gi] = RawInstance(gi, profile.profile_id, start, self.slices[profile.profile_id])
        for ci, compute_slices in enumerate(parts):
            self.made += 1
            self.parts[gi, ci] = RawCompute(f"MIG-{gi}-{ci}", compute_slices)
            self.handles[gi, ci] = self.made

    def destroy(self, gi: int) -> None:
        del self.instances[gi]
        for key in [key for key in self.parts if key[0] == gi]:
            del self.parts[key], self.handles[key]


class MemoryDriver:
    """driver_calls.Calls; *ask* is called at the beginning of each call with its name, and may raise or add samples."""

    def __init__(self, depth: int = 72) -> None:
        self.depth = depth
        self.ring: list[OwnedSample] = []
        self.lists: dict[ListKind, list[RawProcess]] = {kind: [] for kind in ListKind}
        self.energy = 0
        self.rate = 0
        self.ask: Callable[[str], None] = lambda _: None
        self.garbage_samples: list[RawSample] = []
        self.garbage_uses: list[RawUse] = []
        self.asked: list[str] = []
        self.cut = Cut()
        self.gpm = False
        self.counters: dict[int | None, Counters] = {}
        self.bent: Callable[[RawActivity], RawActivity] = lambda activity: activity
        self.allocated: list[Sample] = []
        self.accounting = False
        self.accounts: dict[int, RawAccount] = {}

    def add(self, stamp_us: int, percent: int, pid: int = 0) -> None:
        self.ring = [*self.ring, OwnedSample(stamp_us, percent, pid)][-self.depth :]

    def work(
        self, elapsed_ns: int, percents: tuple[float, float, float, float], gi: int | None = None
    ) -> None:
        """An engine's counters go on."""
        before = self.counters.get(gi, Counters())
        sums = tuple(a + b * elapsed_ns for a, b in zip(before.sums, percents, strict=True))
        self.counters[gi] = Counters(before.elapsed_ns + elapsed_ns, sums)

    def samples(self, since_us: int) -> list[RawSample]:
        self._begin("samples")
        rows = [RawSample(s.stamp_us, s.percent) for s in self.ring if s.stamp_us > since_us]
        return [*rows, *self.garbage_samples]

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
        return [*rows, *self.garbage_uses]

    def processes(self, kind: ListKind) -> list[RawProcess]:
        self._begin(kind)
        return self.lists[kind]

    def energy_mj(self) -> int:
        self._begin("energy")
        return self.energy

    def rate_percent(self) -> int:
        self._begin("rate")
        return self.rate

    def mig_mode(self) -> bool:
        self._begin("mig_mode")
        if self.cut.mode is None:
            raise DriverTrouble(Why.NOT_SUPPORTED, "no MIG")
        return self.cut.mode

    def mig_devices(self) -> tuple[RawMig, ...]:
        self._begin("mig_devices")
        return tuple(
            RawMig(gi, ci, handle, self.cut.parts[gi, ci].uuid if (gi, ci) in self.cut.parts else "")
            for (gi, ci), handle in self.cut.handles.items()
        )

    def compute_instance(self, gi: int, ci: int) -> RawCompute:
        self._begin("compute_instance")
        return self._there(self.cut.parts, (gi, ci))

    def instance_processes(self, kind: ListKind, gi: int, ci: int) -> list[RawProcess]:
        self._begin("instance_processes")
        self._there(self.cut.parts, (gi, ci))
        return [row for row in self.lists[kind] if (row.gi, row.ci) == (gi, ci)]

    def profiles(self) -> list[RawProfile]:
        self._begin("profiles")
        return self.cut.profiles

    def memory_slices(self, profile_id: int) -> int:
        self._begin("memory_slices")
        return self.cut.slices[profile_id]

    def gpu_instances(self, profile: RawProfile) -> list[RawInstance]:
        self._begin("gpu_instances")
        return [each for each in self.cut.instances.values() if each.profile_id == profile.profile_id]

    def gpu_instance(self, gi: int) -> RawInstance:
        self._begin("gpu_instance")
        return self._there(self.cut.instances, gi)

    def gpm_supported(self) -> bool:
        self._begin("gpm_supported")
        return self.gpm

    def gpm_allocate(self) -> object:
        self._begin("gpm_allocate")
        self.allocated.append(sample := Sample())
        return sample

    def gpm_free(self, sample: object) -> None:
        places = [place for place, each in enumerate(self.allocated) if each is sample]
        assert places, "what is freed was allocated, once"
        del self.allocated[places[0]]

    def gpm_sample(self, gi: int | None, sample: object) -> None:
        self._begin("gpm_sample")
        assert isinstance(sample, Sample)
        counters = self.counters.get(gi, Counters())
        sample.gi, sample.elapsed_ns, sample.sums = gi, counters.elapsed_ns, counters.sums

    def gpm_activity(self, earlier: object, later: object) -> RawActivity:
        self._begin("gpm_activity")
        assert isinstance(earlier, Sample)
        assert isinstance(later, Sample)
        assert earlier.gi == later.gi
        elapsed_ns = later.elapsed_ns - earlier.elapsed_ns
        assert elapsed_ns > 0
        percents = [(b - a) / elapsed_ns for a, b in zip(earlier.sums, later.sums, strict=True)]
        return self.bent(RawActivity(*percents))

    def accounting_enabled(self) -> bool:
        self._begin("accounting_enabled")
        return self.accounting

    def accounted_pids(self) -> list[int]:
        self._begin("accounted_pids")
        return list(self.accounts)

    def account(self, pid: int) -> RawAccount:
        self._begin("account")
        if pid not in self.accounts:
            raise DriverTrouble(Why.NOTHING, "gone")
        return self.accounts[pid]

    def _begin(self, name: str) -> None:
        self.asked.append(name)
        self.ask(name)

    @staticmethod
    def _there(rows: dict[Key, Row], key: Key) -> Row:
        if key not in rows:
            raise DriverTrouble(Why.STALE_HANDLE, "it is not there any more")
        return rows[key]
