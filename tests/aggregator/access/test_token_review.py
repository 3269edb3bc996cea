"""TokenReview: what is asked of the API server, what its answer allows, and what happens without one."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from gpucost.trouble import Retry

from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.token_review import reviewed_caller
from gpucost_aggregator.access.writers_file import Accounts

ACCOUNTS = Accounts("home", frozenset({"gpucost:agent"}))
SUBJECT = "system:serviceaccount:gpucost:agent"


class Api(ThreadingHTTPServer):
    """An API server that says of every token what a test has told it."""

    status: dict[str, Any]
    asked: list[dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the library's name
        api = self.server
        assert isinstance(api, Api)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        api.asked.append({**body, "path": self.path, "by": self.headers["Authorization"]})
        text = json.dumps({"status": api.status}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api(("127.0.0.1", 0), Handler)
    server.asked, server.status = [], good()
    running = threading.Thread(target=server.serve_forever)
    running.start()
    yield server
    server.shutdown()
    running.join()
    server.server_close()


@pytest.fixture
def at(api: Api, tmp_path: Path) -> ApiServer:
    file = tmp_path / "own-token"
    file.write_text("own\n")
    return ApiServer(f"http://127.0.0.1:{api.server_port}", tmp_path / "ca.crt", file)


def good(**changes: Any) -> dict[str, Any]:
    node = {"authentication.kubernetes.io/node-name": ["n1"]}
    user = {"username": SUBJECT, "extra": node}
    return {"authenticated": True, "audiences": ["gpucost"], "user": user, **changes}


def a_token(subject: str = SUBJECT) -> str:
    body = {"iss": "anybody", "sub": subject, "exp": 2_000_000_000}
    return jwt.encode(body, "k" * 32, "HS256")


def test_the_api_server_is_asked_for_our_audience(api: Api, at: ApiServer) -> None:
    token = a_token()
    found = reviewed_caller(token, ACCOUNTS, at)
    assert (found.clusters, found.node, found.may_watch) == ({"home"}, "n1", False)
    assert found.until_ns == 2_000_000_000 * 10**9
    (asked,) = api.asked
    assert asked["path"] == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert asked["by"] == "Bearer own"
    assert asked["spec"] == {"token": token, "audiences": ["gpucost"]}


@pytest.mark.parametrize(
    "status",
    [
        good(authenticated=False, error="expired"),
        good(audiences=["https://kubernetes.default.svc"]),
        good(audiences=[]),
        good(user={"username": "system:serviceaccount:default:agent"}),
        good(user={}),
        {},
    ],
)
def test_what_it_does_not_vouch_for_is_refused(api: Api, at: ApiServer, status: dict[str, Any]) -> None:
    api.status = status
    with pytest.raises(Refused):
        reviewed_caller(a_token(), ACCOUNTS, at)


def test_a_token_of_somebody_else_is_not_worth_a_question(api: Api, at: ApiServer) -> None:
    for token in (a_token("system:serviceaccount:default:agent"), "a.b.c", "opaque"):
        with pytest.raises(Refused):
            reviewed_caller(token, ACCOUNTS, at)
    assert api.asked == []


def test_an_api_server_that_does_not_answer_is_asked_again_later(at: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(Retry, match="system:auth-delegator"):
        reviewed_caller(a_token(), ACCOUNTS, ApiServer("http://127.0.0.1:1", at.ca, at.token))
    with pytest.raises(Retry):
        reviewed_caller(a_token(), ACCOUNTS, ApiServer(at.url, at.ca, tmp_path / "absent"))
