"""What really happened, exactly: JSON lines that only the simulator's user can read. Fields: README.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simnode.activity import Runner
from simnode.sampling import SampledGpu
from simnode.world import Gpu, Node, Scenario

Line = dict[str, Any]


class Truth:
    """Gathers a window of every GPU, and appends it when it is complete."""

    def __init__(self, scenario: Scenario, start_unix_ns: int, file: int | None) -> None:
        self._scenario = scenario
        self._start = start_unix_ns
        self._file = file
        self._window_ns = scenario.window_seconds * 10**9
        self._begin = 0
        self._append([self._run_line()])

    def next_end(self) -> int:
        """Where the current window ends, from the simulation's start; windows are aligned to UTC."""
        return self._begin + self._window_ns - (self._start + self._begin) % self._window_ns

    def close(self, until: int, gpus: list[tuple[Node, list[SampledGpu]]]) -> None:
        """Ends the current window at `until`, which all GPUs have reached."""
        lines: list[Line] = []
        for node, sampled_gpus in gpus:
            for sampled in sampled_gpus:
                lines += self._gpu_lines(node, sampled, until)
        if until > self._begin:
            self._append(lines)
        self._begin = until

    def end(self, until: int) -> None:
        """Says that nothing more comes."""
        self._append([{"kind": "end", "end_ns": self._start + until}])
        if self._file is not None:
            os.fsync(self._file)

    def _append(self, lines: list[Line]) -> None:
        if self._file is None or not lines:
            return
        left = memoryview("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
        while left:
            left = left[os.write(self._file, left) :]

    def _run_line(self) -> Line:
        return {
            "kind": "run",
            "scenario": self._scenario.name,
            "seed": self._scenario.seed,
            "start_ns": self._start,
            "window_seconds": self._scenario.window_seconds,
            "nodes": [
                {
                    "cluster": node.cluster,
                    "node": node.name,
                    "booted_ns": self._start + node.booted_ns,
                    "gpus": [
                        {"gpu_uuid": g.uuid, "model": g.model, "replicas": g.replicas} for g in node.gpus
                    ],
                }
                for cluster in self._scenario.clusters
                for node in cluster.nodes
            ],
        }

    def _gpu_lines(self, node: Node, sampled: SampledGpu, until: int) -> Iterator[Line]:
        ran = sampled.activity.ran_in_window
        place = {
            "cluster": node.cluster,
            "node": node.name,
            "gpu_uuid": sampled.gpu.uuid,
            "begin_ns": self._start + self._begin,
            "end_ns": self._start + until,
        }
        yield {"kind": "gpu", **place, "busy_ns": sum(runner.in_window_ns for runner in ran)}
        for runner in sorted(ran, key=lambda runner: runner.process.pid):
            yield {"kind": "process", **place, **_whose(runner), "busy_ns": runner.in_window_ns}
            runner.in_window_ns = 0
        ran.clear()
        yield from (
            {"kind": "hold", **place, **line} for line in holds(node, sampled.gpu, self._begin, until)
        )


def _whose(runner: Runner) -> Line:
    process = runner.process
    line: Line = {"pid": process.pid, "host": process.pod is None}
    if process.pod and process.container:
        line |= {
            "namespace": process.pod.namespace,
            "pod": process.pod.name,
            "pod_uid": process.pod.uid,
            "container": process.container.name,
        }
    return line


def holds(node: Node, gpu: Gpu, begin: int, until: int) -> Iterator[Line]:
    """For each container that holds some of the GPU in [begin, until): how long, and which replicas."""
    for pod in node.pods:
        held = min(until, until if pod.end_ns is None else pod.end_ns) - max(begin, pod.start_ns)
        if held <= 0:
            continue
        for container in pod.containers:
            for hold in container.holds:
                if hold.gpu == gpu.index:
                    yield {
                        "namespace": pod.namespace,
                        "pod": pod.name,
                        "pod_uid": pod.uid,
                        "container": container.name,
                        "replicas": list(hold.replicas),
                        "of_replicas": gpu.replicas,
                        "held_ns": held,
                    }


def open_private(path: Path, uid: int, gid: int) -> int:
    """A new file that only its owner can read. What stood there is unlinked, so that no open reader stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    file = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    os.fchmod(file, 0o600)
    if os.geteuid() == 0:
        os.fchown(file, uid, gid)
    return file
