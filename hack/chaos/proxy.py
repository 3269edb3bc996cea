"""
Between agents and the aggregator: a port for each agent, whose bytes it can cut, delay, duplicate and cut off.

python -m chaos.proxy UPSTREAM-PORT CONTROL-SOCKET PORT...

What passes is TLS, which it can not read; a record of application data that comes from an agent on a connection that
stands for a while, and is as long as a batch, is taken for one. The control socket takes a JSON object a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 65_536
_APPLICATION_DATA = 0x17
_BATCH_BYTES = 400
"""The smallest batch is longer, and a ping, a window update or a Hello is not."""

_SETTLED_S = 1.0
"""Hellos and handshakes are over by then."""


@dataclass(eq=False)
class Link:
    """One connection of an agent."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    began: float = field(default_factory=time.monotonic)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        """Both ends at once, without a word of TLS."""
        for writer in (self.client, self.server):
            transport = writer.transport
            transport.abort()


@dataclass
class Gate:
    """The way of one agent. *armed* is what happens to its next batch; *done* counts what has happened."""

    armed: str = ""
    delay_s: float = 0.0
    is_shut: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)
    held: bool = False
    links: set[Link] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)
    passed: int = 0

    def happened(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1
        self.armed = ""

    def hold(self) -> None:
        """What comes now waits."""
        self.held = True
        self.released.clear()

    def release(self) -> None:
        """It goes on."""
        self.armed, self.held = "", False
        self.released.set()

    def cut(self) -> None:
        """All connections."""
        for link in list(self.links):
            link.cut()


class Proxy:
    """Serves until cancelled."""

    def __init__(self, upstream: int, ports: list[int]) -> None:
        self._upstream = upstream
        self._gates = {port: Gate() for port in ports}

    async def run(self, control: str) -> None:
        servers = [
            await asyncio.start_server(
                lambda reader, writer, gate=gate: self._serve(gate, reader, writer), "127.0.0.1", port
            )
            for port, gate in self._gates.items()
        ]
        servers.append(await asyncio.start_unix_server(self._command, control))
        print("ready {}", flush=True)
        await asyncio.gather(*(server.serve_forever() for server in servers))

    async def _serve(self, gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if gate.is_shut:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, up_writer)
        gate.links.add(link)
        ways = (
            self._pass(gate, link, reader, up_writer, True),
            self._pass(gate, link, up_reader, writer, False),
        )
        link.tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(link.tasks, return_when=asyncio.FIRST_COMPLETED)
            # What the other end still says, such as an end of TLS, is passed on.
            await asyncio.wait(link.tasks, timeout=0.5)
        finally:
            for task in link.tasks:
                task.cancel()
            gate.links.discard(link)
            link.cut()

    async def _pass(
        self,
        gate: Gate,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_server: bool,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if gate.delay_s:
                    await asyncio.sleep(gate.delay_s)
                if to_server and self._is_batch(link, data):
                    gate.passed += 1
                    if gate.armed:
                        await self._harm(gate, link, data, writer)
                        continue
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    def _is_batch(self, link: Link, data: bytes) -> bool:
        is_settled = time.monotonic() - link.began >= _SETTLED_S
        return is_settled and data[0] == _APPLICATION_DATA and len(data) >= _BATCH_BYTES

    async def _harm(self, gate: Gate, link: Link, data: bytes, writer: asyncio.StreamWriter) -> None:
        what, half = gate.armed, len(data) // 2
        gate.happened(what)
        if what == "duplicate":
            # The second time the record's number is another, so that TLS has to end the stream.
            writer.write(data + data)
        elif what == "truncate":
            # The middle is missing, and the stream goes on.
            writer.write(data[:half] + data[half + 64 :])
        elif what == "cut":
            writer.write(data[:half])
            await writer.drain()
            link.cut()
        elif what == "hold":
            writer.write(data[:half])
            await writer.drain()
            gate.hold()
            await gate.released.wait()
            writer.write(data[half:])
        await writer.drain()

    async def _command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, command: dict[str, Any]) -> dict[str, Any]:
        gate = self._gates[command["port"]]
        match command["do"]:
            case "arm":
                gate.armed = command["what"]
            case "release":
                gate.release()
            case "delay":
                gate.delay_s = command["seconds"]
            case "shut":
                gate.is_shut = command["is_shut"]
                if gate.is_shut:
                    gate.cut()
            case "cut":
                gate.cut()
        return {
            "held": gate.held,
            "armed": gate.armed,
            "done": gate.done,
            "passed": gate.passed,
            "links": len(gate.links),
        }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(Proxy(int(sys.argv[1]), [int(port) for port in sys.argv[3:]]).run(sys.argv[2]))
