"""Who has a GPU when, as a scenario describes it: those that want it take turns."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence

from demo.audit.patterns import Life, Want, lives, wants
from demo.audit.scenario import Who, Work


class Track:
    """How long something was busy up to an instant; *forget* keeps it short."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []
        self._total = 0

    def add(self, start_ns: int, end_ns: int) -> None:
        """Busy from one instant to another; in the order of time."""
        if self._ends and self._ends[-1] == start_ns:
            self._ends[-1] = end_ns
        else:
            self._starts.append(start_ns)
            self._ends.append(end_ns)
            self._before.append(self._total)
        self._total += end_ns - start_ns

    def until(self, instant_ns: int) -> int:
        """Busy time before *instant_ns*."""
        place = bisect_right(self._starts, instant_ns) - 1
        if place < 0:
            return self._before[0] if self._before else self._total
        return self._before[place] + min(instant_ns, self._ends[place]) - self._starts[place]

    def between(self, start_ns: int, end_ns: int) -> int:
        """Busy time of an interval."""
        return self.until(end_ns) - self.until(start_ns)

    def forget(self, instant_ns: int) -> None:
        """Drop what ended before *instant_ns*."""
        done = bisect_right(self._ends, instant_ns)
        del self._starts[:done], self._ends[:done], self._before[:done]


class _Worker:
    """A living process: what is left of what it wants."""

    def __init__(self, life: Life, who: Who, future: Iterator[Want]) -> None:
        self.life, self.who, self.future = life, who, future
        self.left_ns = self.until_ns = 0
        self.is_waiting = False


class Turns:
    """One GPU, played in the order of time with draws of its own."""

    def __init__(self, works: Sequence[Work], turn_ns: int, seed: int) -> None:
        self.busy = Track()
        self.by_holder: dict[Who, Track] = {work.who: Track() for work in works}
        self.deaths: list[tuple[int, Who]] = []
        self._works, self._turn_ns = works, turn_ns
        self._draw = random.Random(seed)
        self._now = min((work.start_ns for work in works), default=0)
        self._turn_end = 0
        self._line: deque[_Worker] = deque()
        self._births = [lives(place, work) for place, work in enumerate(works)]
        self._events: list[tuple[int, int, _Worker | Life, Want | None]] = []
        self._number = 0
        for place in range(len(works)):
            self._expect_birth(place)

    def play(self, until_ns: int) -> None:
        """Up to an instant."""
        while self._now < until_ns:
            self._happen()
            following = min(self._events[0][0] if self._events else until_ns, until_ns)
            while self._line and not (self._line[0].left_ns and self._line[0].until_ns > self._now):
                self._line.popleft().is_waiting = False
                self._turn_end = self._now + self._turn_ns
            if not self._line:
                self._now = following
                continue
            stop = min(self._now + self._line[0].left_ns, self._line[0].until_ns, following)
            if len(self._line) > 1:
                if self._turn_end <= self._now:
                    self._line.rotate(-1)
                    self._turn_end = self._now + self._turn_ns
                    continue
                stop = min(stop, self._turn_end)
            self._run(self._line[0], stop)

    def forget(self, instant_ns: int) -> None:
        """Drop what nobody asks for again."""
        self.busy.forget(instant_ns)
        for track in self.by_holder.values():
            track.forget(instant_ns)
        self.deaths = [death for death in self.deaths if death[0] >= instant_ns]

    def _run(self, worker: _Worker, stop_ns: int) -> None:
        self.busy.add(self._now, stop_ns)
        self.by_holder[worker.who].add(self._now, stop_ns)
        worker.left_ns -= stop_ns - self._now
        self._now = stop_ns

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self._now:
            _, _, subject, want = heapq.heappop(self._events)
            if isinstance(subject, Life):
                work = self._works[subject.work]
                self.deaths.append((subject.end_ns, work.who))
                self._expect_want(_Worker(subject, work.who, wants(subject, work, self._draw)))
                self._expect_birth(subject.work)
            elif want is not None:
                self._begin(subject, want)

    def _begin(self, worker: _Worker, want: Want) -> None:
        worker.left_ns = want.length_ns + (worker.left_ns if want.is_job else 0)
        worker.until_ns = want.until_ns
        if not worker.is_waiting:
            if not self._line:
                self._turn_end = self._now + self._turn_ns
            worker.is_waiting = True
            self._line.append(worker)
        self._expect_want(worker)

    def _expect_birth(self, place: int) -> None:
        life = next(self._births[place], None)
        if life is not None:
            self._push(life.start_ns, life, None)

    def _expect_want(self, worker: _Worker) -> None:
        want = next(worker.future, None)
        if want is not None:
            self._push(want.at_ns, worker, want)

    def _push(self, at_ns: int, subject: _Worker | Life, want: Want | None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_ns, self._number, subject, want))
