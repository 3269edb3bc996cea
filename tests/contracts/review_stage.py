"""A simulated API server that reviews access, at its own border: real HTTP, and what a test says of it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gpucost_aggregator.access.api_server import ApiServer

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass
class Reviews:
    """
    What it knows and heard. *allowed* are (user or group, resource, namespace), an empty one is everywhere.

    *answers* are HTTP's status and body instead of a review, one after the other, the last one for ever. While the
    *gate* is shut, nobody gets an answer; *under_way* were asked at once, at the most.
    """

    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    location: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    under_way: int = 0
    _now: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def namespaces(self) -> list[str]:
        """Of the questions so far, where they were about one, in order of the alphabet."""
        found = (asked["spec"]["resourceAttributes"] for asked in self.asked)
        return sorted(each["namespace"] for each in found if each["namespace"])

    def answer(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        with self._counting:
            self.asked.append(asked)
            self._now += 1
            self.under_way = max(self.under_way, self._now)
        assert self.gate.wait(60)
        with self._counting:
            self._now -= 1
            if self.answers:
                return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        spec = asked["spec"]
        about = spec["resourceAttributes"]
        whoever = {spec["user"], *spec["groups"]}
        # As an API server does: a right everywhere is one in each namespace, too.
        allowed = any(
            who in whoever and resource == about["resource"] and namespace in ("", about["namespace"])
            for who, resource, namespace in self.allowed
        )
        return 201, json.dumps({**asked, "status": {"allowed": allowed and about["verb"] == "list"}}).encode()


@contextmanager
def reviewing(folder: Path) -> Iterator[tuple[Reviews, ApiServer]]:
    """An API server, and how it is reached, with the aggregator's own token in *folder*."""
    reviews = Reviews()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, text = reviews.answer({**body, "path": self.path, "by": self.headers["Authorization"]})
            self.send_response(status)
            if reviews.location:
                self.send_header("Location", reviews.location)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = threading.Thread(target=server.serve_forever, args=(0.02,))
    running.start()
    token = folder / "own-token"
    token.write_text("own\n")
    try:
        yield reviews, ApiServer(f"http://127.0.0.1:{server.server_port}", folder / "ca.crt", token)
    finally:
        reviews.gate.set()
        server.shutdown()
        running.join()
        server.server_close()
