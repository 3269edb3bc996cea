"""One GPU in one window: its rows against scenario, price and the ledger's laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from demo.audit import formula
from demo.audit.answers import Row, clock
from demo.audit.forecast import Expectation, Forecast, Use
from demo.audit.price_list import Quote
from demo.audit.scenario import UNALLOCATED, UNATTRIBUTED, Node, Who
from demo.audit.story import CHANGE_NS, Holding, NodeStory, holding

NODE_STARTING = Who("unobserved", reason="node_starting")
AGENT_GAP = Who("unobserved", reason="agent_gap")
KUBELET_AWAY = Who("unobserved", reason="kubelet_away")
CARRIED = "carried"
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """A GPU in a window that was cut by its life: what is known of it without its rows."""

    node: Node
    forecast: Forecast
    story: NodeStory
    start_ns: int
    end_ns: int
    quote: Quote

    @property
    def cost(self) -> int:
        """What it should cost."""
        return formula.window_cost(self.quote.nanodollars or 0, self.start_ns, self.end_ns)


@dataclass(slots=True)
class Looked:
    """What one window showed: findings in words; uses that can be added up over windows."""

    findings: list[str] = field(default_factory=list)
    uses: dict[Who, tuple[int, Use]] = field(default_factory=dict)


def look(case: Case, rows: Sequence[Row]) -> Looked:
    """Check the rows of one GPU and window."""
    seen = Looked()
    place = f"{'/'.join(case.node.key)} {case.forecast.gpu.uuid[:12]} {clock(case.start_ns)}"
    ordered = sorted(rows, key=lambda row: row.order)
    problems = [*_shape(ordered), *_sums(case, ordered), *_price(case, ordered), *_apportioned(ordered)]
    if not problems:
        problems += _holders(case, ordered, seen)
    seen.findings = [f"{place}: {words}" for words in problems]
    return seen


def _shape(rows: Sequence[Row]) -> list[str]:
    found = []
    keys = [(row.who, row.pod_uid) for row in rows]
    found += [f"{who} stands there twice" for who, uid in set(keys) if keys.count((who, uid)) > 1]
    for row in rows:
        amounts = (
            row.reserved_ns,
            row.used_ns,
            row.idle_ns,
            row.unmeasured_ns,
            *row.parts,
            row.cost_reserved,
        )
        if min(amounts) < 0:
            found.append(f"{row.who} has a negative amount")
        if row.cost != sum(row.parts):
            found.append(f"{row.who} costs {row.cost}, its parts {sum(row.parts)} nano-dollars")
        if row.charged_ns > row.reserved_ns + row.used_ns:
            found.append(f"{row.who} is charged more than it reserved and used")
    return found


def _sums(case: Case, rows: Sequence[Row]) -> list[str]:
    length, found = case.end_ns - case.start_ns, []
    for what, total in (
        ("charged", sum(row.charged_ns for row in rows)),
        ("reserved", sum(row.reserved_ns for row in rows)),
    ):
        if total != length:
            found.append(f"{what} {total} ns in all, but the window is {length} ns long")
    if any(row.length_ns != length for row in rows):
        found.append(f"a row's length is not {length} ns")
    cost = sum(row.cost for row in rows)
    if cost != case.cost:
        found.append(f"costs {cost} nano-dollars, but price x time is {case.cost}")
    reserved = sum(row.cost_reserved for row in rows)
    if reserved != case.cost:
        found.append(f"what was reserved costs {reserved} nano-dollars, but price x time is {case.cost}")
    return found


def _price(case: Case, rows: Sequence[Row]) -> list[str]:
    right = case.quote
    return [
        f"{row.who}: price {row.price} of {row.price_source} {row.price_date}, and it should be "
        f"{right.nanodollars} of {right.source} {right.date}"
        for row in rows
        if (row.price, row.price_source, row.price_date) != (right.nanodollars, right.source, right.date)
    ]


def _apportioned(rows: Sequence[Row]) -> list[str]:
    """Costs are the window's, apportioned over parts of time, and over what was reserved."""
    times = [ns for row in rows for ns in (row.used_ns, row.idle_ns, row.unmeasured_ns)]
    total = sum(row.cost for row in rows)
    costs = formula.apportion(total, times)
    reserved = formula.apportion(total, [row.reserved_ns for row in rows])
    found = []
    for place, row in enumerate(rows):
        if row.parts != tuple(costs[3 * place : 3 * place + 3]):
            found.append(
                f"{row.who}: parts cost {row.parts}, and should {tuple(costs[3 * place : 3 * place + 3])}"
            )
        if row.cost_reserved != reserved[place]:
            found.append(
                f"{row.who}: what it reserved costs {row.cost_reserved}, and should {reserved[place]}"
            )
    return found


def _holders(case: Case, rows: Sequence[Row], seen: Looked) -> list[str]:
    """Who pays for what, once the sums are right."""
    by_who = {row.who: row for row in rows}
    start = case.start_ns
    starting = by_who.pop(NODE_STARTING, None)
    if starting is not None:
        start += starting.charged_ns
        if start > case.story.started_ns + 20 * 10**9 or starting.used_ns or starting.idle_ns:
            return [f"nobody looked for {starting.charged_ns} ns, long after the agent was started"]
        if start == case.end_ns:
            return []
    is_gap = any(CARRIED in row.flags or row.who == AGENT_GAP for row in rows)
    if is_gap and not case.story.may_be_gap(case.start_ns, case.end_ns):
        return ["time is marked as an agent's gap, and there was none"]
    stage = _Stage(case, holding(case.forecast.gpu, case.story, start, case.end_ns), start, by_who, is_gap)
    return [*stage.used(seen), *stage.charged()]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A window from the first look on, with the rows that count from there."""

    case: Case
    holding: Holding
    start_ns: int
    rows: dict[Who, Row]
    is_gap: bool

    @property
    def length_ns(self) -> int:
        return self.case.end_ns - self.start_ns

    @property
    def is_one_stretch(self) -> bool:
        """Nothing changed in the window, so that the formula gives every row to the nanosecond."""
        return not self.holding.slack_ns and not self.is_gap

    @property
    def watched_ns(self) -> int:
        """How long activity was watched; where there are several stretches a row tells its own only."""
        if self.is_one_stretch:
            return max((row.watched_ns for row in self.rows.values()), default=0)
        return min(self.length_ns, sum(row.used_ns + row.idle_ns + 1 for row in self.rows.values()))

    def used(self, seen: Looked) -> list[str]:
        """Use by holder and in all, against the scenario."""
        expected = self.case.forecast.of(self.start_ns, self.case.end_ns)
        found = []
        unwatched = self.length_ns - self.watched_ns
        excused = self.is_gap or self.case.story.may_lack_the_last(self.start_ns, self.case.end_ns)
        if not excused and unwatched > 2 * self.case.node.driver.period_ns:
            found.append(f"nobody watched for {unwatched // NS_PER_MS} ms, and nothing stood in the way")
        total = sum(row.used_ns for row in self.rows.values())
        low, high = expected.device.range_ns
        if not low - unwatched <= total <= high:
            found.append(_off("all", total, (low - unwatched, high), expected.device.expected_ns))
        for who in sorted(self.rows.keys() | expected.by_holder.keys()):
            use = self._use(who, expected)
            row = self.rows.get(who)
            used = row.used_ns if row is not None else 0
            low, high = use.range_ns
            low, high = low - unwatched - self.holding.slack_ns, high + self.holding.slack_ns
            if not low <= used <= high:
                found.append(_off(str(who), used, (low, high), use.expected_ns))
            if self.is_one_stretch:
                seen.uses[who] = used, replace(use, low_ns=use.low_ns + unwatched)
        return found

    def _use(self, who: Who, expected: Expectation) -> Use:
        if who == UNATTRIBUTED:
            return Use((0,) * len(expected.device.plays), 0, expected.stray_ns)
        if who == self._alone and expected.by_holder.keys() <= {who}:
            return expected.device
        return expected.by_holder.get(who, Use((0,) * len(expected.device.plays)))

    @property
    def _alone(self) -> Who | None:
        """Who holds the whole GPU by itself all the time, and so need not be told apart from others."""
        holders = {hold.who for stretch in self.holding.stretches for hold in stretch.holds}
        if self.case.forecast.gpu.replicas > 1 or any(stretch.is_away for stretch in self.holding.stretches):
            return None
        return next(iter(holders)) if len(holders) == 1 else None

    def charged(self) -> list[str]:
        """Who pays: the ledger's formula over the use that was seen and the reservations that the scenario says."""
        reserved, free = self._reserved()
        used = {who: row.used_ns for who, row in self.rows.items()}
        order = sorted(
            reserved.keys() | used.keys() | {free},
            key=lambda who: self.rows[who].order if who in self.rows else _order(who),
        )
        if sum(used.values()) > self.watched_ns:
            return ["more was used than watched"]
        stretch = formula.Stretch(self.length_ns, self.watched_ns)
        settled = formula.settle(stretch, reserved, used, free, order)
        slack = self._slack(reserved, used)
        possible = self._possible() | {free}
        found = []
        for who in order:
            row, right = self.rows.get(who), settled[who]
            if row is not None and who not in possible:
                found.append(f"{who} has no business here")
            got = (row.charged_ns, row.reserved_ns) if row is not None else (0, 0)
            if abs(got[0] - right.charged_ns) > slack or abs(got[1] - right.reserved_ns) > slack:
                found.append(
                    f"{who} pays {got[0]} ns of {got[1]} reserved, and should {right.charged_ns} of "
                    f"{right.reserved_ns}, give or take {slack}"
                )
            parts = (row.idle_ns, row.unmeasured_ns) if row is not None else (0, 0)
            if not slack and parts != (right.idle_ns, right.unmeasured_ns):
                found.append(f"{who} has {parts} idle and unmeasured: {right.idle_ns}, {right.unmeasured_ns}")
        return found

    def _reserved(self) -> tuple[dict[Who, int], Who]:
        """What each holder reserves, and who has the rest: whoever has it for longest."""
        reserved: dict[Who, int] = {}
        free = {UNALLOCATED: 0}
        for stretch in self.holding.stretches:
            length = stretch.end_ns - stretch.start_ns
            nobody = KUBELET_AWAY if stretch.is_away else UNALLOCATED
            free[nobody] = free.get(nobody, 0) + length
            if stretch.is_away:
                continue
            held = sorted(stretch.holds, key=lambda hold: self._place(hold.who))
            counts = [(hold.who, hold.replicas) for hold in held]
            for who, part in formula.replicas(length, self.case.forecast.gpu.replicas, counts).items():
                reserved[who] = reserved.get(who, 0) + part
        nobody = max(free, key=lambda who: free[who])
        for who, length in free.items():
            if who != nobody and length and sum(reserved.values()) + length <= self.length_ns:
                reserved[who] = length
        return reserved, nobody

    def _place(self, who: Who) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
        return self.rows[who].order if who in self.rows else _order(who)

    def _slack(self, reserved: dict[Who, int], used: dict[Who, int]) -> int:
        """
        How far the formula over a whole window may lie from that over its stretches.

        Where holders changed or nobody looked for a while there are several; each change is seen to the second, and
        a burst past a reservation counts in its own stretch only.
        """
        gap = self.rows[AGENT_GAP].charged_ns if AGENT_GAP in self.rows else 0
        if self.is_one_stretch:
            return 0
        several = (
            len((reserved.keys() | {who for who, ns in used.items() if ns}) - {UNALLOCATED, KUBELET_AWAY}) > 1
        )
        return self.holding.slack_ns + gap + (sum(used.values()) if several else 0) + len(self.rows)

    def _possible(self) -> set[Who]:
        begin, end = self.start_ns - CHANGE_NS, self.case.end_ns + CHANGE_NS
        holds = {h.who for h in self.case.forecast.gpu.holds if h.start_ns < end and begin < h.end_ns}
        possible = holds | self.case.forecast.workers(begin, end) | {UNATTRIBUTED}
        if self.is_gap:
            possible |= {AGENT_GAP}
        if self.holding.slack_ns:
            possible |= {UNALLOCATED, KUBELET_AWAY}
        return possible


def _order(who: Who) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
    kinds = ("container", "host", "unallocated", "unattributed", "unobserved")
    names = (who.namespace, who.pod, "", who.container, who.reason)
    first, second, third, fourth, fifth = (name.encode() for name in names)
    return kinds.index(who.kind), first, second, third, fourth, fifth


def _off(who: str, used: int, allowed: tuple[int, int], expected: int) -> str:
    low, high = (max(0, bound) // NS_PER_MS for bound in allowed)
    return (
        f"{who} used {used // NS_PER_MS} ms; the scenario says {expected // NS_PER_MS} ms, "
        f"and theory allows {low} to {high} ms"
    )
