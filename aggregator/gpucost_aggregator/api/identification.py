"""Who asks: looked up before anything of a request is read, and carried along with it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gpucost_aggregator.access.kube_user import KubeUser
from gpucost_aggregator.access.reader import Reader
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.api.keys import PARTS
from gpucost_aggregator.api.kube_scope import reader_by_kubernetes
from gpucost_aggregator.peers.calling import PATH as PEERS_PATH

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""
What machines ask that have no token: the kubelet's probes, and Prometheus. They tell counts, and no name and no cost.
"""

OPEN_FOLDER = "/static/"
"""Files of the page, the same in every installation."""

ASKED_FOR = 'Basic realm="gpucost", charset="UTF-8"'
"""Makes a browser ask for a password, which is the token; who sends a Bearer token does not need to be told."""

_READER: web.RequestKey[Reader] = web.RequestKey("reader", Reader)


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """
    Let in who is known. Unknown paths are refused alike: who is nobody learns nothing of what is there.

    Raises:
        Refused: Nobody who is known here.
    """
    if request.path in OPEN_PATHS or request.path.startswith(OPEN_FOLDER):
        return await handler(request)
    parts = request.app[PARTS]
    try:
        if request.path == PEERS_PATH:
            # What all nodes told, whoever's they are: no reader comes here, whatever they may see.
            parts.peer_access.identify(request.headers, request.remote)
        else:
            who = parts.access.identify(request.headers, request.remote)
            # No handler sees somebody of whom it is not known yet what they may see.
            request[_READER] = await reader_by_kubernetes(request, who) if isinstance(who, KubeUser) else who
    except Refused as trouble:
        parts.on_refused(trouble, request.remote or "")
        raise
    return await handler(request)


def reader_of(request: web.Request) -> Reader:
    """Who asks; every route has one but the open ones, and the one of other aggregators."""
    return request[_READER]
