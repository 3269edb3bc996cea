"""The kubelet's list of its pods, over real HTTP."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gpucost.trouble import Stop

from contracts.hand_clock import HandClock
from contracts.source_contract import check_cluster
from gpucost_agent.sources.pods.kubelet_pods import KubeletAccess, KubeletPods

PATIENCE_S = 30


def pod(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": name, "uid": f"uid-{name}", "labels": labels or {"app": "x"}},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "podIP": "10.1.2.3"},
    }


class Kubelet:
    def __init__(self) -> None:
        self.pods: list[Any] | None = [pod("p")]
        self.status = 200
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"kind": "PodList", "items": kubelet.pods}).encode()
                self.send_response(kubelet.status if self.path.partition("?")[0] == "/pods" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.source = KubeletPods(KubeletAccess(self.url, frozenset({"mine"}), period_s=0.02), HandClock())
        self._stop = threading.Event()
        self._following = threading.Thread(target=self.source.follow, args=[self._stop])
        self._following.start()

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, (self.source.latest(), self.source.trouble)
            time.sleep(0.01)

    def names(self) -> list[str]:
        latest = self.source.latest()
        return [each.name for each in latest.pods if each.deleted_at_ns is None] if latest else []

    def end(self) -> None:
        self._stop.set()
        self._following.join(PATIENCE_S)
        assert not self._following.is_alive()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    made = Kubelet()
    yield made
    made.end()


def test_pods_come_and_go(kubelet: Kubelet) -> None:
    kubelet.until(lambda: kubelet.names() == ["p"])
    kubelet.pods = [
        pod("q", {"app": "llama", "mine": "y", "secret": "z"}),
        pod("exporter", {"app": "nvidia-dcgm-exporter"}),
        7,
    ]
    kubelet.until(lambda: kubelet.names() == ["q", "exporter"])
    latest = kubelet.source.latest()
    assert latest is not None
    check_cluster(latest)
    assert (latest.pods[0].name, latest.pods[0].deleted_at_ns is None) == ("p", False)
    assert latest.pods[1].labels == {"app": "llama", "mine": "y"}
    assert (latest.node, latest.cluster_uid) == (None, None)
    assert latest.dcgm_url == "http://10.1.2.3:9400/metrics"
    assert kubelet.source.malformed > 0
    kubelet.pods = None
    kubelet.until(lambda: kubelet.names() == [])


def test_a_kubelet_that_refuses_is_asked_again(kubelet: Kubelet) -> None:
    kubelet.until(lambda: kubelet.names() == ["p"])
    kubelet.status = 403
    kubelet.until(lambda: "403" in str(kubelet.source.trouble))
    assert kubelet.names() == ["p"]
    kubelet.status = 200
    kubelet.until(lambda: kubelet.source.trouble is None)


def test_what_is_no_address_stops() -> None:
    with pytest.raises(Stop, match="neither a URL"):
        KubeletPods(KubeletAccess("127.0.0.1:10250"), HandClock())
