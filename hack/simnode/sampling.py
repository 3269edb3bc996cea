"""The driver's ring: a sample per period, with a load and the PID of one owner.

A partitioned GPU has no such ring; its samples are taken for power only, and marked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from simnode import draws
from simnode.accounting import DRAIN_NS, Accounts
from simnode.activity import Activity
from simnode.counters import Counters
from simnode.engines import Engine, Home, timeline
from simnode.lives import Process
from simnode.mig_profiles import partitioning
from simnode.world import Gpu, Node

NO_PID = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Sample:
    """stamp_ns is where the sample's period ends, from the simulation's start."""

    stamp_ns: int
    util_centi: int  # hundredths of a percent
    pid: int
    power_mw: int
    mig: bool = False


def keeps_accounts(node: Node, gpu: Gpu) -> bool:
    return node.driver.accounting if gpu.accounting is None else gpu.accounting


class SampledGpu:
    """One GPU with its ring. The phase of its samples is drawn, since no two boards are in step."""

    def __init__(self, node: Node, gpu: Gpu, seed: int) -> None:
        self.gpu = gpu
        path = f"{node.path}/gpus/{gpu.index}"
        phase = draws.integer(seed, path, "accounting phase", DRAIN_NS)
        self.accounts = Accounts(phase) if keeps_accounts(node, gpu) else None
        self.activity = Activity(node, gpu.index, seed, None, self.accounts)  # of the whole GPU
        self.parts: list[tuple[Engine, Activity]] = [
            (engine, Activity(node, gpu.index, seed, engine)) for engine in timeline(gpu).engines
        ]
        self._activities = [self.activity, *(activity for _, activity in self.parts)]
        self._slices = partitioning(gpu.model).slices
        self._sampled_busy_ns = 0
        self._sampled_rise_ns = 0
        self.taken = 0
        self.energy_mj = 0
        self.ring: deque[Sample] = deque(maxlen=node.driver.ring_depth)
        self._driver = node.driver
        self._booted_ns = node.booted_ns
        self._seed = seed
        self._path = path
        self._period = node.driver.sample_period_ns
        phase = draws.integer(seed, self._path, "phase", self._period)
        # A node that was up before has a ring full of idleness; the first sample is a period after boot.
        earliest = -((phase - node.booted_ns - self._period) // self._period)
        self._next_ns = phase + max(earliest, 1 - node.driver.ring_depth) * self._period
        while self._next_ns <= 0:
            self._keep(Sample(self._next_ns, 0, NO_PID, gpu.idle_milliwatts, gpu.layout(0) is not None))
        self._first_ns = self._next_ns - self._period  # what ran before is in no sample

    def advance(self, until: int) -> None:
        if self.activity.now < self._first_ns <= until:
            self._run(self._first_ns)
            self._forget()
        while self._next_ns <= until:
            self._run(self._next_ns)
            self._take()
        self._run(until)
        if self.accounts:
            self.accounts.settle(until)

    def _run(self, until: int) -> None:
        for activity in self._activities:
            activity.advance(until)

    def living(self) -> list[tuple[int, Process]]:
        """All processes of the GPU, by the place of the scenario's entry."""
        found = [(slot, runner.process) for a in self._activities for slot, runner in a.living.items()]
        return sorted(found, key=lambda one: one[0])

    def changes(self) -> int:
        return sum(activity.changes for activity in self._activities)

    def memory_mib(self) -> int:
        return sum(process.spec.memory_mib for _, process in self.living())

    def counters(self) -> Counters:
        """Of the whole GPU; an instance weighs as its compute slices do."""
        total = self.activity.counters()
        for engine, activity in self.parts:
            total = total.plus(activity.counters(), engine.part.slices, self._slices)
        return total

    def home_counters(self, home: Home) -> Counters:
        """Of a GPU instance; its compute instances weigh as their slices do."""
        total = Counters()
        for engine, activity in self.parts:
            if engine.home == home.number:
                total = total.plus(activity.counters(), engine.part.slices, engine.instance.slices)
        return total

    def _rise_ns(self) -> int:
        """For how long the GPU drew its full power; an instance draws as much as it has slices."""
        parts = sum(activity.busy_ns * engine.part.slices for engine, activity in self.parts)
        return self.activity.busy_ns + parts // self._slices

    def _take(self) -> None:
        busy = self.activity.busy_ns - self._sampled_busy_ns
        pid = self._owner(sum(runner.in_sample_ns for runner in self.activity.ran_in_sample))
        rise = self.gpu.busy_milliwatts - self.gpu.idle_milliwatts
        power = self.gpu.idle_milliwatts + rise * (self._rise_ns() - self._sampled_rise_ns) // self._period
        self._forget()
        mig = self.gpu.layout(self._next_ns) is not None
        sample = Sample(self._next_ns, busy * 10_000 // self._period, pid, power, mig)
        if self.accounts:
            self.accounts.note(sample.stamp_ns, pid, sample.util_centi)
        self._keep(sample)

    def _forget(self) -> None:
        for activity in self._activities:
            for runner in activity.ran_in_sample:
                runner.in_sample_ns = 0
            activity.ran_in_sample.clear()
        self._sampled_busy_ns, self._sampled_rise_ns = self.activity.busy_ns, self._rise_ns()

    def _keep(self, sample: Sample) -> None:
        self.ring.append(sample)
        self.taken += 1
        self._next_ns += self._period
        rise = self.gpu.busy_milliwatts - self.gpu.idle_milliwatts
        up = sample.stamp_ns - self._booted_ns
        picojoules = self.gpu.idle_milliwatts * up + rise * self._rise_ns()
        self.energy_mj = max(self.energy_mj, picojoules // 10**9)

    def _owner(self, ran_ns: int) -> int:
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
        mark = draws.integer(self._seed, self._path, f"owner {self._next_ns}", ran_ns)
        for runner in ran:
            mark -= runner.in_sample_ns
            if mark < 0:
                return runner.process.pid
        return ran[-1].process.pid
