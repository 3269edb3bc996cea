"""A list by pages and the watches after it, against a server that answers as it is told and keeps what was asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from gpucost.trouble import Retry

from gpucost_agent.sources.pods.kube_client import KubeClient
from gpucost_agent.sources.pods.kube_watch import Asked, KubeWatch


class Server(ThreadingHTTPServer):
    """*answers* go out one after the other: a dictionary as a page, a list as the events of a watch."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Any] = []
        self.asked: list[dict[str, str]] = []

    @property
    def watch(self) -> KubeWatch:
        client = KubeClient(f"http://127.0.0.1:{self.server_address[1]}")
        return KubeWatch(client, Asked("/api/v1/pods", {"fieldSelector": "x=y"}, 2, 60))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append({key: each[0] for key, each in parse_qs(urlsplit(self.path).query).items()})
        answer = self.server.answers.pop(0)
        lines = answer if isinstance(answer, list) else [answer]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing: what was asked is looked at."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def page(version: str, more: str, *names: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version, "continue": more}, "items": list(names)}


def event(kind: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"resourceVersion": version}}}


def test_each_watch_goes_on_behind_the_last_event_of_the_one_before(server: Server) -> None:
    watch = server.watch
    server.answers = [page("3", "on", "a", "b"), page("5", "", "c")]
    assert not watch.has_list
    assert list(watch.listed()) == ["a", "b", "c"]
    assert watch.has_list
    server.answers = [[event("ADDED", "7"), event("BOOKMARK", "9")], [event("DELETED", "11")], []]
    assert [[kind for kind, _ in watch.events()] for _ in range(3)] == [
        ["ADDED", "BOOKMARK"],
        ["DELETED"],
        [],
    ]
    assert [asked.get("continue") for asked in server.asked[:2]] == [None, "on"]
    assert [asked["limit"] for asked in server.asked[:2]] == ["2", "2"]
    assert [asked["resourceVersion"] for asked in server.asked[2:]] == ["5", "9", "11"]
    assert {asked["fieldSelector"] for asked in server.asked} == {"x=y"}


def test_an_event_that_its_taker_fails_at_comes_again(server: Server) -> None:
    watch = server.watch
    server.answers = [page("5", ""), [event("ADDED", "7"), event("ADDED", "8")], []]
    assert list(watch.listed()) == []
    events = watch.events()
    next(events)
    next(events)
    events.close()
    assert list(watch.events()) == []
    assert server.asked[-1]["resourceVersion"] == "7"


@pytest.mark.parametrize(("code", "has_list"), [(410, False), (500, True)])
def test_a_server_that_can_not_go_on_is_a_trouble(server: Server, code: int, has_list: bool) -> None:
    watch = server.watch
    gone = {"type": "ERROR", "object": {"code": code, "message": "too old"}}
    server.answers = [page("5", ""), [event("ADDED", "7"), gone]]
    assert list(watch.listed()) == []
    with pytest.raises(Retry, match="the API server ended the watch: too old"):
        list(watch.events())
    assert watch.has_list is has_list
