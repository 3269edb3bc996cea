"""What is true now, from what nodes told last; in no bill, and gone with the next telling."""

from collections.abc import Callable

from aiohttp import web
from gpucost.cost_slice import COLUMNS
from gpucost.units import NS_PER_SECOND
from gpucost.window import to_rfc3339

from gpucost_aggregator.api.as_csv import rows_csv
from gpucost_aggregator.api.as_fields import Fields
from gpucost_aggregator.api.ask import Ask, query_of, read_ask, words_of
from gpucost_aggregator.api.identification import reader_of
from gpucost_aggregator.api.keys import PARTS
from gpucost_aggregator.api.looking import Look, look
from gpucost_aggregator.api.problems import json_response
from gpucost_aggregator.live.reading import LiveRow

LIVE_PARAMETERS = ("cluster", "namespace", "node", "format", "limit")

_DIGITS = 6

WHO = (
    *("cluster", "node", "gpu_uuid", "gi", "ci", "profile", "placement"),
    *("holder_kind", "reason", "namespace", "pod", "pod_uid", "container"),
)
"""Columns of a slice that say who is where."""

MEASURED: dict[str, Callable[[LiveRow], object]] = {
    "reserved_ratio": lambda row: round(row.reserved_ratio, _DIGITS),
    "used_ratio": lambda row: _rounded(row.used_ratio),
    "unmeasured_ratio": lambda row: round(row.unmeasured_ratio, _DIGITS),
    "sm_active_ratio": lambda row: _rounded(row.ratio(row.slice.measures.sm_active_ns)),
    "tensor_active_ratio": lambda row: _rounded(row.ratio(row.slice.measures.tensor_active_ns)),
    "dram_active_ratio": lambda row: _rounded(row.ratio(row.slice.measures.dram_active_ns)),
    "memory_held_bytes": lambda row: COLUMNS["memory_held_bytes_max"](row.slice) or None,
    "method": lambda row: row.slice.evidence.method or None,
    "age_seconds": lambda row: round(row.age_ns / NS_PER_SECOND, 3),
    "flags": lambda row: list(row.slice.flags),
}
"""What is said of them; None is not known."""

ROUTES = web.RouteTableDef()


@ROUTES.get("/api/v1/live")
async def live(request: web.Request) -> web.Response:
    """Who has which device now, and whether it is in use."""
    query = query_of(request)
    ask = read_ask(query, request.headers.get("Accept", ""), LIVE_PARAMETERS, reader_of(request))
    nodes = words_of(query, "node")
    seen = await look(request.app[PARTS], ask, nodes)
    if ask.format == "csv":
        rows = ([*_who(row).values(), *_measured(row).values()] for row in seen.now.rows)
        text = rows_csv([*WHO, *MEASURED], rows)
        return web.Response(text=text, content_type="text/csv", charset="utf-8")
    return json_response(_body(ask, nodes, seen))


def _body(ask: Ask, nodes: tuple[str, ...], seen: Look) -> Fields:
    taken = seen.now.taken_at_ns
    return {
        "taken_at": None if taken is None else {"first": to_rfc3339(taken[0]), "last": to_rfc3339(taken[1])},
        "interval_seconds": seen.interval_ns / NS_PER_SECOND,
        "nodes": {"heard": seen.heard, "expected": seen.expected},
        "replicas": {
            "asked": seen.replicas.asked,
            "answered": seen.replicas.asked - seen.replicas.silent,
            "silent": None if seen.replicas.named is None else list(seen.replicas.named),
        },
        "filter": {"cluster": list(ask.clusters), "namespace": list(ask.namespaces), "node": list(nodes)},
        "rows": [_who(row) | _measured(row) for row in seen.now.rows],
        "cut": seen.now.cut,
        "unreadable": seen.now.unreadable,
    }


def _who(row: LiveRow) -> Fields:
    return {name: COLUMNS[name](row.slice) or None for name in WHO}


def _measured(row: LiveRow) -> Fields:
    return {name: value(row) for name, value in MEASURED.items()}


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, _DIGITS)
