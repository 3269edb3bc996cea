"""
What theory gives: the scenario played once more, read as the driver tells it, with errors as they must come.

The driver's ring has a sample a period, with one owner, drawn in proportion to time; its rows by process are means over
a second's read, in whole percents. Accounting has the same owners and no percents. dcgm-exporter has one mean an
interval, which a reader takes for the time since its last scrape. What a device did is known to a whole percent a
sample; what of it is a lone holder's goes by when it held the device, which is known to a second, as the kubelet is
asked. Nothing here knows how the agent goes about it; only what it can be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from accuracy.expected import Time
from accuracy.modes import Mode
from accuracy.plan import HOPPER, GpuPlan, Job
from accuracy.truth import NS, Device
from demo.audit.scenario import Who, Work
from demo.audit.turns import Turns

DRAWN_S = 14_400
"""So many seconds of samples are drawn for each device: of short runs there are more draws, as they are noisier."""

_FEWEST_DRAWS = 24
_PHASES = 4
"""So many draws have the same samples, and other owners."""

_READ_NS = {"ring_process": NS, "accounting": 5 * NS, "ring": NS}
"""How much one read by process covers; whatever is read is spread evenly over it."""

_SCRAPE_NS = 5 * NS
_AROUND_NS = 6 * NS
_ANSWERS_NS = NS
"""The kubelet is asked each second; a change lies between two answers."""

Key = tuple[str, str, str, int]
Bin = tuple[int, int, dict[int, int]]
"""A sample: from when to when, and how long each job ran in it."""


def errors(plan: GpuPlan, key: Device, mode: Mode, time: Time) -> list[float]:
    """Errors of use as parts of the device's time, of all its holders, in many draws; nothing without a theory."""
    jobs = [job for job in plan.jobs if (job.gi, job.ci) == (key.gi, key.ci)]
    method = mode.methods[-1] if mode.methods else ""
    if not jobs or method not in (*_READ_NS, "dcgm"):
        return []
    theory = _Theory(plan, jobs, time)
    found: list[float] = []
    for _ in range(draws(time)):
        estimates = theory.by_exporter() if method == "dcgm" else theory.by_samples(method)
        found += [
            theory.limit(owner) * (estimates[owner] - theory.true[owner]) / (end - begin)
            for owner, (begin, end) in theory.lives.items()
        ]
    return found


def draws(time: Time) -> int:
    """How often the owners of all samples are drawn."""
    return max(_FEWEST_DRAWS, DRAWN_S * NS // (time.end_ns - time.begin_ns))


class _Theory:
    """One device, played once; each estimate draws anew."""

    def __init__(self, plan: GpuPlan, jobs: list[Job], time: Time) -> None:
        self._plan, self._jobs, self._time = plan, jobs, time
        self._random = Random(f"{plan.uuid} {time.begin_ns}")
        works: list[Work] = [
            replace(job.work, who=Who("work", pod=str(place))) for place, job in enumerate(jobs)
        ]
        self._played = Turns(works, plan.driver.turn_ns, 1)
        self._played.play(time.end_ns + 2 * max(_SCRAPE_NS, plan.dcgm_interval_ns or 0))
        self._tracks = [self._played.by_holder[work.who] for work in works]
        self.lives = self._lives()
        self._samples: list[Bin] = []
        self._drawn = 0
        self.true: dict[Key, int] = defaultdict(int)
        for job, track in zip(jobs, self._tracks, strict=True):
            if job.owner in self.lives:
                self.true[job.owner] += track.between(*self.lives[job.owner])

    def limit(self, owner: Key) -> float:
        """The part of the device that MPS lets a holder use."""
        return min((job.threads for job in self._jobs if job.owner == owner), default=1.0)

    def by_samples(self, method: str) -> dict[Key, float]:
        """From reads of the ring, or of sums of its samples by process."""
        estimates: dict[Key, float] = defaultdict(float)
        shift = self._random.randrange(NS)
        reads: dict[int, list[Bin]] = defaultdict(list)
        if self._drawn % _PHASES == 0:
            self._samples = list(self._bins())
        self._drawn += 1
        for each in self._samples:
            reads[(each[1] + shift) // _READ_NS[method]].append(each)
        lives = self._seen_lives()
        for read in reads.values():
            if method == "ring":
                self._of_the_device(read, lives, estimates)
            else:
                self._of_processes(read, estimates, in_percents=method == "ring_process")
        return estimates

    def by_exporter(self) -> dict[Key, float]:
        """A scrape stands for the time since the one before; it shows the mean of the exporter's last interval."""
        estimates: dict[Key, float] = defaultdict(float)
        interval = self._plan.dcgm_interval_ns or NS
        lives = self._seen_lives()
        phase, at = self._random.randrange(interval), self._time.begin_ns - self._random.randrange(_SCRAPE_NS)
        while at < self._time.end_ns:
            scraped = at + _SCRAPE_NS
            last = (scraped - phase) // interval * interval + phase
            share = self._played.busy.between(last - interval, last) / interval
            for owner, life in lives.items():
                estimates[owner] += share * _inside(life, at, scraped)
            at = scraped
        return estimates

    def _lives(self) -> dict[Key, tuple[int, int]]:
        """When each holder's processes live, cut by what is compared."""
        found: dict[Key, tuple[int, int]] = {}
        for job in self._jobs:
            begin, end = max(job.work.start_ns, self._time.begin_ns), min(job.work.end_ns, self._time.end_ns)
            if begin < end:
                known = found.get(job.owner, (begin, end))
                found[job.owner] = min(begin, known[0]), max(end, known[1])
        return found

    def _bins(self) -> Iterator[Bin]:
        period = self._plan.driver.period_ns
        at = self._time.begin_ns - _AROUND_NS - self._random.randrange(period)
        before = [track.until(at) for track in self._tracks]
        while at < self._time.end_ns + _AROUND_NS:
            after = [track.until(at + period) for track in self._tracks]
            ran = {place: b - a for place, (a, b) in enumerate(zip(before, after, strict=True)) if b > a}
            yield at, at + period, ran
            before, at = after, at + period

    def _seen_lives(self) -> dict[Key, tuple[int, int]]:
        """With changes where they are thought to be: in the middle between two answers."""
        found = {}
        for owner, life in self.lives.items():
            edges = [
                edge + self._random.randint(-_ANSWERS_NS // 2, _ANSWERS_NS // 2)
                if self._time.begin_ns < edge < self._time.end_ns
                else edge
                for edge in life
            ]
            found[owner] = edges[0], edges[1]
        return found

    def _of_the_device(
        self, read: list[Bin], lives: dict[Key, tuple[int, int]], estimates: dict[Key, float]
    ) -> None:
        for since, until, ran in read:
            share = self._activity(sum(ran.values()) / (until - since))
            for owner, life in lives.items():
                estimates[owner] += share * _inside(life, since, until)

    def _of_processes(self, read: list[Bin], estimates: dict[Key, float], in_percents: bool) -> None:
        """Rows of a read; together no more than the device did, as far as that is known."""
        begin, end = read[0][0], read[-1][1]
        rows: dict[int, int] = defaultdict(int)
        device = 0.0
        for since, until, ran in read:
            if ran:
                rows[self._random.choices(list(ran), list(ran.values()))[0]] += sum(ran.values())
                device += self._activity(sum(ran.values()) / (until - since)) * (until - since)
        shares = {place: ran_ns / (end - begin) for place, ran_ns in rows.items()}
        if in_percents:
            shares = {place: self._rounded(share) for place, share in shares.items()}
        too_much = max(1.0, sum(shares.values()) * (end - begin) / device) if device else 1.0
        for place, share in shares.items():
            owner = self._jobs[place].owner
            estimates[owner] += share / too_much * _inside(self.lives.get(owner, (0, 0)), begin, end)

    def _activity(self, share: float) -> float:
        """A sample of the device: counted exactly where it is counted, else in the ring's percents."""
        return share if self._plan.architecture == HOPPER else self._rounded(share)

    def _rounded(self, share: float) -> float:
        """As the driver tells it, in whole percents."""
        return (int if self._plan.driver.rounding == "down" else round)(100 * share) / 100


def _inside(life: tuple[int, int], begin_ns: int, end_ns: int) -> int:
    return max(0, min(life[1], end_ns) - max(life[0], begin_ns))
