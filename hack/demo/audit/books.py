"""The whole of the books: every GPU and window there, no holes, and reports that are the sum of the slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any

from demo.audit.answers import Answers, Row, clock
from demo.audit.forecast import Forecast, Use
from demo.audit.price_list import PriceList
from demo.audit.scenario import NS, Gpu, Node, Scenario, Who
from demo.audit.story import STARTING_NS, NodeStory
from demo.audit.window_check import NODE_STARTING, Case, Looked, look

HOUR_NS = 3_600 * NS
SUMS: dict[str, Callable[[Row], int]] = {
    "charged_ns": lambda row: row.charged_ns,
    "reserved_ns": lambda row: row.reserved_ns,
    "used_ns": lambda row: row.used_ns,
    "idle_ns": lambda row: row.idle_ns,
    "unmeasured_ns": lambda row: row.unmeasured_ns,
    "cost_nanodollars": lambda row: row.cost,
    "cost_reserved_nanodollars": lambda row: row.cost_reserved,
}
_BESIDE = ("unpriced", "quarantined")
"""Remainders that stand apart: their time is in rows or in no total at all."""


@dataclass(slots=True)
class WindowSum:
    """One window of all GPUs, once it was looked at. *sums* are by what reports sum, *namespaces* are costs."""

    expected: int = 0
    reported: int = 0
    rows: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    namespaces: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    uses: dict[tuple[str, Who], tuple[int, Use]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the books showed."""

    compared: int
    windows: int
    expected: int
    reported: int
    through_ns: int
    findings: tuple[str, ...]

    @property
    def difference(self) -> int:
        """Nano-dollars that are too many, or too few if negative."""
        return self.reported - self.expected

    @property
    def passed(self) -> bool:
        """Something was compared, and nothing is wrong."""
        return self.compared > 0 and not self.findings and self.difference == 0


@dataclass
class Auditor:
    """Looks at answers again and again; *stories* may go on meanwhile."""

    scenario: Scenario
    prices: PriceList
    stories: Mapping[tuple[str, str], NodeStory]
    _windows: dict[int, WindowSum] = field(default_factory=dict)
    _begins: dict[str, int] = field(default_factory=dict)
    _forecasts: dict[str, Forecast] = field(init=False)
    _uids: dict[tuple[str, Who], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._forecasts = {gpu.uuid: Forecast(gpu, node.driver) for node, gpu in self._gpus()}

    @property
    def begin_ns(self) -> int:
        """No window of these books begins earlier."""
        first = min(
            self._boot(node) if self._lives_from_boot(node) else self.stories[node.key].started_ns
            for node in self.scenario.nodes
        )
        return first - first % self.scenario.window_ns

    def is_everybody_there(self, answers: Answers) -> bool:
        """Whether every node has sent something; before that its windows can not be missed."""
        return {row.node for row in answers.rows} >= {node.key for node in self.scenario.nodes}

    def look(self, answers: Answers) -> Verdict:
        """Check all of *answers*, and that what was seen before is still in the reports."""
        by_window: dict[int, list[Row]] = {}
        for row in answers.rows:
            by_window.setdefault(self._grid(row.start_ns), []).append(row)
        findings = self._strangers(answers.rows)
        for start in range(answers.from_ns, answers.through_ns, self.scenario.window_ns):
            self._windows[start] = self._window(start, by_window.get(start, []))
        for forecast in self._forecasts.values():
            forecast.forget(answers.through_ns - HOUR_NS)
        known = [self._windows[start] for start in sorted(self._windows) if start < answers.through_ns]
        findings += [words for window in known for words in window.findings]
        findings += self._over_all(known)
        findings += self._reports(known, answers.reports)
        return Verdict(
            sum(window.rows for window in known),
            len(known),
            sum(window.expected for window in known),
            sum(window.reported for window in known),
            answers.through_ns,
            tuple(findings),
        )

    def _grid(self, instant_ns: int) -> int:
        return instant_ns - instant_ns % self.scenario.window_ns

    def _gpus(self) -> Iterable[tuple[Node, Gpu]]:
        return ((node, gpu) for node in self.scenario.nodes for gpu in node.gpus)

    def _boot(self, node: Node) -> int:
        # The kernel tells its boot in whole seconds.
        return node.booted_ns - node.booted_ns % NS

    def _lives_from_boot(self, node: Node) -> bool:
        return self._boot(node) > self.stories[node.key].started_ns - HOUR_NS + STARTING_NS

    def _strangers(self, rows: Iterable[Row]) -> list[str]:
        known = {(node.key, gpu.uuid) for node, gpu in self._gpus()}
        found = [f"{row.place}: no such GPU" for row in rows if (row.node, row.gpu_uuid) not in known]
        for row in rows:
            if row.who.kind == "container":
                # A pod of a StatefulSet may come again under its name; then two UIDs are right.
                uid = self._uids.setdefault((row.gpu_uuid, row.who), row.pod_uid)
                if not row.pod_uid or (uid != row.pod_uid and self._is_one_pod(row.who)):
                    found.append(f"{row.place}: pod UID {row.pod_uid!r}, and {uid!r} before")
        return found

    def _is_one_pod(self, who: Who) -> bool:
        begins = {hold.start_ns for _, gpu in self._gpus() for hold in gpu.holds if hold.who == who}
        return len(begins) <= 1

    def _window(self, start_ns: int, rows: list[Row]) -> WindowSum:
        """One window of all GPUs; of each GPU there may be several, where it was closed short."""
        seen = WindowSum()
        for node, gpu in self._gpus():
            mine = sorted((row for row in rows if row.gpu_uuid == gpu.uuid), key=lambda row: row.start_ns)
            mine = [row for row in mine if row.node == node.key]
            self._gpu_window(node, gpu, start_ns, mine, seen)
        for row in rows:
            seen.rows += 1
            seen.reported += row.cost
            seen.namespaces[row.node[0], row.who.namespace] += row.cost
            for name, value in SUMS.items():
                seen.sums[name] += value(row)
        return seen

    def _gpu_window(self, node: Node, gpu: Gpu, start_ns: int, rows: list[Row], seen: WindowSum) -> None:
        end_ns, story = start_ns + self.scenario.window_ns, self.stories[node.key]
        begin_ns = max(start_ns, self._begin(node, gpu, end_ns, rows))
        if begin_ns >= end_ns:
            if rows:
                seen.findings.append(f"{rows[0].place}: before the GPU's life began")
            return
        pieces = [(at, list(piece)) for at, piece in groupby(rows, key=lambda row: row.start_ns)]
        # A life that begins within the window may have a row that begins with it.
        if not pieces or pieces[0][0] not in (start_ns, begin_ns):
            where = f"{'/'.join(node.key)} {gpu.uuid[:12]} {clock(start_ns)}"
            seen.findings.append(f"{where}: there is no row for this window")
            pieces = pieces or [(start_ns, [])]
        ends = [at for at, _ in pieces[1:]] + [end_ns]
        for (at, piece), end in zip(pieces, ends, strict=True):
            quote = self.prices.quote(node, gpu, at)
            case = Case(node, self._forecasts[gpu.uuid], story, max(at, begin_ns), end, quote)
            seen.expected += case.cost
            looked = look(case, piece) if piece else Looked()
            seen.findings += looked.findings
            for who, (used, use) in looked.uses.items():
                seen.uses[gpu.uuid, who] = used, use

    def _begin(self, node: Node, gpu: Gpu, end_ns: int, rows: list[Row]) -> int:
        """
        When a GPU's life began: with its node's boot; with the first look where that is more than an hour later.

        Only then it has to be taken from the rows, and must lie within an agent's time to start.
        """
        story = self.stories[node.key]
        if self._lives_from_boot(node):
            return self._boot(node)
        if gpu.uuid not in self._begins and rows and not any(row.who == NODE_STARTING for row in rows):
            looked_ns = end_ns - sum(row.charged_ns for row in rows if row.start_ns == rows[0].start_ns)
            latest = story.started_ns + STARTING_NS
            self._begins[gpu.uuid] = min(max(looked_ns, story.started_ns), latest)
        return self._begins.get(gpu.uuid, end_ns if end_ns < story.started_ns + STARTING_NS else 0)

    def _over_all(self, known: list[WindowSum]) -> list[str]:
        """Use over all windows that nothing disturbed: what chance adds and takes evens out."""
        found = []
        uses: dict[tuple[str, Who], list[tuple[int, Use]]] = {}
        for window in known:
            for key, pair in window.uses.items():
                uses.setdefault(key, []).append(pair)
        for (uuid, who), pairs in uses.items():
            used, expected = sum(used for used, _ in pairs), reduce(add, (use for _, use in pairs))
            low, high = expected.range_ns
            if not low <= used <= high:
                found.append(
                    f"{uuid[:12]} {who}: used {used} ns in {len(pairs)} windows; theory allows {low} to {high}"
                )
        return found

    def _reports(self, known: list[WindowSum], reports: Mapping[str, dict[str, Any]]) -> list[str]:
        sums: Counter[str] = reduce(add, (window.sums for window in known), Counter())
        found = []
        for name, report in reports.items():
            for what in SUMS:
                total = int(report["total"][what])
                if total != sums[what]:
                    found.append(
                        f"report {name}: total {what} is {total}, and the slices sum to {sums[what]}"
                    )
                lines = [line for key, line in report["remainders"].items() if key not in _BESIDE]
                shown = sum(int(line[what]) for line in [*report["rows"], *lines])
                if shown != total:
                    found.append(
                        f"report {name}: rows and remainders sum to {shown} {what}, its total is {total}"
                    )
            if report["remainders"]["quarantined"]["slices"]:
                found.append(f"report {name}: slices are quarantined: {report['remainders']['quarantined']}")
        if "namespaces" in reports:
            found += _namespaces(known, reports["namespaces"])
        for row in reports.get("idle", {}).get("rows", []):
            if row["holder_kind"] in ("unobserved", "unattributed"):
                found.append(f"report idle: {row['holder_kind']} {row['gpu_uuid']} stands there as idle")
        return found


def _namespaces(known: list[WindowSum], report: Mapping[str, Any]) -> list[str]:
    sums: Counter[tuple[str, str]] = reduce(add, (window.namespaces for window in known), Counter())
    shown = {(row["cluster"], row["namespace"]): int(row["cost_nanodollars"]) for row in report["rows"]}
    keys = {key for key in shown.keys() | sums.keys() if key[1]}
    return [
        f"report namespaces: {'/'.join(key)} costs {shown.get(key, 0)}, and its slices {sums[key]}"
        for key in sorted(keys)
        if shown.get(key, 0) != sums[key]
    ]
