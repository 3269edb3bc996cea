"""Faults by command: a Unix socket that takes one JSON object a line and answers each with one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

# The answer of one command, or a Refusal.
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Refusal(Exception):
    """A command that cannot be carried out; its text is the answer."""


class Control:
    """`handle` runs on the event loop, one command at a time for each connection."""

    def __init__(self, socket: Path, handle: Handler) -> None:
        self.socket = socket
        self._handle = handle
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.socket)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            command = json.loads(line)
        except ValueError as error:
            return {"ok": False, "error": f"not a JSON line: {error}"}
        if not isinstance(command, dict):
            return {"ok": False, "error": 'a command is an object such as {"do": "api_stop"}'}
        try:
            return {"ok": True, **await self._handle(command)}
        except Refusal as refusal:
            return {"ok": False, "error": str(refusal)}
