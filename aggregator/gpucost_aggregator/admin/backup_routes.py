"""Backups, made by the running server, as no other process can open its store."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from aiohttp import web
from gpucost.trouble import Reject
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.admin.application import answer, body_of
from gpucost_aggregator.store.backup_rows import Backup


def backup_routes(
    make: Callable[[Path], Backup], readers: Executor, log: FilteringBoundLogger
) -> list[web.RouteDef]:
    """`POST /backup {"path": ...}`; *make* blocks and runs in *readers*, so that batches go on being kept."""

    async def backup(request: web.Request) -> web.Response:
        path = (await body_of(request)).get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            raise Reject("a backup needs a path")
        made = await asyncio.get_running_loop().run_in_executor(readers, make, Path(path))
        log.info("backup_made", path=str(made.path), bytes=made.size_bytes, agents=len(made.watermarks))
        return answer(
            {
                "path": str(made.path),
                "statement": str(made.statement),
                "bytes": made.size_bytes,
                "messages": None if made.messages is None else str(made.messages),
                "agents": len(made.watermarks),
            }
        )

    return [web.post("/backup", backup)]
