"""What the aggregator answers: slices, page by page; the agents' own word on when they last looked."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from demo.audit.answers import instant_ns, rfc3339

Slice = dict[str, Any]

_PAGE = 2_000
_PATIENCE_S = 20
_LAST_READ = re.compile(
    r'^gpucost_gpu_last_read_timestamp_seconds\{gpu_uuid="([^"]+)"\} (\S+)$', re.MULTILINE
)


def complete_through_ns(base: str) -> int | None:
    """Before this every window is closed on every live node."""
    through = _json(base, {"window": "1h", "limit": "1"})["complete_through"]
    return None if through is None else instant_ns(through)


def slices(base: str, begin_ns: int, end_ns: int) -> list[Slice]:
    """All slices of the windows of a time."""
    found: list[Slice] = []
    asked = {"window": f"{rfc3339(begin_ns)},{rfc3339(end_ns)}", "limit": str(_PAGE)}
    while True:
        page = _json(base, asked)
        found += page["slices"]
        if page["next_cursor"] is None:
            return found
        asked["cursor"] = page["next_cursor"]


def last_reads(base: str) -> dict[str, float]:
    """When an agent last read each of its GPUs, as Unix time; a GPU that it has not read yet is not there."""
    with urllib.request.urlopen(f"{base}/metrics", timeout=_PATIENCE_S) as answer:
        text = answer.read().decode()
    return {uuid: float(at) for uuid, at in _LAST_READ.findall(text) if float(at)}


def _json(base: str, query: Mapping[str, str]) -> dict[str, Any]:
    address = f"{base}/api/v1/slices?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
        body: dict[str, Any] = json.load(answer)
        return body
