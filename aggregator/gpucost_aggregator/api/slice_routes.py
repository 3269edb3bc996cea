"""The slices themselves, page by page."""

from aiohttp import web
from gpucost.window import to_rfc3339

from gpucost_aggregator.api.as_csv import slices_csv
from gpucost_aggregator.api.as_json import slices_body
from gpucost_aggregator.api.ask import SLICE_PARAMETERS, query_of, read_ask
from gpucost_aggregator.api.desk import Settled
from gpucost_aggregator.api.keys import DESK
from gpucost_aggregator.api.problems import json_response

ROUTES = web.RouteTableDef()


@ROUTES.get("/api/v1/slices")
async def slices(request: web.Request) -> web.Response:
    """One page; the next is at the Link header, in a window that does not move with the clock."""
    desk = request.app[DESK]
    ask = read_ask(query_of(request), request.headers.get("Accept", ""), SLICE_PARAMETERS)
    settled = await desk.settle(ask)
    page = await desk.slices(settled)
    if ask.format == "csv":
        answer = web.Response(text=slices_csv(page.slices), content_type="text/csv", charset="utf-8")
    else:
        answer = json_response(slices_body(settled, page))
    if page.next_cursor is not None:
        answer.headers["X-Next-Cursor"] = page.next_cursor
        answer.headers["Link"] = f'<{_next_page(request, settled, page.next_cursor)}>; rel="next"'
    return answer


def _next_page(request: web.Request, settled: Settled, cursor: str) -> str:
    answered = settled.period.answered
    window = f"{to_rfc3339(answered.start_ns)},{to_rfc3339(answered.end_ns)}"
    return str(request.rel_url.update_query(window=window, cursor=cursor, format=settled.ask.format))
