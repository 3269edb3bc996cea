"""The pages: the same reports as HTML, and the two files that they load."""

import asyncio
from dataclasses import replace

from aiohttp import web
from gpucost.identity import NodeId

from gpucost_aggregator.api.ask import MOST_ROWS, OVERVIEW, RANGES, Ask, query_of, read_ask, words_of
from gpucost_aggregator.api.desk import Desk, Settled
from gpucost_aggregator.api.identification import reader_of
from gpucost_aggregator.api.keys import DESK, PARTS
from gpucost_aggregator.api.looking import look
from gpucost_aggregator.api.problems import BadRequest
from gpucost_aggregator.reports.idle import IdleReport
from gpucost_aggregator.ui.error_page import error_html
from gpucost_aggregator.ui.figures import scale_of
from gpucost_aggregator.ui.idle_page import idle_page
from gpucost_aggregator.ui.overview import Findings, overview_page
from gpucost_aggregator.ui.pages import FILES, static_file, static_link
from gpucost_aggregator.ui.sight import Sight, sight
from gpucost_aggregator.ui.surroundings import STATE_PARAMETERS, Surroundings
from gpucost_aggregator.ui.table_pages import models_page, namespaces_page

THEMES = ("", "light", "dark")
FOR_EVER = "public, max-age=31536000, immutable"
MOST_NODES_SEEN = 1_000
"""What their glimpses say is read for each page."""

ROUTES = web.RouteTableDef()


@ROUTES.get(OVERVIEW)
async def overview(request: web.Request) -> web.Response:
    """What is spent, how much of it is work, and where it goes."""
    desk, settled, around = await _open(request)
    ranges = [desk.settle_again(settled, window) for _, window in RANGES]
    (models, namespaces, idle), shares = await asyncio.gather(
        asyncio.gather(desk.models(settled), desk.namespaces(settled), desk.idle(settled)),
        asyncio.gather(*(desk.shares(one) for one in ranges)),
    )
    first_ns = models.total.group.first_ns
    around = await _with_record(desk, settled, around, first_ns)
    spend = [] if first_ns is None else await desk.spend(settled, first_ns)
    named = [(name, share) for (name, _), share in zip(RANGES, shares, strict=True)]
    return _html(overview_page(Findings(models, namespaces, idle, spend, named), around))


@ROUTES.get("/namespaces")
async def namespaces(request: web.Request) -> web.Response:
    """What each namespace cost."""
    desk, settled, around = await _open(request)
    report = await desk.namespaces(settled)
    around = await _with_record(desk, settled, around, report.total.group.first_ns)
    return _html(namespaces_page(report, around))


@ROUTES.get("/models")
async def models(request: web.Request) -> web.Response:
    """What each model cost."""
    desk, settled, around = await _open(request)
    report = await desk.models(settled)
    around = await _with_record(desk, settled, around, report.total.group.first_ns)
    return _html(models_page(report, around))


@ROUTES.get("/idle")
async def idle(request: web.Request) -> web.Response:
    """Which GPUs can be stopped now."""
    desk, settled, around = await _open(request)
    (found, shadows), shares = await asyncio.gather(
        asyncio.gather(desk.idle(settled), desk.shadow(settled)), desk.shares(settled)
    )
    around = await _with_record(desk, settled, around, found.report.total.group.first_ns)
    seen = await _sight(request, settled, found)
    return _html(idle_page(found, shadows, scale_of(shares), around, seen))


@ROUTES.get("/static/{version}/{name}")
async def static(request: web.Request) -> web.Response:
    """A file under the name of its content; under any other it is not there."""
    name = request.match_info["name"]
    if name not in FILES or request.path != static_link(name):
        raise web.HTTPNotFound
    answer = web.Response(body=static_file(name), content_type=FILES[name], charset="utf-8")
    answer.headers["Cache-Control"] = FOR_EVER
    return answer


def error_page(request: web.Request, status: int, error: str, hint: str) -> web.Response:
    """What went wrong, as a page."""
    theme = request.query.get("theme", "")
    html = error_html(status, error, hint, theme if theme in THEMES else "")
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8")


async def _open(request: web.Request) -> tuple[Desk, Settled, Surroundings]:
    desk = request.app[DESK]
    theme = request.query.get("theme", "")
    if theme not in THEMES:
        raise BadRequest(f"{theme!r} is not a theme", "take light or dark", "theme")
    settled = await desk.settle(_ask(request))
    return desk, settled, _around(request, settled)


async def _sight(request: web.Request, settled: Settled, found: IdleReport) -> Sight:
    """What the nodes of idle GPUs look like now, where the page is about now; the dearest of very many."""
    if settled.period.answered.end_ns != settled.known.complete_through_ns:
        return Sight()
    nodes = list(dict.fromkeys(row.subject.holding.node for row in found.report.rows))[:MOST_NODES_SEEN]
    ask = settled.ask if nodes else replace(settled.ask, limit=1)
    seen = await look(request.app[PARTS], ask, nodes)
    return sight(seen.now.rows, seen.heard, seen.expected, seen.interval_ns, seen.replicas)


async def _with_record(
    desk: Desk, settled: Settled, around: Surroundings, first_ns: int | None
) -> Surroundings:
    """Where a page has nothing to show, whether that is for want of a record."""
    return around if first_ns is not None else replace(around, record=await desk.record(settled))


def _ask(request: web.Request) -> Ask:
    """A page is read leniently: what it does not know it leaves alone, as other pages' links may hold it."""
    names = [name for name in STATE_PARAMETERS if name != "theme" and name in request.query]
    given = query_of(request)
    query = {name: given[name] for name in names} | {"limit": [str(MOST_ROWS)]}
    return read_ask(query, "", (*STATE_PARAMETERS, "limit"), reader_of(request))


def _around(request: web.Request, settled: Settled) -> Surroundings:
    ask = settled.ask
    state = {name: request.query.get(name, "") for name in STATE_PARAMETERS}
    # A reader's own part is left out: it holds without being said, and hundreds of names are no address.
    asked = words_of(query_of(request), "namespace")
    state |= {"cluster": ",".join(ask.clusters), "namespace": ",".join(asked)}
    return Surroundings(
        path=request.path,
        state=state,
        period=settled.period,
        known=settled.known,
        now_ns=settled.now_ns,
        zone=ask.zone,
        version=request.app[PARTS].version,
        names=settled.names,
        picked_clusters=ask.clusters,
        picked_namespaces=ask.namespaces,
        doubled=_doubled(request, settled),
    )


def _doubled(request: web.Request, settled: Settled) -> tuple[NodeId, ...]:
    reader, picked = settled.ask.reader, settled.ask.clusters
    if reader.sees_holders_only:
        return ()
    found = request.app[PARTS].duplicate_agents()
    return tuple(node for node in found if not picked or node.cluster in picked)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")
