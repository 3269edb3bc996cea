"""What the aggregator answers over HTTP: slices page by page, and reports. Answers can be kept and checked later."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.audit.scenario import NS, Who

REPORTS = ("namespaces", "models", "idle", "shadow")
_PAGE = 2_000
_PATIENCE_S = 10


class NoAnswer(Exception):
    """The aggregator is away, or not ready yet."""


@dataclass(frozen=True, slots=True)
class Row:
    """One slice, as far as it is checked."""

    node: tuple[str, str]
    gpu_uuid: str
    who: Who
    pod_uid: str
    start_ns: int
    length_ns: int
    reserved_ns: int
    used_ns: int
    idle_ns: int
    unmeasured_ns: int
    cost: int
    parts: tuple[int, int, int]
    cost_reserved: int
    price: int | None
    price_source: str
    price_date: str
    watched_ns: int
    samples: int
    flags: frozenset[str]

    @property
    def charged_ns(self) -> int:
        """What the holder pays for."""
        return self.used_ns + self.idle_ns + self.unmeasured_ns

    @property
    def order(self) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
        """The ledger's order of holders: containers bytewise, then the others."""
        kinds = ("container", "host", "unallocated", "unattributed", "unobserved")
        who = self.who
        names = (who.namespace, who.pod, self.pod_uid, who.container, who.reason)
        first, second, third, fourth, fifth = (name.encode() for name in names)
        return kinds.index(who.kind), first, second, third, fourth, fifth

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{'/'.join(self.node)} {self.gpu_uuid[:12]} {clock(self.start_ns)} {self.who}"


@dataclass(frozen=True, slots=True)
class Answers:
    """
    Slices of all complete windows from *from_ns* to *through_ns*.

    *reports* are over all complete windows from *reports_from_ns* on, by name.
    """

    from_ns: int
    through_ns: int
    slices: list[dict[str, Any]]
    reports_from_ns: int
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """The slices, parsed."""
        return [parse(fields) for fields in self.slices]


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Where to ask."""

    base: str

    def complete_through_ns(self) -> int | None:
        """Before this every window is closed on every live node."""
        through = self._get("/api/v1/slices", {"window": "1h", "limit": "1"})["complete_through"]
        return None if through is None else instant_ns(through)

    def ask(self, from_ns: int, reports_from_ns: int) -> Answers | None:
        """Slices from one instant, reports from another, both up to the last complete window; None before that."""
        through_ns = self.complete_through_ns()
        if through_ns is None or through_ns <= from_ns:
            return None
        slices: list[dict[str, Any]] = []
        asked = {"window": f"{rfc3339(from_ns)},{rfc3339(through_ns)}", "limit": str(_PAGE)}
        while True:
            page = self._get("/api/v1/slices", asked)
            slices += page["slices"]
            if page["next_cursor"] is None:
                break
            asked["cursor"] = page["next_cursor"]
        window = {"window": f"{rfc3339(reports_from_ns)},{rfc3339(through_ns)}", "limit": "10000"}
        reports = {name: self._get(f"/api/v1/reports/{name}", window) for name in REPORTS}
        return Answers(from_ns, through_ns, slices, reports_from_ns, reports)

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        address = f"{self.base}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
                body: dict[str, Any] = json.load(answer)
                return body
        except urllib.error.HTTPError as trouble:
            words = trouble.read().decode(errors="replace")[:500]
            if trouble.code == 503:
                raise NoAnswer(words) from None
            raise RuntimeError(f"{address}: {trouble.code} {words}") from None
        except (OSError, ValueError) as trouble:
            raise NoAnswer(str(trouble)) from None


def parse(fields: Mapping[str, Any]) -> Row:
    """A slice from its JSON; integers are strings there, and null is not known."""

    def number(name: str) -> int:
        return int(fields[name] or 0)

    def words(name: str) -> str:
        return fields[name] or ""

    return Row(
        node=(fields["cluster"], fields["node"]),
        gpu_uuid=fields["gpu_uuid"],
        who=Who(fields["holder_kind"], words("namespace"), words("pod"), words("container"), words("reason")),
        pod_uid=words("pod_uid"),
        start_ns=number("window_start_ns"),
        length_ns=number("length_ns"),
        reserved_ns=number("reserved_ns"),
        used_ns=number("used_ns"),
        idle_ns=number("idle_ns"),
        unmeasured_ns=number("unmeasured_ns"),
        cost=number("cost_nanodollars"),
        parts=(
            number("cost_used_nanodollars"),
            number("cost_idle_nanodollars"),
            number("cost_unmeasured_nanodollars"),
        ),
        cost_reserved=number("cost_reserved_nanodollars"),
        price=None
        if fields["price_nanodollars_per_hour"] is None
        else int(fields["price_nanodollars_per_hour"]),
        price_source=words("price_source"),
        price_date=words("price_date"),
        watched_ns=number("watched_ns"),
        samples=number("samples"),
        flags=frozenset(fields["flags"]),
    )


def rfc3339(instant: int) -> str:
    """An instant of whole seconds."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant // NS)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def instant_ns(text: str) -> int:
    """The instant of an RFC 3339 time of whole seconds."""
    return round(datetime.fromisoformat(text).timestamp()) * NS


def clock(instant: int) -> str:
    """Hours, minutes and seconds in UTC."""
    return rfc3339(instant)[11:19]
