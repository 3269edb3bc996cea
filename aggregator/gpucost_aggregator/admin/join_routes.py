"""Clusters join and leave: tokens made and taken away, names given back."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from gpucost.clock import Clock
from gpucost.trouble import Reject
from gpucost.wire import MAX_NAME_BYTES
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.admin.application import answer, body_of

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class JoinParts:
    """
    What joining needs. *readers* is where the book is changed, as that blocks.

    *end_streams* ends those of a caller by its name; *address* is where agents call, as this program knows it.
    """

    book: AccessBook
    readers: Executor
    clock: Clock
    log: FilteringBoundLogger
    end_streams: Callable[[str], int]
    address: str
    is_encrypted: bool


def join_routes(parts: JoinParts) -> list[web.RouteDef]:
    """`POST /join`, `/join/revoke` and `/join/unbind`: each of one cluster."""

    async def blocking(call: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(parts.readers, call, *arguments)

    async def join(request: web.Request) -> web.Response:
        cluster = _cluster(await body_of(request))
        token, entry = await blocking(parts.book.join, cluster, parts.clock.now().wall_ns)
        parts.log.info("cluster_joined", cluster=cluster, token_id=entry.token_id)
        return answer(
            {
                "cluster": cluster,
                "token": token,
                "token_id": entry.token_id,
                "tokens": [each.token_id for each in parts.book.tokens_of(cluster)],
                "address": parts.address,
                "encrypted": parts.is_encrypted,
            }
        )

    async def revoke(request: web.Request) -> web.Response:
        body = await body_of(request)
        cluster, token_id = _cluster(body), str(body.get("token_id", ""))
        entry = await blocking(parts.book.revoke, cluster, token_id)
        ended = parts.end_streams(f"token {entry.token_id}")
        parts.log.info("token_revoked", cluster=cluster, token_id=token_id, streams_ended=ended)
        return answer({"cluster": cluster, "token_id": token_id, "streams_ended": ended})

    async def unbind(request: web.Request) -> web.Response:
        cluster = _cluster(await body_of(request))
        binding = await blocking(parts.book.unbind, cluster)
        parts.log.info("cluster_unbound", cluster=cluster, cluster_uid=binding.uid)
        return answer({"cluster": cluster, "cluster_uid": binding.uid})

    return [
        web.post("/join", join),
        web.post("/join/revoke", revoke),
        web.post("/join/unbind", unbind),
    ]


def _cluster(body: dict[str, Any]) -> str:
    cluster = str(body.get("cluster", ""))
    if len(cluster.encode()) > MAX_NAME_BYTES or not _NAME.fullmatch(cluster):
        raise Reject(
            f"{cluster[:100]!r} is no name of a cluster: write one word, as its agents' --cluster has it"
        )
    return cluster
