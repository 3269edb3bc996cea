"""One GPU's time: who has it when. By events in simulation time, so how often it is asked changes nothing.

A GPU serves one process at a time. While several want it they stand in a line; each has a turn of turn_ns
and goes to the line's end. A process alone runs on, and gives way at once to one that comes after its turn
was over.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from simnode.lives import Process, entries, lives
from simnode.wants import ENDLESS, Want, wants
from simnode.world import Node

_DEATH, _BIRTH, _WANT = 0, 1, 2


class Runner:
    """A living process: what is left of its want, and how long it ran in the current sample and window."""

    __slots__ = ("deadline", "in_line", "in_sample_ns", "in_window_ns", "process", "wants", "work")

    def __init__(self, process: Process, seed: int) -> None:
        self.process = process
        self.wants: Iterator[Want] = wants(process, seed)
        self.work = 0
        self.deadline = 0
        self.in_line = False
        self.in_sample_ns = 0
        self.in_window_ns = 0


class Activity:
    """The GPU's state at `now`, which only advance() moves."""

    def __init__(self, node: Node, gpu: int, seed: int) -> None:
        self.now = 0
        self.busy_ns = 0
        self.living: dict[int, Runner] = {}  # by the place of the scenario's entry
        self.changes = 0  # births and deaths so far
        self.ran_in_sample: list[Runner] = []
        self.ran_in_window: list[Runner] = []
        self.last: Runner | None = None
        self.last_ended = -1
        self._seed = seed
        self._turn_ns = node.driver.turn_ns
        self._turn_end = 0
        self._line: deque[Runner] = deque()
        self._births: dict[int, Iterator[Process]] = {}
        # (when, kind, slot) never repeats, so that what stands behind it is never compared
        self._events: list[tuple[int, int, int, Runner | Process | None, Want | None]] = []
        for spec, pod, container in entries(node):
            if spec.gpu == gpu:
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
            self._run(runner, now, stop)
            now = stop
        self.now = now
        if events and events[0][0] <= now:
            self._happen(now)

    def _run(self, runner: Runner, start: int, stop: int) -> None:
        length = stop - start
        if not runner.in_sample_ns:
            self.ran_in_sample.append(runner)
        if not runner.in_window_ns:
            self.ran_in_window.append(runner)
        runner.in_sample_ns += length
        runner.in_window_ns += length
        runner.work -= length
        self.busy_ns += length
        self.last, self.last_ended = runner, stop

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
                del self.living[slot]
                self.changes += 1

    def _bear(self, process: Process, slot: int) -> None:
        runner = self.living[slot] = Runner(process, self._seed)
        self.changes += 1
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
