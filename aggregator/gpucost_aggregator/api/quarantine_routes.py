"""What is set aside, page by page; replaying it is for operators, over the admin socket."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web
from gpucost.cost_slice import COLUMNS
from gpucost.trouble import Reject
from gpucost.window import from_rfc3339, to_rfc3339

from gpucost_aggregator.api.as_csv import rows_csv
from gpucost_aggregator.api.as_fields import Fields
from gpucost_aggregator.api.ask import query_of, read_ask, words_of
from gpucost_aggregator.api.identification import reader_of
from gpucost_aggregator.api.keys import PARTS
from gpucost_aggregator.api.problems import BadRequest, NotYours, json_response
from gpucost_aggregator.store.quarantine_rows import QuarantinePage, QuarantineScope, SetAside

QUARANTINE_PARAMETERS = (
    *("cluster", "node", "reason", "since", "until", "replayed"),
    *("format", "limit", "cursor"),
)

ABOUT: dict[str, Callable[[SetAside], object]] = {
    "id": lambda entry: str(entry.id),
    "kind": lambda entry: "batch" if entry.id.is_batch else "slice",
    "agent_cluster": lambda entry: entry.agent.node.cluster,
    "agent_node": lambda entry: entry.agent.node.node,
    "epoch": lambda entry: entry.agent.epoch,
    "sequence_number": lambda entry: str(entry.sequence_number),
    "set_aside": lambda entry: to_rfc3339(entry.received_at_ns),
    "refused_because": lambda entry: entry.reason,
    "tried": lambda entry: _time(entry.tried_at_ns),
    "replayed": lambda entry: _time(entry.replayed_at_ns),
    "message_bytes": lambda entry: entry.message_bytes,
}
"""What is said of a slice or batch that waits, beside the slice's own columns; None does not apply."""

ROUTES = web.RouteTableDef()


@ROUTES.get("/api/v1/quarantine")
async def quarantine(request: web.Request) -> web.Response:
    """One page, the oldest first; the next is at the Link header."""
    query = query_of(request)
    ask = read_ask(query, request.headers.get("Accept", ""), QUARANTINE_PARAMETERS, reader_of(request))
    if ask.reader.sees_holders_only:
        raise NotYours("the quarantine is about nodes", "ask somebody who may see whole clusters")
    given = {name: values[0] for name, values in query.items()}
    whole = QuarantineScope()
    scope = QuarantineScope(
        ask.clusters,
        words_of(query, "node"),
        given.get("reason", ""),
        _instant(given, "since", whole.since_ns),
        _instant(given, "until", whole.until_ns),
        _is_true(given, "replayed"),
    )
    parts = request.app[PARTS]

    def read() -> QuarantinePage:
        return parts.store.set_aside(scope, ask.cursor, ask.limit)

    try:
        page = await asyncio.get_running_loop().run_in_executor(parts.readers, read)
    except Reject as trouble:
        raise BadRequest(str(trouble), "take next_cursor of the page before", "cursor") from None
    if ask.format == "csv":
        rows = ([value(entry) for value in ABOUT.values()] + _columns(entry) for entry in page.entries)
        text = rows_csv([*ABOUT, *COLUMNS], rows)
        answer = web.Response(text=text, content_type="text/csv", charset="utf-8")
    else:
        answer = json_response(_body(scope, page))
    if page.next_cursor is not None:
        answer.headers["X-Next-Cursor"] = page.next_cursor
        next_page = request.rel_url.update_query(cursor=page.next_cursor, format=ask.format)
        answer.headers["Link"] = f'<{next_page}>; rel="next"'
    return answer


def _body(scope: QuarantineScope, page: QuarantinePage) -> Fields:
    return {
        "filter": {
            "cluster": list(scope.clusters),
            "node": list(scope.nodes),
            "reason": scope.reason or None,
            "replayed": scope.replayed,
        },
        "entries": [
            {name: value(entry) for name, value in ABOUT.items()} | _slice(entry) for entry in page.entries
        ],
        "next_cursor": page.next_cursor,
    }


def _slice(entry: SetAside) -> Fields:
    row = entry.row
    if row is None:
        return {"slice": None}
    return {"slice": {name: text(row) or None for name, text in COLUMNS.items()} | {"flags": list(row.flags)}}


def _columns(entry: SetAside) -> list[object]:
    return ["" if entry.row is None else text(entry.row) for text in COLUMNS.values()]


def _time(ns: int | None) -> str | None:
    return None if ns is None else to_rfc3339(ns)


def _instant(given: Mapping[str, str], name: str, otherwise: int) -> int:
    if name not in given:
        return otherwise
    try:
        instant = from_rfc3339(given[name])
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{given[name]!r} is not an RFC 3339 time with a zone",
            "write 2026-11-21T08:00:00Z",
            parameter=name,
        ) from None
    if not 0 <= instant <= QuarantineScope().until_ns:
        raise BadRequest(
            f"{given[name]!r} is no time that can occur here", "take one from 1970 on", parameter=name
        )
    return instant


def _is_true(given: Mapping[str, str], name: str) -> bool:
    if given.get(name, "false") not in ("true", "false"):
        raise BadRequest(f"{given[name]!r} is neither true nor false", "write true or false", parameter=name)
    return given.get(name) == "true"
