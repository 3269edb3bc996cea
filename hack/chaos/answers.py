"""What the ledger says to anybody who asks: slices, adjustments, and what is set aside."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accuracy.score import device_of, who_of
from accuracy.truth import Device, Who
from demo.audit.answers import rfc3339

_PAGE = 2_000
_PATIENCE_S = 30
UNWATCHED = "unobserved"
CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Row:
    """One slice, or the difference that an adjustment makes; times in nanoseconds, cost in nano-dollars."""

    cluster: str
    node: str
    device: Device
    who: Who
    start_ns: int
    charged_ns: int
    cost: int
    flags: frozenset[str]
    is_adjustment: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What counts once."""
        return self.cluster, self.node, self.device, self.who, self.start_ns

    @property
    def is_unwatched(self) -> bool:
        """Whether the ledger says that nobody watched: nobody knows who held it, or it was carried over a gap."""
        return self.who.kind == UNWATCHED or CARRIED in self.flags


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that the ledger says of a time."""

    rows: tuple[Row, ...]
    quarantined: tuple[Row, ...]


def ask(base: str, begin_ns: int, end_ns: int) -> Answers:
    """All of it. Raises OSError where it does not answer."""
    window = {"window": f"{rfc3339(begin_ns)},{rfc3339(end_ns)}"}
    slices = [row_of(fields) for fields in _pages(base, "slices", "slices", window)]
    corrections = [row_of(fields, True) for fields in _pages(base, "adjustments", "adjustments", window)]
    waiting = [
        row_of(entry["slice"])
        for entry in _pages(base, "quarantine", "entries", {})
        if entry["slice"] is not None and entry["replayed"] is None
    ]
    inside = [row for row in waiting if begin_ns <= row.start_ns < end_ns]
    return Answers((*slices, *corrections), tuple(inside))


def row_of(fields: Mapping[str, Any], is_adjustment: bool = False) -> Row:
    """A slice's fields, by the names of their columns."""
    return Row(
        fields["cluster"],
        fields["node"],
        device_of(fields),
        who_of(fields),
        int(fields["window_start_ns"]),
        sum(int(fields[f"{name}_ns"] or 0) for name in ("used", "idle", "unmeasured")),
        int(fields["cost_nanodollars"] or 0),
        frozenset(fields["flags"]),
        is_adjustment,
    )


def _pages(base: str, route: str, name: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    asked = {**query, "limit": str(_PAGE)}
    while True:
        address = f"{base}/api/v1/{route}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
            page: dict[str, Any] = json.load(answer)
        yield from page[name]
        if page["next_cursor"] is None:
            return
        asked["cursor"] = page["next_cursor"]
