"""One engine's time: who has it when. By events in simulation time, so how often it is asked changes nothing.

An engine is a whole GPU or a compute instance. It serves one process at a time. While several want it they stand
in a line; each has a turn of turn_ns and goes to the line's end. A process alone runs on, and gives way at once to
one that comes after its turn was over. Under MPS nobody waits: all run at the same time, each whenever it wants.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from simnode.accounting import Accounts
from simnode.counters import MILLION, Counters, rates
from simnode.engines import Engine
from simnode.lives import Process, entries, lives
from simnode.wants import ENDLESS, Want, wants
from simnode.world import Node, ProcessSpec

_DEATH, _BIRTH, _WANT = 0, 1, 2


class Runner:
    """A living process: what is left of its want, and how long it ran in the current sample and window."""

    __slots__ = ("deadline", "in_line", "in_sample_ns", "in_window_ns", "process", "ran_ns", "wants", "work")

    def __init__(self, process: Process, seed: int) -> None:
        self.process = process
        self.wants: Iterator[Want] = wants(process, seed)
        self.work = 0
        self.deadline = 0
        self.in_line = False
        self.in_sample_ns = 0
        self.in_window_ns = 0
        self.ran_ns = 0

    def scaled(self) -> Counters:
        """Its work by what it used, in millionths of a nanosecond."""
        return Counters(0, *(self.ran_ns * rate for rate in rates(self.process.spec)))


class Activity:
    """The engine's state at `now`, which only advance() moves. Without an engine it is the whole GPU's."""

    def __init__(
        self, node: Node, gpu: int, seed: int, engine: Engine | None = None, accounts: Accounts | None = None
    ) -> None:
        self.now = 0
        self.busy_ns = 0
        self.living: dict[int, Runner] = {}  # by the place of the scenario's entry
        self.changes = 0  # births and deaths so far
        self.ran_in_sample: list[Runner] = []
        self.ran_in_window: list[Runner] = []
        self.last: Runner | None = None
        self.last_ended = -1
        self._seed = seed
        self._together = node.gpus[gpu].sharing == "mps"
        self._accounts = accounts
        self._by_the_dead = Counters()
        self._closed_ns = 0
        self._turn_ns = node.driver.turn_ns
        self._turn_end = 0
        self._line: deque[Runner] = deque()
        self._births: dict[int, Iterator[Process]] = {}
        # (when, kind, slot) never repeats, so that what stands behind it is never compared
        self._events: list[tuple[int, int, int, Runner | Process | None, Want | None]] = []
        for spec, pod, container in entries(node):
            if spec.gpu == gpu and _works_on(spec, engine):
                self._births[spec.slot] = lives(node, spec, pod, container)
                self._expect_birth(spec.slot)
        self._happen(0)

    def advance(self, until: int) -> None:
        """Runs what there is to run before `until`; births and deaths at `until` have happened."""
        now, line, events = self.now, self._line, self._events
        while now < until:
            if events and events[0][0] <= now:
                self._happen(now)
            following = events[0][0] if events else ENDLESS
            if not line:
                now = min(following, until)
                continue
            if self._together:
                now = self._run_all(now, min(following, until))
                continue
            runner = line[0]
            if not runner.work or runner.deadline <= now:
                self._leave(now)
                continue
            stop = min(now + runner.work, runner.deadline, following, until)
            if len(line) > 1:
                if self._turn_end <= now:
                    line.rotate(-1)
                    self._turn_end = now + self._turn_ns
                    continue
                stop = min(stop, self._turn_end)
            self._run(runner, stop - now)
            self.busy_ns += stop - now
            self.last, self.last_ended = runner, stop
            now = stop
        self.now = now
        if events and events[0][0] <= now:
            self._happen(now)

    def close_window(self) -> tuple[int, list[tuple[Process, int]]]:
        """How long anybody ran since the last call, and how long each process did, by PID."""
        busy = self.busy_ns - self._closed_ns
        self._closed_ns = self.busy_ns
        ran = sorted(self.ran_in_window, key=lambda runner: runner.process.pid)
        lengths = [(runner.process, runner.in_window_ns) for runner in ran]
        for runner in ran:
            runner.in_window_ns = 0
        self.ran_in_window.clear()
        return busy, lengths

    def counters(self) -> Counters:
        scaled = self._by_the_dead
        for runner in self.living.values():
            scaled = scaled.plus(runner.scaled())
        return Counters(self.busy_ns, *(value // MILLION for value in scaled[1:]))

    def _run_all(self, now: int, until: int) -> int:
        """MPS: whoever wants it runs, until the first of them is done."""
        for runner in [r for r in self._line if not r.work or r.deadline <= now]:
            self._line.remove(runner)
            runner.in_line = False
        if not self._line:
            return now
        stop = min(until, *(min(now + r.work, r.deadline) for r in self._line))
        for runner in self._line:
            self._run(runner, stop - now)
        self.busy_ns += stop - now
        self.last, self.last_ended = self._line[-1], stop
        return stop

    def _run(self, runner: Runner, length: int) -> None:
        if not runner.in_sample_ns:
            self.ran_in_sample.append(runner)
        if not runner.in_window_ns:
            self.ran_in_window.append(runner)
        runner.in_sample_ns += length
        runner.in_window_ns += length
        runner.ran_ns += length
        runner.work -= length

    def _leave(self, now: int) -> None:
        self._line.popleft().in_line = False
        self._turn_end = now + self._turn_ns

    def _happen(self, now: int) -> None:
        while self._events and self._events[0][0] <= now:
            _, kind, slot, subject, want = heapq.heappop(self._events)
            if isinstance(subject, Runner) and want:
                self._wish(subject, slot, want, now)
            elif kind == _BIRTH and isinstance(subject, Process):
                self._bear(subject, slot)
            elif kind == _DEATH:
                self._bury(self.living.pop(slot), now)

    def _bury(self, runner: Runner, now: int) -> None:
        self.changes += 1
        self._by_the_dead = self._by_the_dead.plus(runner.scaled())
        if self._accounts:
            self._accounts.died(runner.process, now)

    def _bear(self, process: Process, slot: int) -> None:
        runner = self.living[slot] = Runner(process, self._seed)
        self.changes += 1
        if self._accounts:
            self._accounts.born(process)
        if process.end_ns is not None:
            heapq.heappush(self._events, (process.end_ns, _DEATH, slot, None, None))
        self._expect_want(runner, slot)
        self._expect_birth(slot)

    def _wish(self, runner: Runner, slot: int, want: Want, now: int) -> None:
        runner.work = runner.work + want.work if want.adds else want.work
        runner.deadline = want.deadline
        if not runner.in_line:
            if not self._line:
                self._turn_end = now + self._turn_ns
            runner.in_line = True
            self._line.append(runner)
        self._expect_want(runner, slot)

    def _expect_birth(self, slot: int) -> None:
        process = next(self._births[slot], None)
        if process:
            heapq.heappush(self._events, (process.start_ns, _BIRTH, slot, process, None))

    def _expect_want(self, runner: Runner, slot: int) -> None:
        want = next(runner.wants, None)
        if want:
            heapq.heappush(self._events, (want.at, _WANT, slot, runner, want))


def _works_on(spec: ProcessSpec, engine: Engine | None) -> bool:
    if engine is None:
        return spec.gi is None
    return (spec.gi, spec.ci) == engine.key and engine.lives(spec.start_ns)
