"""The fleet's price book: set, shown and cleared by who may open the admin socket, and by nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from gpucost.clock import Clock
from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.window import to_rfc3339
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.admin.application import answer, body_of
from gpucost_aggregator.ingest.price_shelf import PriceShelf, Shelved

MOST_OTHERS = 100
"""Nodes that go by another book, as far as they are named; the rest are counted."""


@dataclass(frozen=True, slots=True)
class PricesParts:
    """
    What it is made of. *readers* is where the shelf is changed, as that blocks.

    *changed* begins to tell all agents, and says how many there are; *named* is which version each node that has a
    stream goes by, as it said last.
    """

    shelf: PriceShelf
    readers: Executor
    clock: Clock
    log: FilteringBoundLogger
    changed: Callable[[], int]
    named: Callable[[], tuple[tuple[NodeId, str], ...]]


def prices_routes(parts: PricesParts) -> list[web.RouteDef]:
    """`GET /prices`, `POST /prices/set {"yaml", "file"}` and `POST /prices/clear`."""

    async def blocking(call: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(parts.readers, call, *arguments)

    async def put(request: web.Request) -> web.Response:
        yaml, file = _asked(await body_of(request))
        shelved, is_new = await blocking(parts.shelf.put, yaml, file, parts.clock.now().wall_ns)
        told = parts.changed() if is_new else 0
        if is_new:
            about = {"version": shelved.fleet.version, "sha256": shelved.fleet.book.sha256}
            parts.log.info("prices_set", rules=len(shelved.fleet.book.rules), agents=told, **about)
        return answer(_shown(shelved) | {"is_new": is_new, "agents": told})

    async def show(_: web.Request) -> web.Response:
        shelved, named = parts.shelf.current, parts.named()
        version = "" if shelved is None else shelved.fleet.version
        others = sorted((node.cluster, node.node, other) for node, other in named if other != version)
        return answer(
            {
                "book": None if shelved is None else _shown(shelved) | {"yaml": shelved.fleet.yaml.decode()},
                "agents": [
                    {"version": other, "agents": count}
                    for other, count in sorted(Counter(other for _, other in named).items())
                ],
                "others": [
                    {"cluster": cluster, "node": node, "version": other}
                    for cluster, node, other in others[:MOST_OTHERS]
                ],
                "others_left_out": max(0, len(others) - MOST_OTHERS),
            }
        )

    async def clear(_: web.Request) -> web.Response:
        was = await blocking(parts.shelf.clear)
        told = parts.changed()
        parts.log.info("prices_cleared", version=was.fleet.version, agents=told)
        return answer({"version": was.fleet.version, "agents": told})

    return [web.get("/prices", show), web.post("/prices/set", put), web.post("/prices/clear", clear)]


def _shown(shelved: Shelved) -> dict[str, Any]:
    book = shelved.fleet.book
    return {
        "version": book.version,
        "since": to_rfc3339(shelved.since_ns),
        "rules": len(book.rules),
        "sha256": book.sha256,
    }


def _asked(body: dict[str, Any]) -> tuple[bytes, str]:
    yaml, file = body.get("yaml"), body.get("file", "price book")
    if not (isinstance(yaml, str) and isinstance(file, str)):
        raise Reject("setting prices needs the book's yaml")
    try:
        return yaml.encode(), file
    except UnicodeEncodeError:
        raise Reject(f"{file}: it holds half a character, which no file can: write it out") from None
