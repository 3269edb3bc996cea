"""The demo in the terminal: costs by namespace and model, idle GPUs, and what the check says."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from demo.audit.answers import clock
from demo.audit.books import Verdict

_ROWS = 12
_COLUMNS = 100
_NS_PER_MINUTE = 60 * 10**9


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], names: int = 1) -> list[str]:
    """Columns as wide as their widest text; the first *names* are aligned left, the others right."""
    rows = [list(heads), *(list(line) for line in lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    return [
        "  " + "  ".join(
            text.ljust(width) if place < names else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]  # fmt: skip


class Screen:
    """Draws itself anew on a terminal; elsewhere it writes a line a look."""

    def __init__(self, page: str, notice: str = "") -> None:
        self._page = page
        self._notice = notice
        self._is_terminal = sys.stdout.isatty()

    def say(self, words: str) -> None:
        """One line, now."""
        print(words, flush=True)

    def show(self, verdict: Verdict, reports: Mapping[str, dict[str, Any]], happened: Sequence[str]) -> None:
        """The whole picture."""
        if not self._is_terminal:
            self.say(f"{clock(verdict.through_ns)}  {sentence(verdict)}")
            return
        lines = [
            f"\x1b[H\x1b[Jgpucost demo, complete through {clock(verdict.through_ns)} UTC.  Page: {self._page}/",
            *([self._notice] if self._notice else []),
            "",
        ]
        lines += picture(reports)
        lines += ["", sentence(verdict), *(f"  {words}" for words in verdict.findings[:5])]
        lines += [f"  {words}" for words in happened[-3:]]
        print("\n".join(lines), flush=True)


def sentence(verdict: Verdict) -> str:
    """The verdict in one line."""
    word = "right" if verdict.passed else "WRONG"
    return (
        f"{word}: {verdict.compared} slices of {verdict.windows} windows compared; price x time "
        f"{verdict.expected}, reported {verdict.reported}, difference {verdict.difference} nano-dollars"
        + (f"; {len(verdict.findings)} findings" if verdict.findings else "")
    )


def picture(reports: Mapping[str, dict[str, Any]]) -> list[str]:
    """The three reports as tables."""
    spaces, models, idle = reports["namespaces"], reports["models"], reports["idle"]
    return [
        *table(
            ["NAMESPACE", "USD", "GPU minutes", "used"],
            [(f"{row['cluster']}/{row['namespace']}", *_amounts(row)) for row in spaces["rows"][:_ROWS]]
            + [(name, *_amounts(line)) for name, line in _remainders(spaces)]
            + [("total", *_amounts(spaces["total"]))],
        ),
        "",
        *_models(models["rows"][:_ROWS]),
        "",
        *table(
            ["IDLE GPU", "USD of it idle", "held by"],
            [
                (
                    f"{row['cluster']}/{row['node']} {row['gpu_uuid'][:12]}",
                    usd(int(row["cost_idle_nanodollars"])),
                    f"{row['namespace']}/{row['pod']}" if row["pod"] else "nobody",
                )
                for row in idle["rows"][:_ROWS]
            ],
        ),
    ]


def _models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """With where each name comes from, unless that makes lines too long."""
    heads = ["USD", "GPU minutes", "used"]
    full = table(
        ["MODEL", "named by", *heads],
        [(row["model"], row["model_source"] or "-", *_amounts(row)) for row in rows],
        names=2,
    )
    if max(map(len, full)) <= _COLUMNS:
        return full
    return table(["MODEL", *heads], [(row["model"], *_amounts(row)) for row in rows])


def usd(nanodollars: int) -> str:
    """Dollars with six decimals: the demo lasts for minutes."""
    return f"{nanodollars / 10**9:.6f}"


def _amounts(line: Mapping[str, Any]) -> tuple[str, str, str]:
    charged, used = int(line["charged_ns"]), int(line["used_ns"])
    share = f"{used / charged:.0%}" if charged else "-"
    return usd(int(line["cost_nanodollars"])), f"{charged / _NS_PER_MINUTE:.2f}", share


def _remainders(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    lines = report["remainders"].items()
    return [(f"({name})", line) for name, line in lines if "used_ns" in line and int(line["charged_ns"])]
