"""What goes wrong around the programs: the network, disks, clocks."""

from __future__ import annotations

import time
from typing import ClassVar

from chaos.faults.fault import AIM_S, Fault, SharedFault, Steps, pause, until
from chaos.log_book import Step
from chaos.mapped import FULL_DISK, READ_ONLY, Disk
from chaos.wish import WINDOW_S

_NS = 10**9
DAY_NS = 86_400 * _NS
_SEEN_S = 3.0
"""A step that another one follows at once is seen by nobody."""


class Harm(Fault):
    """The proxy does something to the bytes of a batch."""

    what: ClassVar[str]

    @property
    def needs(self) -> frozenset[str]:
        return self.of("network")

    def fire(self) -> Steps:
        proxy = self.stage.proxy
        before = proxy.ask(self.agent)["done"].get(self.what, 0)
        proxy.ask(self.agent, "arm", what=self.what)
        self.fired = yield from until(lambda: proxy.ask(self.agent)["done"].get(self.what, 0) > before)
        proxy.ask(self.agent, "release")


class Cut(Harm):
    kind, what = "proxy_cut", "cut"


class Duplicate(Harm):
    kind, what = "proxy_duplicated", "duplicate"


class Truncate(Harm):
    kind, what = "proxy_truncated", "truncate"


class Delay(Fault):
    """What passes comes late, each part of it again."""

    kind = "proxy_delayed"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("network")

    def fire(self) -> Steps:
        proxy = self.stage.proxy
        proxy.ask(self.agent, "delay", seconds=self.lasts_s / 8)
        before = proxy.ask(self.agent)["passed"]
        self.fired = yield from until(lambda: proxy.ask(self.agent)["passed"] > before)
        yield from pause(self.lasts_s)
        proxy.ask(self.agent, "delay", seconds=0)


class Partition(Fault):
    """Nobody gets through for a while."""

    kind = "proxy_shut"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("network")

    def fire(self) -> Steps:
        self.fired = self.stage.proxy.ask(self.agent)["links"] > 0
        self.stage.proxy.ask(self.agent, "shut", is_shut=True)
        yield from pause(2 * self.lasts_s)
        self.stage.proxy.ask(self.agent, "shut", is_shut=False)


class AgentDisk(Fault):
    """The spool's disk takes nothing for a while."""

    error: ClassVar[int]

    @property
    def needs(self) -> frozenset[str]:
        return self.of("disk")

    def fire(self) -> Steps:
        disk = self.agent.disk
        assert disk is not None
        self.agent.alone_since_ns = time.time_ns()
        self.fired = yield from failing(disk, self.error, self.lasts_s)
        # What is in memory is written with the next window.
        yield from until(lambda: not self.agent.runs or disk.is_syncing, AIM_S)
        self.agent.alone_since_ns = None


class AgentDiskFull(AgentDisk):
    kind, error = "agent_disk_full", FULL_DISK


class AgentDiskReadOnly(AgentDisk):
    kind, error = "agent_disk_read_only", READ_ONLY


class StoreDisk(SharedFault):
    """The store's disk takes nothing for a while."""

    error: ClassVar[int]

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"disk of the aggregator"})

    def fire(self) -> Steps:
        disk = self.stage.aggregator.disk
        assert disk is not None
        self.fired = yield from failing(disk, self.error, self.lasts_s)


class StoreDiskFull(StoreDisk):
    kind, error = "store_disk_full", FULL_DISK


class StoreDiskReadOnly(StoreDisk):
    kind, error = "store_disk_read_only", READ_ONLY


def failing(disk: Disk, error: int, lasts_s: float):  # type: ignore[no-untyped-def]  # Waiting
    """Whether a call was refused while the disk failed."""
    before = disk.refused
    disk.fail(error)
    yield from pause(lasts_s)
    fired = yield from until(lambda: disk.refused > before)
    disk.fail(0)
    return fired


class ClockStep(Fault):
    """The wall clocks of a cluster's nodes jump by some seconds, and later back."""

    sign: ClassVar[int]
    stays_s: ClassVar[float]

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({f"clock of {self.agent.cluster}"})

    def fire(self) -> Steps:
        self._set(self.sign * round(self.lasts_s * 400_000_000))
        yield from pause(self.stays_s)
        self._set(0)
        yield from pause(_SEEN_S)
        self.fired = True

    def _set(self, ahead_ns: int) -> None:
        cluster, now_ns = self.agent.cluster, time.time_ns()
        self.stage.clocks[cluster].set(ahead_ns)
        self.stage.book.steps.append(Step(cluster, now_ns, ahead_ns))
        self.stage.book.jumps.append((cluster, now_ns))


class ClockForward(ClockStep):
    kind, sign, stays_s = "clock_forward_seconds", 1, 9.0


class ClockBack(ClockStep):
    kind, sign = "clock_back_seconds", -1
    # Where it is set right before the window is closed, agents take both steps for one that never was.
    stays_s = 2.5 * WINDOW_S


class ClockDay(Fault):
    """They jump by a day, which nobody follows, and later back."""

    kind = "clock_day"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({f"clock of {self.agent.cluster}"})

    def fire(self) -> Steps:
        cluster, jumps = self.agent.cluster, self.stage.book.jumps
        for ahead_ns in (DAY_NS if self.lasts_s * 1_000 % 2 < 1 else -DAY_NS, 0):
            jumps.append((cluster, time.time_ns()))
            self.stage.clocks[cluster].set(ahead_ns)
            yield from pause(3 * self.lasts_s if ahead_ns else _SEEN_S)
        self.fired = True


SURROUNDINGS: tuple[type[Fault], ...] = (
    Cut,
    Duplicate,
    Truncate,
    Delay,
    Partition,
    AgentDiskFull,
    AgentDiskReadOnly,
    StoreDiskFull,
    StoreDiskReadOnly,
    ClockForward,
    ClockBack,
    ClockDay,
)
