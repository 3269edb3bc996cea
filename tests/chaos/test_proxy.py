"""The proxy does to a batch what it was told, and nothing to the rest."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.places import AgentPlace, ProxyControl
from contracts.agent_process import free_port
from demo.child import Child, programs_environ

BATCH = bytes([0x17]) + bytes(range(200)) * 4
SMALL = bytes([0x17]) + b"ping"


class Way:
    """A connection of an agent through the proxy, and the aggregator's end of it."""

    def __init__(self, folder: Path) -> None:
        self.upstream = socket.create_server(("127.0.0.1", 0))
        self.upstream.settimeout(20)
        port = free_port()
        arguments = ["chaos.proxy", str(self.upstream.getsockname()[1]), str(folder / "p.sock"), str(port)]
        self.child = Child("proxy", arguments, programs_environ(), folder)
        self.child.start()
        self.child.ready()
        self.control = ProxyControl(folder / "p.sock")
        self.place = AgentPlace(self.child, port=port)

    def connect(self) -> None:
        self.agent = socket.create_connection(("127.0.0.1", self.place.port), timeout=20)
        self.server, _ = self.upstream.accept()
        self.server.settimeout(20)
        time.sleep(1.2)  # so that it counts as settled

    def arm(self, what: str) -> None:
        self.control.ask(self.place, "arm", what=what)

    def came(self, length: int) -> bytes:
        """So many bytes at the aggregator's end, or what there was when it ended."""
        found = b""
        with suppress(ConnectionResetError):
            while len(found) < length and (data := self.server.recv(length - len(found))):
                found += data
        return found

    def end(self) -> None:
        self.control.close()
        self.child.kill()
        self.upstream.close()


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    found = Way(tmp_path)
    found.connect()
    yield found
    found.agent.close()
    found.server.close()
    found.end()


def test_what_is_no_batch_passes(way: Way) -> None:
    way.arm("cut")
    way.agent.sendall(SMALL)
    assert way.came(len(SMALL)) == SMALL
    way.server.sendall(BATCH)
    assert way.agent.recv(len(BATCH), socket.MSG_WAITALL) == BATCH
    assert way.control.ask(way.place)["armed"] == "cut"


def test_a_batch_is_sent_twice_or_lacks_its_middle_once(way: Way) -> None:
    way.arm("duplicate")
    way.agent.sendall(BATCH)
    assert way.came(2 * len(BATCH)) == BATCH + BATCH
    way.arm("truncate")
    way.agent.sendall(BATCH)
    half = len(BATCH) // 2
    assert way.came(len(BATCH) - 64) == BATCH[:half] + BATCH[half + 64 :]
    way.agent.sendall(BATCH)
    assert way.came(len(BATCH)) == BATCH
    assert way.control.ask(way.place)["done"] == {"duplicate": 1, "truncate": 1}


def test_a_cut_leaves_half_of_it_and_no_connection(way: Way) -> None:
    way.arm("cut")
    way.agent.sendall(BATCH)
    assert len(way.came(len(BATCH))) <= len(BATCH) // 2
    assert way.control.ask(way.place)["done"] == {"cut": 1}


def test_half_of_it_waits_until_it_is_let_go(way: Way) -> None:
    way.arm("hold")
    way.agent.sendall(BATCH)
    assert way.came(len(BATCH) // 2) == BATCH[: len(BATCH) // 2]
    deadline = time.monotonic() + 10
    while not way.control.ask(way.place)["held"]:
        assert time.monotonic() < deadline
    way.server.setblocking(False)
    with pytest.raises(BlockingIOError):
        way.server.recv(1)
    way.server.settimeout(20)
    way.control.ask(way.place, "release")
    assert way.came(len(BATCH) - len(BATCH) // 2) == BATCH[len(BATCH) // 2 :]


def test_nobody_gets_through_while_it_is_shut(way: Way) -> None:
    way.control.ask(way.place, "shut", is_shut=True)
    assert way.came(1) == b""
    with socket.create_connection(("127.0.0.1", way.place.port), timeout=20) as again:
        again.settimeout(20)
        with suppress(ConnectionResetError):
            assert again.recv(1) == b""
    way.control.ask(way.place, "shut", is_shut=False)
