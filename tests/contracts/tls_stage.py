"""A server behind TLS whose every byte is a test's: what it says, how slowly, and to whom."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from contracts.certificates import Pair

_LENGTH = re.compile(rb"Content-Length: ([0-9]+)\r\n")

Script = Callable[[socket.socket], None]
"""What happens once a request is read; the connection is closed after it."""


@dataclass
class Listening:
    """Where it is, and the requests that it read."""

    port: int
    asked: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/keys"


def saying(body: bytes, status: str = "200 OK", *headers: str) -> Script:
    """An answer in order."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


@contextmanager
def listening(script: Script, pair: Pair | None, *, speaks_first: bool = False) -> Iterator[Listening]:
    """A server that plays *script* to whoever asks, encrypted with the certificate of *pair*; or before they do."""
    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Listening(server.getsockname()[1])
        threads: list[threading.Thread] = []

        def serve(raw: socket.socket) -> None:
            # Whoever hangs up on a certificate or in the middle of an answer is what some tests are about.
            with raw, suppress(OSError):
                connection = context.wrap_socket(raw, server_side=True) if context else raw
                with connection:
                    if not speaks_first:
                        found.asked.append(_request_from(connection))
                    script(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    raw, _ = server.accept()
                    threads.append(threading.Thread(target=serve, args=(raw,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield found
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join()


def _request_from(connection: socket.socket) -> bytes:
    text, length = b"", 0
    while b"\r\n\r\n" not in text or len(text.partition(b"\r\n\r\n")[2]) < length:
        more = connection.recv(4_096)
        if not more:
            raise ConnectionError("nobody asks")
        text += more
        length = int((_LENGTH.search(text) or [0, 0])[1])
    return text
