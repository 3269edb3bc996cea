"""What a reader may see whom Kubernetes knows: asked of their cluster's API server, request by request."""

import re
from collections.abc import Collection

from aiohttp import web
from gpucost.trouble import Retry
from gpucost.window import Interval

from gpucost_aggregator.access.kube_rights import EVERY_NODE, EVERY_POD, Right, pods_in
from gpucost_aggregator.access.kube_user import KubeUser
from gpucost_aggregator.access.reader import Reader
from gpucost_aggregator.api.ask import OVERVIEW, RANGES, query_of, read_ask, words_of
from gpucost_aggregator.api.keys import DESK, PARTS
from gpucost_aggregator.api.problems import BadRequest, NotNow, NotYours
from gpucost_aggregator.store.rows import Dimension

MOST_NAMESPACES = 200
"""Asked about for one request: a second of the API server's time. Few clusters have so many that hold GPUs."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""What Kubernetes can call one. An empty name would ask about all of them."""

_ABOUT_TIME = ("window", "tz")


async def reader_by_kubernetes(request: web.Request, user: KubeUser) -> Reader:
    """
    The reader that *user* is for *request*: of their cluster alone, in the namespaces whose pods they may list.

    Who may list all pods sees all namespaces; who may list all nodes, too, sees also what belongs to no namespace.
    What the store raises, it may raise as well.

    Raises:
        BadRequest: The window can not be read, or more namespaces would have to be asked about than are.
        NotYours: They may list pods in no namespace that the request is about.
        NotNow: The API server can not be asked.
    """
    held = await _held(request, user, (EVERY_POD, EVERY_NODE))
    if len(held) == len((EVERY_POD, EVERY_NODE)):
        return Reader(user.name, (user.cluster,))
    named = {name for name in words_of(query_of(request), "namespace") if _NAMESPACE.fullmatch(name)}
    told = named | await _told_of(request, user)
    if EVERY_POD not in held:
        asked = told if len(told) <= MOST_NAMESPACES else named
        if told and not 0 < len(asked) <= MOST_NAMESPACES:
            raise BadRequest(
                f"more than {MOST_NAMESPACES} namespaces held GPUs in this time, and {user.cluster} would have to be "
                "asked about each whether you may see it",
                "name yours with `namespace`, or ask for a shorter window",
            )
        told = {
            right.namespace for right in await _held(request, user, [pods_in(name) for name in sorted(asked)])
        }
    if not told:
        raise NotYours(
            f"{user.cluster} lets {user.name} list the pods of no namespace that this is about",
            "ask its administrators for the right to list pods in your namespaces, or ask for a longer window",
        )
    return Reader(user.name, (user.cluster,), tuple(sorted(told)))


async def _held(request: web.Request, user: KubeUser, rights: Collection[Right]) -> frozenset[Right]:
    parts = request.app[PARTS]
    try:
        return await parts.access.rights.held(user, rights, parts.clock.now().monotonic_ns)
    except Retry as trouble:
        raise NotNow(
            f"{user.cluster} can not be asked what you may see: {trouble}",
            "nothing is shown to you until its API server answers; try again soon",
        ) from None


async def _told_of(request: web.Request, user: KubeUser) -> set[str]:
    """Namespaces of the cluster that held something in the time that *request* is about, all of its parts together."""
    desk, query = request.app[DESK], query_of(request)
    about = {name: query[name] for name in _ABOUT_TIME if name in query}
    settled = await desk.settle(read_ask(about, "", _ABOUT_TIME, Reader(user.name, (user.cluster,))))
    beside = [window for _, window in RANGES] if request.path == OVERVIEW else []
    stretches = [
        each.period.answered for each in (settled, *(desk.settle_again(settled, window) for window in beside))
    ]
    whole = Interval(min(each.start_ns for each in stretches), max(each.end_ns for each in stretches))
    totals = await desk.totals(settled.scope_of(whole), (Dimension.NAMESPACE,))
    return {total.key[0] for total in totals if _NAMESPACE.fullmatch(total.key[0])}
