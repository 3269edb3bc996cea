"""The application behind the admin socket: groups of routes, JSON in and out, trouble as an answer."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from gpucost.trouble import Reject, Retry, Stop
from structlog.typing import FilteringBoundLogger

MAX_BODY_BYTES = 1 << 20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_admin(log: FilteringBoundLogger, *groups: Iterable[web.AbstractRouteDef]) -> web.Application:
    """
    The application of all *groups*; each comes from a file of its own, made of what it needs.

    A handler answers with `answer`. It raises Reject for what can never be done as asked (400), Retry for what
    may work later (503), Stop for what a person has to mend first (500); the text goes to the operator.
    """
    app = web.Application(middlewares=[_troubles_told_to(log)], client_max_size=MAX_BODY_BYTES)
    for group in groups:
        app.add_routes(group)
    return app


def answer(body: Any, status: int = 200) -> web.Response:
    """*body* as JSON."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    return web.Response(text=text + "\n", status=status, content_type="application/json", charset="utf-8")


async def body_of(request: web.Request) -> dict[str, Any]:
    """
    The JSON object that *request* carries; empty where it carries nothing.

    Raises:
        Reject: It carries something else.
    """
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        raise Reject("the body is no JSON") from None
    if not isinstance(body, dict):
        raise Reject("the body is no JSON object")
    return body


def _troubles_told_to(log: FilteringBoundLogger) -> Any:
    @web.middleware
    async def troubles(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Reject as trouble:
            return answer({"error": str(trouble)}, 400)
        except Retry as trouble:
            return answer({"error": str(trouble)}, 503)
        except Stop as trouble:
            return answer({"error": str(trouble), "exit_code": trouble.exit_code}, 500)
        except web.HTTPException as trouble:
            said = f"{request.method} {request.path}: {trouble.reason}"
            return answer({"error": f"{said}: the command and the server are of different versions"}, 404)
        except Exception:  # one command's bug ends neither the server nor its streams
            log.exception("admin_command_failed", path=request.path)
            return answer({"error": "this is a bug: report the event admin_command_failed of its log"}, 500)

    return troubles
