"""What really happened, exactly: JSON lines that only the simulator's user can read. Fields: README.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simnode.engines import timeline
from simnode.holdings import held_span
from simnode.lives import Process
from simnode.sampling import SampledGpu
from simnode.world import ComputeInstance, Container, Gpu, GpuInstance, Node, Pod, Scenario

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
        gpu = sampled.gpu
        place = {
            "cluster": node.cluster,
            "node": node.name,
            "gpu_uuid": gpu.uuid,
            "begin_ns": self._start + self._begin,
            "end_ns": self._start + until,
        }
        busy, ran = sampled.activity.close_window()
        lived = sum(_within(span, self._begin, until) for span in timeline(gpu).whole)
        yield {"kind": "gpu", **place, "busy_ns": busy if lived == until - self._begin else None}
        if gpu.layouts and lived:
            yield {"kind": "device", **place, "busy_ns": busy, "lived_ns": lived}
        yield from (
            {"kind": "process", **place, **_process(gpu, process), "busy_ns": ns} for process, ns in ran
        )
        for engine, activity in sampled.parts:
            busy, ran = activity.close_window()
            lived = _within((engine.begin_ns, engine.end_ns), self._begin, until)
            part = place | _instance(engine.instance, engine.part)
            if lived:
                yield {"kind": "device", **part, "busy_ns": busy, "lived_ns": lived}
            yield from (
                {"kind": "process", **part, **_process(gpu, process), "busy_ns": ns} for process, ns in ran
            )
        yield from (
            {"kind": "hold", **place, **line} for line in holds(node, gpu, self._start, (self._begin, until))
        )


def _within(span: tuple[int, int | None], begin: int, until: int) -> int:
    end = until if span[1] is None else min(span[1], until)
    return max(0, end - max(span[0], begin))


def _instance(instance: GpuInstance, part: ComputeInstance) -> Line:
    return {"gi": instance.gi, "ci": part.ci, "profile": instance.profile, "placement": instance.start}


def _process(gpu: Gpu, process: Process) -> Line:
    line: Line = {"pid": process.pid, "host": process.pod is None}
    if process.pod and process.container:
        line |= _container(process.pod, process.container)
    if gpu.sharing == "mps":
        line["threads"] = process.spec.threads
    return line


def _container(pod: Pod, container: Container) -> Line:
    return {"namespace": pod.namespace, "pod": pod.name, "pod_uid": pod.uid, "container": container.name}


def holds(node: Node, gpu: Gpu, start_unix_ns: int, window: tuple[int, int]) -> Iterator[Line]:
    """For each container that holds some of the GPU in the window: how long, and which replicas."""
    begin, until = window
    for pod in node.pods:
        for container in pod.containers:
            for hold in container.holds:
                if hold.gpu != gpu.index:
                    continue
                since, last = held_span(node, pod, container, hold)
                held = _within((since, last), begin, until)
                if held <= 0:
                    continue
                found = gpu.instance(hold)
                since = max(since, begin)
                yield {
                    **_container(pod, container),
                    **(_instance(*found) if found else {}),
                    "replicas": list(hold.replicas),
                    "of_replicas": gpu.replicas_of(hold),
                    "held_ns": held,
                    "since_ns": start_unix_ns + since,
                    "until_ns": start_unix_ns + since + held,
                    **({"share": hold.share} if hold.share != 1 else {}),
                    **({"hidden": True} if hold.hidden else {}),
                    **({"claim": hold.claim} if hold.claim else {}),
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
