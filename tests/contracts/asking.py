"""Asks the web application over a real socket, once a call."""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from contracts.hand_clock import HandClock
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.api import Parts, make_app
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.store import Store


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Web:
    """The application over *store* at *now_ns*."""

    store: Store
    now_ns: int
    ready: tuple[bool, str] = (True, "")
    access: ReaderAccess = field(default_factory=ReaderAccess)
    board: Board = field(default_factory=Board)
    monotonic_ns: int = 50_000_000_000

    def get(self, path: str, accept: str = "*/*", headers: Mapping[str, str] | None = None) -> Answer:
        return asyncio.run(self._request("GET", path, {"Accept": accept, **(headers or {})}, follow=True))

    def request(self, method: str, path: str, accept: str = "*/*", *, follow: bool = True) -> Answer:
        return asyncio.run(self._request(method, path, {"Accept": accept}, follow=follow))

    async def _request(self, method: str, path: str, headers: Mapping[str, str], *, follow: bool) -> Answer:
        with ThreadPoolExecutor(2) as readers:
            parts = Parts(
                store=self.store,
                clock=HandClock(self.now_ns, self.monotonic_ns),
                readers=readers,
                metrics_text=lambda: b"gpucost_conflicts_total 0\n",
                ready=lambda: self.ready,
                version="1.2.3",
                access=self.access,
                board=self.board,
            )
            async with TestClient(TestServer(make_app(parts))) as client:
                answer = await client.request(method, path, headers=headers, allow_redirects=follow)
                return Answer(answer.status, dict(answer.headers), await answer.text())
