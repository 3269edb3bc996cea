"""The slices themselves and what corrects them, page by page."""

from aiohttp import web
from gpucost.window import to_rfc3339

from gpucost_aggregator.api.as_csv import adjustments_csv, slices_csv
from gpucost_aggregator.api.as_json import adjustments_body, slices_body
from gpucost_aggregator.api.ask import SLICE_PARAMETERS, query_of, read_ask
from gpucost_aggregator.api.desk import Settled
from gpucost_aggregator.api.identification import reader_of
from gpucost_aggregator.api.keys import DESK
from gpucost_aggregator.api.problems import json_response

ROUTES = web.RouteTableDef()


@ROUTES.get("/api/v1/slices")
async def slices(request: web.Request) -> web.Response:
    """One page; the next is at the Link header, in a window that does not move with the clock."""
    settled = await _settled(request)
    page = await request.app[DESK].slices(settled)
    if settled.ask.format == "csv":
        return _page(request, settled, _csv(slices_csv(page.slices)), page.next_cursor)
    return _page(request, settled, json_response(slices_body(settled, page)), page.next_cursor)


@ROUTES.get("/api/v1/adjustments")
async def adjustments(request: web.Request) -> web.Response:
    """One page of what corrects slices, in the same way."""
    settled = await _settled(request)
    page = await request.app[DESK].adjustments(settled)
    if settled.ask.format == "csv":
        return _page(request, settled, _csv(adjustments_csv(page.adjustments)), page.next_cursor)
    return _page(request, settled, json_response(adjustments_body(settled, page)), page.next_cursor)


async def _settled(request: web.Request) -> Settled:
    accept = request.headers.get("Accept", "")
    ask = read_ask(query_of(request), accept, SLICE_PARAMETERS, reader_of(request))
    return await request.app[DESK].settle(ask)


def _csv(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/csv", charset="utf-8")


def _page(request: web.Request, settled: Settled, answer: web.Response, cursor: str | None) -> web.Response:
    if cursor is not None:
        answer.headers["X-Next-Cursor"] = cursor
        answer.headers["Link"] = f'<{_next_page(request, settled, cursor)}>; rel="next"'
    return answer


def _next_page(request: web.Request, settled: Settled, cursor: str) -> str:
    answered = settled.period.answered
    window = f"{to_rfc3339(answered.start_ns)},{to_rfc3339(answered.end_ns)}"
    return str(request.rel_url.update_query(window=window, cursor=cursor, format=settled.ask.format))
