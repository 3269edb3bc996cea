"""A simulated API server with Lease objects, over real HTTP, and what goes wrong with one."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gpucost_aggregator.access.api_server import ApiServer

FOLDER = "/apis/coordination.k8s.io/v1/namespaces/gpucost/leases"
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
OWN_TOKEN = "own-"


class LeaseApi(ThreadingHTTPServer):
    """
    Leases of the namespace ``gpucost``, kept as an API server keeps them: whoever writes an old version gets 409.

    *status*: answers all with it; *cut_off* are the tokens of those who get 503. *mute*: does what is written, and
    hangs up without an answer. *meanwhile* is called once, before the next write.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.leases: dict[str, dict[str, Any]] = {}
        self.status = 0
        self.cut_off: set[str] = set()
        self.mute = False
        self.meanwhile: list[Callable[[], None]] = []
        self.asked: list[str] = []
        self._version = 100
        self.one_at_a_time = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """Whoever hung up is no news."""

    def spec(self, name: str = "aggregator") -> dict[str, Any]:
        spec: dict[str, Any] = self.leases[name]["spec"]
        return spec

    def put(self, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """By hand, or as a handler."""
        self._version += 1
        known = self.leases.get(name, {}).get("metadata", {"name": name, "namespace": "gpucost"})
        metadata = {**known, **metadata, "resourceVersion": str(self._version)}
        self.leases[name] = {"kind": "Lease", "metadata": metadata, "spec": spec}
        return self.leases[name]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """What Kubernetes answers."""
        if self.status:
            return self.status, {"kind": "Status", "code": self.status}
        if method != "GET":
            while self.meanwhile:
                # Somebody else asks, before this one is looked at.
                self.one_at_a_time.release()
                self.meanwhile.pop()()
                self.one_at_a_time.acquire()
            if not _is_valid(body):
                return 422, {"reason": "Invalid"}
        if method == "POST" and path == FOLDER:
            if body["metadata"]["name"] in self.leases:
                return 409, {"reason": "AlreadyExists"}
            return 201, self.put(body["metadata"]["name"], body["spec"])
        name = path.removeprefix(f"{FOLDER}/")
        found = self.leases.get(name)
        if found is None:
            return 404, {"reason": "NotFound"}
        if method == "PUT":
            if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                return 409, {"reason": "Conflict"}
            return 200, self.put(name, body["spec"], labels=body["metadata"].get("labels", {}))
        return 200, found


def _is_valid(body: dict[str, Any]) -> bool:
    """As an API server looks at it."""
    spec, kind = body["spec"], (body["apiVersion"], body["kind"])
    times = (spec["renewTime"], spec["acquireTime"])
    return (
        kind == ("coordination.k8s.io/v1", "Lease")
        and spec["leaseDurationSeconds"] > 0
        and spec["leaseTransitions"] >= 0
        and all(_MICRO_TIME.fullmatch(time) for time in times)
    )


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the library's name
        self._answer(None)

    def do_POST(self) -> None:  # the library's name
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_PUT(self) -> None:  # the library's name
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        api = self.server
        assert isinstance(api, LeaseApi)
        api.asked.append(f"{self.command} {self.path}")
        token = self.headers["Authorization"].removeprefix("Bearer ")
        if not token.startswith(OWN_TOKEN) or token in api.cut_off:
            status, found = (503 if token in api.cut_off else 401), {}
        else:
            with api.one_at_a_time:
                status, found = api.answer(self.command, self.path, body)
        if api.mute and body is not None:
            self.close_connection = True
            return
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def lease_api(folder: Path) -> Iterator[tuple[LeaseApi, ApiServer]]:
    """The server, and how a program in its cluster finds it."""
    api = LeaseApi()
    token = folder / "own-token"
    token.write_text(f"{OWN_TOKEN}0\n")
    running = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
    running.start()
    try:
        yield api, ApiServer(f"http://127.0.0.1:{api.server_port}", folder / "ca.crt", token)
    finally:
        api.shutdown()
        running.join()
        api.server_close()
