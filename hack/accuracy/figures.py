"""From the lines of all runs to a figure a mode, the bars, and the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accuracy.modes import EXACT, NONE, SAMPLED
from accuracy.score import CHANGE_NS, Line, ModeScore, Score
from proofs.proof import Bar, table

THROUGH, TIMES_THEORY, CHARGED_TIMES_THEORY = 0.001, 1.5, 2
_NS = 10**9
_NOTHING = -1.0
_MOST_UNWATCHED, _MOST_HELD_UP = 0.05, 0.25
_LEAST_HOLDERS = 30
_ALONE = ("exclusive", "mig_ampere_alone", "mig_several")
"""Beside those whose use is counted: who has a device alone pays for all of it, however its use is measured."""


@dataclass(slots=True)
class Merged:
    """A mode over all runs."""

    name: str
    parts: list[ModeScore] = field(default_factory=list)

    @property
    def first(self) -> ModeScore:
        return self.parts[0]

    @property
    def everybody(self) -> list[Line]:
        return [line for part in self.parts for line in part.lines]

    @property
    def lines(self) -> list[Line]:
        """Those by whom the agent is judged: nothing held it up when holders changed."""
        return [line for line in self.everybody if not line.held_up]

    def total(self, name: str) -> Any:
        return sum(getattr(part, name) for part in self.parts)

    def charged(self) -> list[float]:
        return [(line.charged_ns - line.charged_true_ns) / line.device_ns for line in self.lines]

    def used(self) -> list[float]:
        """Of those who were watched; nothing is said of the use of others."""
        return [
            (line.used_ns - line.used_true_ns) / line.watched_ns for line in self.lines if line.watched_ns
        ]

    def bias(self, seen: str, true: str, of: str) -> float | None:
        lines = [line for line in self.lines if getattr(line, of)]
        whole = sum(getattr(line, of) for line in lines)
        return sum(getattr(line, seen) - getattr(line, true) for line in lines) / whole if whole else None

    def peer(self, name: str, true: str) -> list[float]:
        return [
            (getattr(line, name) - getattr(line, true)) / line.device_ns
            for line in self.lines
            if getattr(line, name) is not None
        ]

    def charged_beyond_changes(self) -> list[float]:
        """Errors of what is charged, by how much they pass a second of the device for each change."""
        return [
            max(0.0, abs(line.charged_ns - line.charged_true_ns) - line.changes * CHANGE_NS * line.weight)
            / line.device_ns
            for line in self.lines
        ]

    def through(self) -> list[float]:
        """Errors of what is charged, of holders in whose life nothing changed."""
        return [error for line, error in zip(self.lines, self.charged(), strict=True) if not line.changes]

    def seconds_a_change(self) -> list[float]:
        """Of the others, for each change of holders or of the layout, where a thousandth of the time is passed."""
        found = []
        for line in self.lines:
            error = abs(line.charged_ns - line.charged_true_ns)
            if line.changes:
                over = error > THROUGH * line.device_ns
                found.append(error / line.weight / line.changes / CHANGE_NS if over else 0.0)
        return found


def percentile(values: Iterable[float], part: float = 0.99) -> float | None:
    """The smallest magnitude that so many do not pass; None of nothing."""
    ordered = sorted(abs(value) for value in values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else None


def merged(scores: Sequence[Score]) -> list[Merged]:
    """The modes of all runs, those with bars first."""
    found: dict[str, Merged] = {}
    for score in scores:
        for name, part in score.modes.items():
            found.setdefault(name, Merged(name)).parts.append(part)
    order = (EXACT, SAMPLED, NONE)
    return sorted(
        found.values(), key=lambda mode: (bool(mode.first.why), order.index(mode.first.source), mode.name)
    )


def figure(mode: Merged) -> dict[str, Any]:
    """The keys of one mode."""
    lines, methods = mode.lines, sorted({name for part in mode.parts for name in part.methods if name})
    used, charged = mode.used(), mode.charged()
    theory = percentile(error for part in mode.parts for error in part.theory)
    found: dict[str, Any] = {
        "mode": mode.name,
        "source": mode.first.source,
        "method": "+".join(methods),
        "holders": len(mode.everybody),
        "held_up": len(mode.everybody) - len(lines),
        "device_seconds": sum(line.device_ns for line in lines) / _NS,
        "charged_max": percentile(charged, 1),
        "charged_p99": percentile(charged),
        "charged_bias": mode.bias("charged_ns", "charged_true_ns", "device_ns"),
        "charged_through_max": percentile(mode.through(), 1),
        "charged_seconds_a_change": percentile(mode.seconds_a_change(), 1),
        "used_max": percentile(used, 1),
        "used_p99": percentile(used),
        "used_bias": mode.bias("used_ns", "used_true_ns", "watched_ns"),
        "theory_p99": theory,
        "samples": mode.total("samples"),
        "books_off_ns": mode.total("off_ns"),
        "strangers_s": mode.total("stranger_ns") / _NS,
        "false_shadows": mode.total("false_shadows"),
        "unwatched": _unwatched(mode),
        "bar": mode.first.why or "yes",
    }
    for name, attribute, true in (
        ("peer_request", "request_ns", "charged_true_ns"),
        ("peer_gauge", "gauge_ns", "used_true_ns"),
        ("peer_last_second", "last_second_ns", "used_true_ns"),
    ):
        theirs = percentile(mode.peer(attribute, true))
        ours = found["charged_p99" if name == "peer_request" else "used_p99"]
        found[f"{name}_p99"] = theirs
        found[f"{name}_ratio"] = theirs / ours if theirs is not None and ours else None
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def bars(modes: Sequence[Merged], form: str, is_drawn: bool) -> tuple[Bar, ...]:
    """What has to hold; a figure that could not be measured does not."""
    judge = _Judge(form)
    barred = [mode for mode in modes if not mode.first.why]
    judge.at_most("books_off_ns", sum(mode.total("off_ns") for mode in modes), 0)
    judge.at_most("strangers_s", sum(mode.total("stranger_ns") for mode in barred) / _NS, THROUGH)
    watched = [mode for mode in barred if mode.first.allowed]
    everybody = [line for mode in modes for line in mode.everybody]
    held_up = sum(1 for line in everybody if line.held_up) / max(1, len(everybody))
    judge.at_most("held_up", held_up, _MOST_HELD_UP)
    judge.at_most("unwatched", max((_unwatched(mode) for mode in watched), default=0), _MOST_UNWATCHED)
    for mode in barred:
        if mode.first.source == EXACT or mode.name.startswith(_ALONE):
            _charged(mode, judge)
        if mode.first.source == SAMPLED:
            _sampled(mode, judge)
        if mode.first.source == NONE:
            judge.at_most(f"{mode.name} wrongly named", _wrongly_named(mode), 0)
    if is_drawn:
        holders = len(everybody)
        judge.found.append(Bar("holders", f">= {_LEAST_HOLDERS}", holders, form, holders >= _LEAST_HOLDERS))
    return tuple(judge.found)


@dataclass(slots=True)
class _Judge:
    form: str
    found: list[Bar] = field(default_factory=list)

    def at_most(self, name: str, value: float | None, bound: float, text: str = "") -> None:
        rounded = round(value, 6) if isinstance(value, float) else value
        words = text or (f"<= {bound:g}" if bound else "= 0")
        self.found.append(Bar(name, words, rounded, self.form, value is not None and value <= bound))


def _charged(mode: Merged, judge: _Judge) -> None:
    if through := mode.through():
        judge.at_most(f"{mode.name} charged_max, lived through", percentile(through, 1), THROUGH)
    if others := mode.seconds_a_change():
        judge.at_most(f"{mode.name} charged, seconds a change", percentile(others, 1), 1.0)


def _sampled(mode: Merged, judge: _Judge) -> None:
    """Beside the bar on use: what is charged follows from use, so it may be off by little more."""
    theory = percentile(error for part in mode.parts for error in part.theory)
    words = "-" if theory is None else f"{theory:.6f}"
    bounds = (
        (_NOTHING, _NOTHING) if theory is None else (TIMES_THEORY * theory, CHARGED_TIMES_THEORY * theory)
    )
    judge.at_most(f"{mode.name} used_p99", percentile(mode.used()), bounds[0], f"<= {TIMES_THEORY} x {words}")
    if not mode.name.startswith(_ALONE):
        beyond = percentile(mode.charged_beyond_changes())
        judge.at_most(
            f"{mode.name} charged_p99, beyond changes",
            beyond,
            bounds[1],
            f"<= {CHARGED_TIMES_THEORY} x {words}",
        )


def _wrongly_named(mode: Merged) -> int:
    """
    Where nobody tells use by process: holders with another method than a guess, and samples of guesses.

    Where nothing is known at all, also those of whom use or idleness is said.
    """
    wrong = sum(1 for line in mode.lines if line.wrong_methods) + int(mode.total("samples"))
    if not mode.first.allowed:
        wrong += sum(1 for line in mode.lines if line.used_ns or line.idle_ns)
    return wrong


def _unwatched(mode: Merged) -> float:
    return float(mode.total("unmeasured_ns") / max(1, mode.total("device_ns")))


def compared(modes: Sequence[Merged]) -> int:
    """Holders, and books of a GPU and window."""
    return sum(len(mode.lines) + mode.total("books") for mode in modes)


def worst(modes: Sequence[Merged], missed: Iterable[Bar], count: int = 3) -> list[str]:
    """Of modes that missed a bar the holders that are furthest off, in words."""
    named = {bar.figure.partition(" ")[0] for bar in missed}
    found = []
    for mode in (mode for mode in modes if mode.name in named):
        lines = sorted(mode.lines, key=lambda line: -_furthest(line))[:count]
        found += [
            f"{mode.name}: {line.who}, {line.device_ns / _NS:.2f} s: used {line.used_ns / _NS:.3f} of"
            f" {line.used_true_ns / _NS:.3f} s, charged {line.charged_ns / _NS:.3f} of"
            f" {line.charged_true_ns / _NS:.3f} s, {line.changes} changes"
            for line in lines
        ]
    return found


def _furthest(line: Line) -> float:
    used, charged = line.used_ns - line.used_true_ns, line.charged_ns - line.charged_true_ns
    return max(abs(used), abs(charged)) / line.device_ns


def picture(figures: Sequence[Mapping[str, Any]]) -> str:
    """The table for people: errors in percent of the device's time."""
    head = (
        *("mode", "source", "method", "holders", "used p99", "theory", "bias", "charged p99"),
        *("request x hours", "gauge", "last second"),
    )
    return table(
        head,
        (
            (
                row["mode"] + ("" if row["bar"] == "yes" else " *"),
                row["source"],
                row["method"] or "-",
                row["holders"],
                _percent(row["used_p99"]),
                _percent(row["theory_p99"]),
                _percent(row["used_bias"], signed=True),
                _percent(row["charged_p99"]),
                *(_beside(row, name) for name in ("peer_request", "peer_gauge", "peer_last_second")),
            )
            for row in figures
        ),
    )


def _beside(row: Mapping[str, Any], name: str) -> str:
    ratio = row[f"{name}_ratio"]
    return _percent(row[f"{name}_p99"]) + (f" ({ratio:.0f}x)" if ratio is not None and ratio < 10_000 else "")


def _percent(value: float | None, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{100 * value:+.2f} %" if signed else f"{100 * value:.2f} %"
