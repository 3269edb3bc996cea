"""The kubernetes package past its packages: what it costs, and that it is the same."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from gpucost_agent.sources.pods import kube_client
from gpucost_agent.sources.pods.kube_client import KubeClient, Library, Refused, lines, worded

LIGHT = """
import sys
from gpucost_agent.sources.pods.kube_client import KubeClient
KubeClient("http://127.0.0.1:1")
left = [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]
assert left == [], left
assert "pydantic" not in sys.modules
import kubernetes.client
kubernetes.client.CoreV1Api(kubernetes.client.ApiClient())
"""

ALONG = """
import sys
import kubernetes.client
from gpucost_agent.sources.pods.kube_client import load
assert load().configuration is kubernetes.client.Configuration
assert sys.modules["kubernetes"] is kubernetes
"""


@pytest.mark.parametrize("code", [LIGHT, ALONG], ids=["alone", "beside the whole package"])
def test_only_what_is_needed_is_imported_and_nobody_else_sees_it(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


class Server:
    """An API server that writes down what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: tuple[int, bytes] = (200, b'{"items": []}')
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Authorization", "")))
                status, body = server.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer((host, 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.port = self._http.server_port
        if context is not None:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def end(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


@pytest.fixture(params=["lightly", "all"])
def client(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubeClient]:
    def fails() -> Library:
        raise ImportError("laid out otherwise")

    if request.param == "all":
        monkeypatch.setattr(kube_client, "_load_lightly", fails)
    made = KubeClient(f"http://127.0.0.1:{server.port}/")
    yield made
    made.close()


def test_questions_are_put_and_answers_are_json(client: KubeClient, server: Server) -> None:
    assert client.json("/api/v1/pods", {"limit": 5, "fieldSelector": "spec.nodeName=a b"}) == {"items": []}
    assert client.json("/api/v1/namespaces/kube-system") == {"items": []}
    assert [path for path, _ in server.asked] == [
        "/api/v1/pods?limit=5&fieldSelector=spec.nodeName%3Da+b",
        "/api/v1/namespaces/kube-system?",
    ]


def test_a_refusal_says_why(client: KubeClient, server: Server) -> None:
    for body, says in (
        (b'{"message": "pods is forbidden"}', "403 pods is forbidden"),
        (b"no json", "403 Forbidden"),
        (b"[]", "403 Forbidden"),
    ):
        server.answer = (403, body)
        with pytest.raises(Refused, match=says) as caught:
            client.json("/api/v1/pods")
        assert caught.value.status == 403
    assert Refused in client.failures


def test_an_answer_line_by_line(client: KubeClient, server: Server) -> None:
    server.answer = (200, b'{"a":1}\n{"b":2}\n{"c"')
    with client.lines("/api/v1/pods", {"watch": "true"}, 5) as events:
        assert [json.loads(event) for event in events] == [{"a": 1}, {"b": 2}]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with a certificate, and an account of it in this pod."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("secret")
    server = Server(context)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    library = kube_client.load()
    monkeypatch.setattr(library.in_cluster, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(library.in_cluster, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(kube_client, "load", lambda: library)
    yield server
    server.end()


def test_in_a_cluster_the_service_account_is_the_way(cluster: Server, tmp_path: Path) -> None:
    client = KubeClient("in-cluster")
    assert client.json("/api/v1/pods") == {"items": []}
    (tmp_path / "token").write_text("renewed")
    expire(client)
    client.json("/api/v1/pods")
    client.close()
    assert tokens(cluster) == ["bearer secret", "bearer renewed"]


def test_a_kubelet_takes_the_same_account_and_keeps_its_own_address(
    cluster: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    client = KubeClient(f"https://127.0.0.1:{cluster.port}", of_kubelet=True)
    for token in ("secret", "renewed"):
        (tmp_path / "token").write_text(token)
        expire(client)
        assert client.json("/pods") == {"items": []}
    client.close()
    assert tokens(cluster) == ["bearer secret", "bearer renewed"]


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_a_kubelets_own_certificate_will_do_on_this_machines_own_address_only(
    host: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    kubelet = Server(context, host)
    client = KubeClient(f"https://{host}:{kubelet.port}", of_kubelet=True)
    try:
        if trusted:
            assert client.json("/pods") == {"items": []}
        else:
            with pytest.raises(client.failures) as caught:
                client.json("/pods")
            assert "issuer certificate" in worded(caught.value)
    finally:
        client.close()
        kubelet.end()
    assert bool(kubelet.asked) is trusted


def test_no_token_goes_over_plain_text(cluster: Server, server: Server) -> None:
    client = KubeClient(f"http://127.0.0.1:{server.port}", of_kubelet=True)
    client.json("/pods")
    client.close()
    assert tokens(server) == [""]


def tokens(server: Server) -> list[str]:
    return [told.lower() for _, told in server.asked]


def expire(client: KubeClient) -> None:
    """As if the minute were over after which a token is read again."""
    hook: Any = client._configuration.refresh_api_key_hook
    (loader,) = (
        cell.cell_contents for cell in hook.__closure__ if hasattr(cell.cell_contents, "token_expires_at")
    )
    loader.token_expires_at = loader.token_expires_at.replace(year=2000)


def test_lines_are_whole_wherever_the_stream_is_cut() -> None:
    chunks = [b"", b"a", b"b\nc\n\nd", b"\n", b"rest"]
    assert list(lines(iter(chunks))) == [b"ab", b"c", b"d"]
