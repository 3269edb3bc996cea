"""What this aggregator's nodes look like now, for the others; nothing of theirs, so that no question goes on."""

import asyncio

from aiohttp import web
from gpucost.peers_wire import ToldGlimpse, glimpses_to_bytes

from gpucost_aggregator.api.keys import PARTS
from gpucost_aggregator.peers.calling import ASKED_BY, CONTENT_TYPE, PATH

ROUTES = web.RouteTableDef()


@ROUTES.get(PATH)
async def glimpses(request: web.Request) -> web.Response:
    """The latest glimpses of the nodes whose streams end here, with their ages; only other aggregators get it."""
    parts, now = request.app[PARTS], request.app[PARTS].clock.now()
    interval_ns = parts.board.interval_ns(now)
    asks_itself = request.headers.get(ASKED_BY) == parts.replica
    fresh = () if asks_itself else parts.board.fresh(now)

    def in_thread() -> bytes:
        told = (
            ToldGlimpse(each.node, each.taken_at_ns, max(0, now.monotonic_ns - each.received_ns), each.table)
            for each in fresh
        )
        return glimpses_to_bytes(parts.replica, interval_ns, told)

    body = await asyncio.get_running_loop().run_in_executor(parts.readers, in_thread)
    parts.peer_counts.answered_here += not asks_itself
    return web.Response(body=body, content_type=CONTENT_TYPE)
