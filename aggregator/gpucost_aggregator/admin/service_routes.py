"""Which server this is."""

import os
from collections.abc import Callable, Mapping

from aiohttp import web

from gpucost_aggregator.admin.application import answer


def service_routes(status: Callable[[], Mapping[str, object]]) -> list[web.RouteDef]:
    """`GET /status`; *status* is called on the event loop and must not block."""

    async def tell(_: web.Request) -> web.Response:
        return answer({"process": os.getpid(), **status()})

    return [web.get("/status", tell)]
