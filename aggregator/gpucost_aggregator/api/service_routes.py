"""What machines ask first: alive, ready, metrics, and the description of the rest."""

from aiohttp import web

from gpucost_aggregator.api.keys import PARTS
from gpucost_aggregator.api.openapi import description
from gpucost_aggregator.api.problems import json_response

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ROUTES = web.RouteTableDef()


@ROUTES.get("/healthz")
async def healthz(_: web.Request) -> web.Response:
    """The process answers; nothing more."""
    return web.Response(text="ok\n")


@ROUTES.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """Whether requests should come here; 503 and why, if not."""
    ready, why = request.app[PARTS].ready()
    return web.Response(text=f"{why or 'ok'}\n", status=200 if ready else 503)


@ROUTES.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(body=request.app[PARTS].metrics_text(), headers={"Content-Type": METRICS_TYPE})


@ROUTES.get("/api/v1/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    """The routes, described."""
    return json_response(description(request.app[PARTS].version))
