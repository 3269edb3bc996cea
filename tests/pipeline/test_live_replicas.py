"""Three aggregators as they are run, with two agents whose streams end at two of them: the third one is asked."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from contracts.agent_process import free_port
from contracts.node_stage import Stage, wait_for

WINDOW_S = 3_600
SCENARIO = f"""
name: two-nodes
window_seconds: {WINDOW_S}
clusters:
  - name: c
    nodes:
      - name: one
        gpus: [{{model: NVIDIA L4}}]
        pods: [{{name: a, namespace: research, containers: [{{name: main, gpus: [0]}}]}}]
      - name: two
        gpus: [{{model: NVIDIA L4}}]
        pods: [{{name: b, namespace: chat, containers: [{{name: main, gpus: [0]}}]}}]
"""
ASKED, FIRST, SECOND = "asked", "one", "two"
GLIMPSES = "/api/v1/live/glimpses"


class Aggregator:
    """One of them, which may be killed and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.flags: tuple[str, ...] = ()
        self._data = folder / name
        self.log = folder / f"{name}.log"
        self.grpc, self.http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._program: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
        own = (f"--data-dir={self._data}", f"--grpc-listen={self.grpc}", f"--http-listen={self.http}")
        with self.log.open("ab") as log:
            self._program = subprocess.Popen(
                [sys.executable, "-m", "gpucost_aggregator", "run", *own, *self.flags],
                stdout=log,
                stderr=log,
                env=environ | {"PYTHONPATH": ":".join(sys.path)},
            )
        wait_for(lambda: self.get("/readyz", is_json=False))

    def stop(self, *, kill: bool = False) -> int:
        assert self._program is not None
        self._program.kill() if kill else self._program.terminate()
        return self._program.wait(60)

    def end(self) -> None:
        if self._program is not None and self._program.poll() is None:
            self._program.kill()
            self._program.wait()

    def get(self, path: str, *, is_json: bool = True) -> Any:
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=30) as answer:
                return json.load(answer) if is_json else answer.read().decode()
        except OSError:
            return None

    def live(self) -> Any:
        return self.get("/api/v1/live") or {"rows": [], "replicas": {}}

    def pods(self) -> list[str]:
        """Pods of which it tells now."""
        return sorted(row["pod"] for row in self.live()["rows"] if row["pod"])


@pytest.fixture
def all_of_them() -> Iterator[dict[str, Aggregator]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replicas-", dir="/tmp")))
        token = folder / "token"
        token.write_text("a-token-of-the-aggregators\n")
        found = {name: Aggregator(folder, name) for name in (ASKED, FIRST, SECOND)}
        # The same flags for all, as one Deployment gives them: each finds itself among the others.
        flags = (f"--peers={','.join(each.http for each in found.values())}", f"--peers-token-file={token}")
        for each in found.values():
            stack.callback(each.end)
            each.flags = flags
            each.start()
        yield found


def test_one_answers_for_all_and_names_whoever_is_away(all_of_them: dict[str, Aggregator]) -> None:
    asked, first, second = (all_of_them[name] for name in (ASKED, FIRST, SECOND))
    flags = {name: {"aggregator": all_of_them[name].grpc} for name in (FIRST, SECOND)}
    with Stage(SCENARIO, flags, window_s=WINDOW_S) as stage:
        stage.start_agents()
        for each in (asked, first, second):
            wait_for(lambda each=each: each.pods() == ["a", "b"])  # type: ignore[misc]
            assert each.live()["replicas"] == {"asked": 3, "answered": 3, "silent": []}
        # Its own board and store are empty: all of it was told by the others.
        assert asked.get("/api/v1/reports/namespaces")["rows"] == []
        assert "gpucost_live_nodes 0.0" in asked.get("/metrics", is_json=False)
        assert "gpucost_peers 2.0" in asked.get("/metrics", is_json=False)
        assert "gpucost_lease_held 1.0" in asked.get("/metrics", is_json=False)
        for path in (GLIMPSES, f"{GLIMPSES}?cluster=c"):
            with pytest.raises(HTTPError) as refused:
                urllib.request.urlopen(f"http://{asked.http}{path}", timeout=30)
            assert refused.value.code == 401
            refused.value.close()

        second.stop(kill=True)
        wait_for(lambda: asked.pods() == ["a"])
        assert asked.live()["replicas"] == {"asked": 3, "answered": 2, "silent": [second.http]}
        wait_for(lambda: "gpucost_peers_silent 1.0" in asked.get("/metrics", is_json=False))
        assert '"event": "peer_silent"' in asked.log.read_text()

        second.start()
        wait_for(lambda: asked.pods() == ["a", "b"])
        assert asked.live()["replicas"]["silent"] == []
        assert '"event": "peer_answers"' in asked.log.read_text()
        stage.stop_agents()
        wait_for(lambda: asked.pods() == [])
    for each in (asked, first, second):
        assert each.stop() == 0, each.log.read_text()
        assert "Traceback" not in each.log.read_text()
