"""
How long each holder should be seen to use a GPU in an interval, and how far a right answer may lie from that.

The terms are those of ../README.md: what the seed draws, whom a sample names, whole percents, samples and reads that
lie across a border, processes that are gone before anybody looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import log, sqrt
from statistics import fmean, pstdev

from demo.audit.scenario import NS, Driver, Gpu, Who
from demo.audit.turns import Track, Turns

PLAYS = 24
"""So often a GPU is played whose patterns are drawn, as the seed's own draws are not known here."""

SIGMAS = 6
READ_NS = 2 * NS
"""A read of use by process covers a second; on a busy machine up to two."""

_TAIL = log(2 / 1e-6)
"""Bernstein's bound is passed once in a million."""

_TICK_NS = 50_000_000
_COUNTS = re.compile(r"\b(H100|H200|H20|GH200|B100|B200|GB200|GB300)\b")
"""GPUs whose driver counts activity (GPM): Hopper and newer."""

_MARGIN_NS = 3 * NS


@dataclass(frozen=True, slots=True)
class Use:
    """Expected use, one number a play; errors that are bounded, and the variance (ns²) of whom samples name."""

    plays: tuple[int, ...]
    low_ns: int = 0
    high_ns: int = 0
    variance: float = 0.0
    sample_ns: int = 0

    @property
    def expected_ns(self) -> int:
        """The mean of the plays."""
        return round(fmean(self.plays))

    @property
    def noise_ns(self) -> int:
        """What chance may add or take."""
        drawn = SIGMAS * pstdev(self.plays)
        if not self.variance:
            return int(drawn)
        # Bernstein: sqrt(2 v t) + c t / 3, for sums of independent parts of at most c with variance v in all.
        return int(drawn + sqrt(2 * self.variance * _TAIL) + self.sample_ns * _TAIL / 3)

    @property
    def range_ns(self) -> tuple[int, int]:
        """What a right answer lies in."""
        return self.expected_ns - self.noise_ns - self.low_ns, self.expected_ns + self.noise_ns + self.high_ns

    def __add__(self, other: Use) -> Use:
        return Use(
            tuple(mine + its for mine, its in zip(self.plays, other.plays, strict=True)),
            self.low_ns + other.low_ns,
            self.high_ns + other.high_ns,
            self.variance + other.variance,
            max(self.sample_ns, other.sample_ns),
        )


@dataclass(frozen=True, slots=True)
class Expectation:
    """Of one GPU in one interval. *stray_ns* is how much may be seen without anybody knowing whose it is."""

    device: Use
    by_holder: dict[Who, Use]
    stray_ns: int


@dataclass
class Forecast:
    """One GPU; asked for intervals in the order of time."""

    gpu: Gpu
    driver: Driver
    _known: dict[tuple[int, int], Expectation] = field(default_factory=dict)
    _plays: list[Turns] = field(init=False)

    def __post_init__(self) -> None:
        many = PLAYS if any(work.is_drawn for work in self.gpu.works) else 1
        self._plays = [Turns(self.gpu.works, self.driver.turn_ns, seed) for seed in range(many)]

    def of(self, start_ns: int, end_ns: int) -> Expectation:
        """What is expected of an interval."""
        if (start_ns, end_ns) not in self._known:
            for play in self._plays:
                play.play(end_ns + _MARGIN_NS)
                play.forget(start_ns - _MARGIN_NS)
            self._known[start_ns, end_ns] = self._expectation(start_ns, end_ns)
        return self._known[start_ns, end_ns]

    def forget(self, instant_ns: int) -> None:
        """Drop what is known of intervals that began before an instant."""
        self._known = {key: known for key, known in self._known.items() if key[0] >= instant_ns}

    def workers(self, start_ns: int, end_ns: int) -> set[Who]:
        """Who has a process in an interval, busy or not."""
        return {work.who for work in self.gpu.works if work.start_ns < end_ns and start_ns < work.end_ns}

    def _expectation(self, start_ns: int, end_ns: int) -> Expectation:
        length, period = end_ns - start_ns, self.driver.period_ns
        percent = length // 100 + length // 10_000
        below, above = (percent, 0) if self.driver.rounding == "down" else (percent // 2, percent // 2)
        plays = [play.busy for play in self._plays]
        across = self._across(plays, (start_ns, end_ns), period)
        if _COUNTS.search(self.gpu.model):
            # What the driver counts is told from one read to the next, and the counters are a tick old.
            across += self._across(plays, (start_ns, end_ns), READ_NS) + 2 * _TICK_NS
        device = Use(tuple(busy.between(start_ns, end_ns) for busy in plays), below + across, above + across)
        by_holder = {}
        stray = self._across([play.busy for play in self._plays], (start_ns, end_ns), READ_NS)
        for who in self._plays[0].by_holder:
            tracks = [play.by_holder[who] for play in self._plays]
            rows = sum(1 if work.every_ns is None else 2 for work in self.gpu.works if work.who == who)
            across = self._across(tracks, (start_ns, end_ns), READ_NS)
            late = max(self._unseen(play, who, start_ns, end_ns) for play in self._plays)
            variance, most = self._naming(who, start_ns, end_ns)
            by_holder[who] = Use(
                tuple(track.between(start_ns, end_ns) for track in tracks),
                below * (rows + 1) + across + late,
                max(above, percent // 2) * (rows + 1) + across,
                variance,
                most,
            )
            stray += below * (rows + 1) + across + late
        return Expectation(device, by_holder, stray)

    def _across(self, tracks: Iterable[Track], borders: tuple[int, int], length_ns: int) -> int:
        """
        What it matters that a look of *length_ns* across a border is divided in proportion.

        The largest |busy before the border in the look - its part of the look x busy in the look|, over where the
        look may begin, for each border.
        """
        error = 0
        for border in borders:
            worst = 0
            for track in tracks:
                for step in range(1, 10):
                    before = length_ns * step // 10
                    begin = border - before
                    share = track.between(begin, begin + length_ns) * before // length_ns
                    worst = max(worst, abs(track.between(begin, border) - share))
            error += worst
        return error

    def _unseen(self, play: Turns, who: Who, start_ns: int, end_ns: int) -> int:
        """Use in the last read of a process's life: it may be gone before anybody asks whose it was."""
        track = play.by_holder[who]
        return sum(
            track.between(max(start_ns, death - READ_NS), min(end_ns, death))
            for death, whose in play.deaths
            if whose == who and start_ns < death and death - READ_NS < end_ns
        )

    def _naming(self, who: Who, start_ns: int, end_ns: int) -> tuple[float, int]:
        """
        A sample names one of those that ran in it, in proportion to time.

        The variance of what that gives a holder, b x (all - b) a sample, and the most that one sample can give.
        """
        period, worst, most = self.driver.period_ns, 0, 0
        if self.driver.owner != "proportional":
            # Other ways of naming are biased; nothing is known then but what the whole device did.
            return float((end_ns - start_ns) ** 2), period
        for play in self._plays[:4]:
            for phase in (0, period // 2):
                total, begin = 0, start_ns + phase - period
                while begin < end_ns:
                    mine = play.by_holder[who].between(begin, begin + period)
                    everything = play.busy.between(begin, begin + period)
                    total += mine * (everything - mine)
                    most = max(most, everything)
                    begin += period
                worst = max(worst, total)
        return float(worst), most
