"""The driver's ring: a sample per period, with a load and the PID of one owner."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from simnode import draws
from simnode.activity import Activity
from simnode.world import Gpu, Node

NO_PID = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Sample:
    """stamp_ns is where the sample's period ends, from the simulation's start."""

    stamp_ns: int
    util_centi: int  # hundredths of a percent
    pid: int
    power_mw: int


class SampledGpu:
    """One GPU with its ring. The phase of its samples is drawn, since no two boards are in step."""

    def __init__(self, node: Node, gpu: Gpu, seed: int) -> None:
        self.gpu = gpu
        self.activity = Activity(node, gpu.index, seed)
        self.taken = 0
        self.energy_mj = 0
        self.ring: deque[Sample] = deque(maxlen=node.driver.ring_depth)
        self._driver = node.driver
        self._booted_ns = node.booted_ns
        self._seed = seed
        self._path = f"{node.path}/gpus/{gpu.index}"
        self._period = node.driver.sample_period_ns
        phase = draws.integer(seed, self._path, "phase", self._period)
        # A node that was up before has a ring full of idleness; the first sample is a period after boot.
        earliest = -((phase - node.booted_ns - self._period) // self._period)
        self._next_ns = phase + max(earliest, 1 - node.driver.ring_depth) * self._period
        while self._next_ns <= 0:
            self._keep(Sample(self._next_ns, 0, NO_PID, gpu.idle_milliwatts))
        self._first_ns = self._next_ns - self._period  # what ran before is in no sample

    def advance(self, until: int) -> None:
        if self.activity.now < self._first_ns <= until:
            self.activity.advance(self._first_ns)
            self._forget()
        while self._next_ns <= until:
            self.activity.advance(self._next_ns)
            self._take()
        self.activity.advance(until)

    def memory_mib(self) -> int:
        return sum(runner.process.spec.memory_mib for runner in self.activity.living.values())

    def _take(self) -> None:
        ran = self.activity.ran_in_sample
        busy = sum(runner.in_sample_ns for runner in ran)
        pid = self._owner(busy)
        rise = self.gpu.busy_milliwatts - self.gpu.idle_milliwatts
        power = self.gpu.idle_milliwatts + rise * busy // self._period
        self._forget()
        self._keep(Sample(self._next_ns, busy * 10_000 // self._period, pid, power))

    def _forget(self) -> None:
        for runner in self.activity.ran_in_sample:
            runner.in_sample_ns = 0
        self.activity.ran_in_sample.clear()

    def _keep(self, sample: Sample) -> None:
        self.ring.append(sample)
        self.taken += 1
        self._next_ns += self._period
        rise = self.gpu.busy_milliwatts - self.gpu.idle_milliwatts
        up = sample.stamp_ns - self._booted_ns
        picojoules = self.gpu.idle_milliwatts * up + rise * self.activity.busy_ns
        self.energy_mj = max(self.energy_mj, picojoules // 10**9)

    def _owner(self, busy: int) -> int:
        """The one process that the sample names."""
        ran, last = self.activity.ran_in_sample, self.activity.last
        if self._driver.owner == "instant":
            active = last is not None and self.activity.last_ended == self._next_ns
            return last.process.pid if last is not None and active else NO_PID
        if not ran or last is None:
            return NO_PID
        if self._driver.owner == "last":
            return last.process.pid
        if self._driver.owner == "longest":
            return max(ran, key=lambda runner: (runner.in_sample_ns, -runner.process.spec.slot)).process.pid
        mark = draws.integer(self._seed, self._path, f"owner {self._next_ns}", busy)
        for runner in ran:
            mark -= runner.in_sample_ns
            if mark < 0:
                return runner.process.pid
        return ran[-1].process.pid
