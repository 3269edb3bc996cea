"""The web application: its routes, and what every answer has in common."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from gpucost.trouble import Retry, Stop

from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.api import (
    live_routes,
    page_routes,
    peer_routes,
    quarantine_routes,
    report_routes,
    service_routes,
    slice_routes,
)
from gpucost_aggregator.api.desk import Desk
from gpucost_aggregator.api.identification import ASKED_FOR, identify
from gpucost_aggregator.api.keys import DESK, PARTS
from gpucost_aggregator.api.page_routes import error_page
from gpucost_aggregator.api.parts import Parts
from gpucost_aggregator.api.problems import BadRequest, problem
from gpucost_aggregator.ui.pages import CONTENT_SECURITY_POLICY
from gpucost_aggregator.ui.shell import PAGES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COMPRESS_FROM_BYTES = 1_024
"""Below this a compressed answer is no shorter by a packet."""

SAFE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Server": "gpucost",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_app(parts: Parts) -> web.Application:
    """The application that answers from *parts*; it opens and closes nothing of them."""
    app = web.Application(middlewares=[_headers, _troubles, identify])
    app[PARTS] = parts
    app[DESK] = Desk(parts)
    for routes in (
        *(service_routes, report_routes, slice_routes, quarantine_routes, page_routes),
        *(live_routes, peer_routes),
    ):
        app.add_routes(routes.ROUTES)
    return app


@web.middleware
async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    for name, value in SAFE_HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers.setdefault("Cache-Control", "no-store")
    if isinstance(answer, web.Response) and (answer.body_length or _length(answer)) > COMPRESS_FROM_BYTES:
        answer.enable_compression()
        answer.headers.setdefault("Vary", "Accept, Accept-Encoding")
    return answer


def _length(answer: web.Response) -> int:
    return len(answer.body) if isinstance(answer.body, bytes | bytearray) else 0


@web.middleware
async def _troubles(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns trouble into an answer: a page for who asks for pages, JSON for everybody else."""
    try:
        return await handler(request)
    except BadRequest as trouble:
        answer = _answer(request, trouble.status, trouble.error, trouble.hint, trouble.parameter)
        if trouble.status == HTTPStatus.SERVICE_UNAVAILABLE:
            answer.headers["Retry-After"] = "5"
        return answer
    except Refused as trouble:
        answer = _answer(request, 401, "nobody who is known here", str(trouble))
        answer.headers["WWW-Authenticate"] = ASKED_FOR
        return answer
    except Retry as trouble:
        answer = _answer(request, 503, f"the store is busy: {trouble}", "nothing is lost; try again soon")
        answer.headers["Retry-After"] = "5"
        return answer
    except Stop as trouble:
        return _answer(request, 503, f"the store can not be used: {trouble}", "see the aggregator's log")
    except web.HTTPException as trouble:
        if trouble.status < 400:
            raise
        if trouble.status == HTTPStatus.NOT_FOUND and (place := _without_slash(request)):
            return web.Response(status=308, headers={"Location": place})
        answer = _answer(request, trouble.status, *_words(request, trouble.status))
        if allowed := trouble.headers.get("Allow"):
            answer.headers["Allow"] = allowed
        return answer


def _without_slash(request: web.Request) -> str:
    """Where it goes on without a slash at the end; empty where nothing is there either."""
    path = request.path.rstrip("/")
    if path == request.path or path not in {each.canonical for each in request.app.router.resources()}:
        return ""
    query = request.rel_url.raw_query_string
    return f"{path}?{query}" if query else path


def _answer(request: web.Request, status: int, error: str, hint: str, parameter: str = "") -> web.Response:
    if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
        return problem(status, error, hint, parameter)
    return error_page(request, status, error, hint)


def _words(request: web.Request, status: int) -> tuple[str, str]:
    if status == HTTPStatus.NOT_FOUND:
        if not request.path.startswith("/api/"):
            return (
                f"there is nothing at {request.path}",
                f"the pages are {', '.join(path for path, _ in PAGES)}",
            )
        return f"there is nothing at {request.path}", "/api/v1/openapi.json lists every route"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not possible here", "everything here is read with GET"
    return HTTPStatus(status).phrase, "/api/v1/openapi.json lists every route"
