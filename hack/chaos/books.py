"""
The ledger against what really happened: of each GPU, window and holder.

Knows the scenario, the price book, the simulator's record, the harness's log and public answers; README.md has the
formulas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from accuracy import expected
from accuracy.expected import Dues
from accuracy.plan import GpuPlan
from accuracy.truth import Device, Truth, Who
from chaos.answers import UNWATCHED, Answers, Row
from chaos.clock_steps import RING_NS, ClockSteps
from chaos.labels import SEEN_NS, LabelledWindow, RealTime
from chaos.log_book import LogBook
from demo.audit.formula import NS_PER_HOUR, window_cost

NS = 10**9
CHANGE_NS = NS
"""A change of holders is seen to the second."""

ROUNDING_NS = 1_000
"""Sums of a window's apportioned parts; the expected ones are floats."""

ROUNDED = 3
"""Nano-dollars of a row: its used, idle and unmeasured parts are rounded each."""

READING = 0.03
"""The part of a shared GPU's window that whole percents of a few processes may move between holders."""

BURST = 1 / 3
"""The part of a window that the luck of its samples may move, where somebody uses more than it holds."""

STEPPED_NS = NS // 1_000
"""
How well the length of windows is known that follow each other and have a step in or near them, as a sum: an agent reads
its two clocks one after the other, some microseconds apart, and more where it is interrupted between them.
"""

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ClusterTruth:
    """What is known of one cluster: its record, its GPUs by UUID with their nodes, its windows, its price."""

    name: str
    truth: Truth
    plans: Mapping[str, GpuPlan]
    windows: Sequence[LabelledWindow]
    nanodollars_per_hour: int


@dataclass
class Verdict:
    """Sums over all GPUs, windows and holders; money in nano-dollars, time in GPU-nanoseconds."""

    expected: int = 0
    held: int = 0
    lost: int = 0
    doubled: int = 0
    unexplained: int = 0
    unwatched_ns: int = 0
    downtime_ns: int = 0
    excess_ns: int = 0
    windows: int = 0
    compared: int = 0
    holders: set[Who] = field(default_factory=set)
    by_reason: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    findings: list[str] = field(default_factory=list)

    def find(self, words: str) -> None:
        """What a person should look at; the first of them."""
        if len(self.findings) < _SHOWN:
            self.findings.append(words)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared: everything that the ledger says, with what is known of each cluster."""

    clusters: Sequence[ClusterTruth]
    answers: Answers
    book: LogBook
    window_ns: int

    def verdict(self) -> Verdict:
        """The books of every GPU."""
        found = Verdict()
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in self.answers.rows:
            rows[row.device.gpu_uuid].append(row)
        aside: dict[str, list[Row]] = defaultdict(list)
        for row in self.answers.quarantined:
            aside[row.device.gpu_uuid].append(row)
        for cluster in self.clusters:
            begin, end = cluster.windows[0].begin_ns, cluster.windows[-1].end_ns
            time = RealTime(begin, end, self.window_ns, tuple(cluster.windows))
            dues = expected.expect(cluster.truth, cluster.plans, time)
            for uuid in cluster.plans:
                _Gpu(self, cluster, uuid, found).compare(rows.pop(uuid, []), aside[uuid], dues)
        for uuid, strange in rows.items():
            found.doubled += _worth(strange)
            found.find(f"{uuid} is no GPU of the scenario")
        return found


@dataclass(frozen=True, slots=True)
class _Gpu:
    """One GPU's books."""

    comparison: Comparison
    cluster: ClusterTruth
    uuid: str
    found: Verdict

    @property
    def _steps(self) -> ClockSteps:
        return ClockSteps(self.comparison.book, self.cluster.name, self.uuid, self.comparison.window_ns)

    def compare(self, rows: Sequence[Row], aside: Sequence[Row], dues: Dues) -> None:
        self._once(rows)
        window_ns = self.comparison.window_ns
        by_window: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_window[row.start_ns // window_ns * window_ns].append(row)
        waiting: dict[int, list[Row]] = defaultdict(list)
        for row in aside:
            waiting[row.start_ns // window_ns * window_ns].append(row)
        death_ns = self.comparison.book.deaths.get(self.uuid)
        through_ns = self.cluster.windows[-1].end_ns
        if death_ns is not None:
            # The books of a node that is gone end at its last sign of life.
            through_ns = min(death_ns, max(self._ends(rows), default=self.cluster.windows[0].begin_ns))
        unwatched_ns = stepped_ns = stray_ns = 0
        for window in self.cluster.windows:
            inside = by_window.pop(window.start_ns, [])
            lost_ns = self._window(window, through_ns, inside, waiting[window.start_ns], dues)
            unwatched_ns += lost_ns
            if lost_ns and not self._is_explained(window):
                stray_ns += lost_ns
                found = f"not watched for {lost_ns / NS:.3f} s, and nothing was done to it near"
                self.found.find(f"{self._at(window.start_ns)}: {found}")
            if self._steps.slack_ns(window):
                due_ns = max(0, min(window.end_ns, through_ns) - window.begin_ns)
                held = (*inside, *waiting[window.start_ns])
                stepped_ns += sum(row.charged_ns for row in held) - due_ns
            else:
                self._stepped(window, stepped_ns)
                stepped_ns = 0
        self._stepped(self.cluster.windows[-1], stepped_ns)
        for strange in by_window.values():
            self.found.doubled += _worth(strange)
            self.found.find(f"{self.uuid[:12]}: books outside of its life, at {strange[0].start_ns}")
        if death_ns is not None:
            unwatched_ns += max(0, min(death_ns, self.cluster.windows[-1].end_ns) - through_ns)
        self._downtime(unwatched_ns, stray_ns)

    def _is_explained(self, window: LabelledWindow) -> bool:
        """Whether the harness's log has anything within a window's length of it."""
        around_ns = self.comparison.window_ns
        return bool(
            self.comparison.book.reasons(self.uuid, window.begin_ns - around_ns, window.end_ns + around_ns)
        )

    def _stepped(self, window: LabelledWindow, off_ns: int) -> None:
        """Windows around a step of the clock lie where the agent saw it; together they are as long as they were."""
        if abs(off_ns) > STEPPED_NS:
            worth = abs(off_ns) * self.cluster.nanodollars_per_hour // NS_PER_HOUR
            if off_ns < 0:
                self.found.lost += worth
            else:
                self.found.doubled += worth
            self.found.find(f"{self._at(window.start_ns)}: steps before it are off by {off_ns} ns in all")

    def _once(self, rows: Iterable[Row]) -> None:
        """No key twice."""
        seen = set()
        for row in rows:
            if row.is_adjustment:
                continue
            if row.key in seen:
                self.found.doubled += _worth([row])
                self.found.find(f"{self._at(row.start_ns)} {row.who}: a key twice")
            seen.add(row.key)

    def _ends(self, rows: Iterable[Row]) -> Iterable[int]:
        """Where each of its windows ends, as their time says."""
        length: dict[int, int] = defaultdict(int)
        for row in rows:
            length[row.start_ns] += row.charged_ns
        return [start + ns for start, ns in length.items()]

    def _window(
        self,
        window: LabelledWindow,
        through_ns: int,
        rows: Sequence[Row],
        waiting: Sequence[Row],
        dues: Dues,
    ) -> int:
        """Compare a window; how much of it nobody watched."""
        found = self.found
        held_ns = sum(row.charged_ns for row in (*rows, *waiting))
        held = sum(row.cost for row in (*rows, *waiting))
        due_ns = max(0, min(window.end_ns, through_ns) - window.begin_ns)
        cost_ns = (window.start_ns, window.start_ns + due_ns)
        slack_ns = self._steps.slack_ns(window)
        if slack_ns and abs(held_ns - due_ns) <= slack_ns:
            # Its length is the monotonic clock's, which nobody but the agent reads at that instant.
            due_ns = held_ns
        due = window_cost(self.cluster.nanodollars_per_hour, *cost_ns)
        if slack_ns:
            due = self._stepped_cost(rows)
        found.windows += bool(due_ns or held_ns)
        found.expected += due
        found.held += held
        self._closes(window, rows, (held_ns - due_ns, held - due))
        unwatched_ns = sum(row.charged_ns for row in rows if row.is_unwatched)
        unwatched_ns += sum(row.charged_ns for row in waiting)
        for row in rows:
            if row.is_unwatched:
                what = row.who.container if row.who.kind == UNWATCHED else "carried"
                found.by_reason[what] += row.charged_ns
        for row in waiting:
            found.by_reason["quarantined"] += row.charged_ns
        if due_ns:
            # Of the window that a node's last sign of life lies in, the books have the first part.
            beyond_ns = 0 if slack_ns else window.end_ns - window.begin_ns - due_ns
            self._holders(window, rows, dues, unwatched_ns + beyond_ns)
            self._money(rows)
        return unwatched_ns

    def _money(self, rows: Sequence[Row]) -> None:
        """Each holder pays of the window's cost what it is charged of its time, to the nano-dollars of rounding."""
        parts: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            parts[row.start_ns].append(row)
        for start, inside in parts.items():
            length = sum(row.charged_ns for row in inside)
            cost = sum(row.cost for row in inside)
            of_holder: dict[tuple[Device, Who], list[Row]] = defaultdict(list)
            for row in inside:
                of_holder[row.device, row.who].append(row)
            for (_, who), own in of_holder.items():
                paid, charged = sum(row.cost for row in own), sum(row.charged_ns for row in own)
                off = abs(paid - (cost * charged // length if length else 0)) - ROUNDED * len(own)
                if off > 0:
                    self.found.unexplained += off
                    self.found.find(f"{self._at(start)} {who}: pays {paid} for {charged} of {length} ns")

    def _stepped_cost(self, rows: Sequence[Row]) -> int:
        """Of a window in which a clock was stepped: each part that was closed alone is priced by its own length."""
        length: dict[int, int] = defaultdict(int)
        cost: dict[int, int] = defaultdict(int)
        for row in rows:
            length[row.start_ns] += row.charged_ns
            cost[row.start_ns] += row.cost
        total = 0
        for start, ns in length.items():
            price = self.cluster.nanodollars_per_hour
            by_clock, by_length = window_cost(price, start, start + ns), price * ns // NS_PER_HOUR
            total += by_clock if cost[start] == by_clock else by_length
        return total

    def _closes(self, window: LabelledWindow, rows: Sequence[Row], off: tuple[int, int]) -> None:
        """Time and money of a window are what they should be, and its parts follow each other."""
        off_ns, off_cost = off
        worth = off_ns * self.cluster.nanodollars_per_hour // NS_PER_HOUR
        wrong = max((off_cost, worth, (off_ns > 0) - (off_ns < 0)), key=abs)
        if wrong < 0:
            self.found.lost -= wrong
        else:
            self.found.doubled += wrong
        if wrong:
            self.found.find(f"{self._at(window.start_ns)}: off by {off_ns} ns and {off_cost} nano-dollars")
        if self._steps.slack_ns(window):
            return
        length: dict[int, int] = defaultdict(int)
        for row in rows:
            length[row.start_ns] += row.charged_ns
        for (start, ns), (after, _) in pairwise(sorted(length.items())):
            gap_ns = after - start - ns
            cost = -(-abs(gap_ns) * self.cluster.nanodollars_per_hour // NS_PER_HOUR)
            if gap_ns > 0:
                self.found.lost += cost
            else:
                self.found.doubled += cost
            if gap_ns:
                self.found.find(f"{self._at(start)}: {gap_ns} ns between it and {self._at(after)}")

    def _holders(self, window: LabelledWindow, rows: Sequence[Row], dues: Dues, unwatched_ns: int) -> None:
        held: dict[tuple[Device, Who], int] = defaultdict(int)
        for row in rows:
            if row.who.kind != UNWATCHED:
                held[row.device, row.who] += row.charged_ns
        for (device, who), windows in dues.items():
            if device.gpu_uuid == self.uuid and window.begin_ns in windows:
                held[device, who] += 0
        room_ns = self._room(window, unwatched_ns)
        here = [
            windows[window.begin_ns]
            for (device, _), windows in dues.items()
            if device.gpu_uuid == self.uuid and window.begin_ns in windows
        ]
        if any(due.used_ns > due.reserved_ns for due in here):
            room_ns += BURST * self.comparison.window_ns
        if self._steps.jumps(window.begin_ns - RING_NS, window.end_ns):
            room_ns += sum(due.used_ns for due in here)
        for (device, who), ns in held.items():
            self.found.compared += 1
            self.found.holders.add(who)
            if device not in self.cluster.truth.devices and who.kind == "unallocated":
                continue  # what is left of a partitioned GPU: the other devices and the sum say how much
            due = dues.get((device, who), {}).get(window.begin_ns)
            off_ns = abs(ns - (0 if due is None else due.charged_ns)) - room_ns
            if off_ns > 0:
                price = self.cluster.nanodollars_per_hour
                self.found.unexplained += max(1, int(off_ns) * price // NS_PER_HOUR)
                self.found.find(
                    f"{self._at(window.start_ns)} {who}: charged {ns / NS:.3f} s,"
                    f" due {(due.charged_ns if due else 0) / NS:.3f} s, room {room_ns / NS:.3f} s"
                )

    def _room(self, window: LabelledWindow, unwatched_ns: int) -> float:
        """By how much a holder's charge may differ: see README.md."""
        near = window.begin_ns - CHANGE_NS, window.end_ns + CHANGE_NS
        edges = {
            edge
            for device, truth in self.cluster.truth.devices.items()
            if device.gpu_uuid == self.uuid
            for hold in truth.holds
            for edge in (hold.since_ns, hold.until_ns)
            if near[0] < edge < near[1]
        }
        is_shared = any(
            hold.of > 1
            for device, truth in self.cluster.truth.devices.items()
            if device.gpu_uuid == self.uuid
            for hold in truth.holds
        )
        room = ROUNDING_NS + len(edges) * CHANGE_NS + unwatched_ns
        room += READING * self.comparison.window_ns if is_shared else 0
        jumps = self._steps.jumps(*near)
        unseen_ns = self._steps.slack_ns(window) - (SEEN_NS if window.is_stepped else 0)
        return room + jumps * CHANGE_NS + unseen_ns

    def _downtime(self, unwatched_ns: int, stray_ns: int) -> None:
        """What nobody watched, beside the harness's log."""
        found, book = self.found, self.comparison.book
        life = self.cluster.windows[0].begin_ns, self.cluster.windows[-1].end_ns
        if self.uuid in book.deaths:
            life = life[0], min(life[1], book.deaths[self.uuid])
        downtime_ns = book.unwatched_ns(self.uuid, *life)
        allowed_ns = self.comparison.window_ns * book.reasons(self.uuid, *life)
        found.unwatched_ns += unwatched_ns
        found.downtime_ns += downtime_ns
        excess_ns = max(0, unwatched_ns - downtime_ns - allowed_ns)
        found.excess_ns += max(stray_ns, excess_ns)
        if excess_ns:
            found.find(
                f"{self.uuid[:12]}: not watched for {unwatched_ns / NS:.3f} s, of which the log explains"
                f" {downtime_ns / NS:.3f} s and {allowed_ns / NS:.0f} s of windows"
            )

    def _at(self, start_ns: int) -> str:
        second = (start_ns - self.cluster.windows[0].start_ns) / NS
        return f"{self.cluster.plans[self.uuid].node} {self.uuid[:12]} at {second:g} s"


def _worth(rows: Iterable[Row]) -> int:
    """What rows cost that should not be there; also one that costs nothing is one too many."""
    return sum(max(1, abs(row.cost)) for row in rows)
