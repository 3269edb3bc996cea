"""From a scenario's entries to single processes, each with its own PID, start and end."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from simnode.world import Container, Node, Pod, ProcessSpec

FIRST_DRAWN_PID = 100_000
LAST_PID = 4_194_303
"""Drawn PIDs lie between these two; what else runs on a node takes its PIDs from below."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process on one GPU. pod and container are None for a process outside Kubernetes."""

    pid: int
    start_ns: int
    end_ns: int | None
    repeat: int
    spec: ProcessSpec
    pod: Pod | None
    container: Container | None

    @property
    def path(self) -> str:
        return f"{self.spec.path}/{self.repeat}"


def pid_of(node: Node, spec: ProcessSpec, repeat: int) -> int:
    """The PID of an entry's repeat-th process; unique on the node, since each entry has a lane of its own."""
    if spec.pid is not None:
        return spec.pid
    span = LAST_PID + 1 - FIRST_DRAWN_PID - len(node.pids_taken)
    pid = FIRST_DRAWN_PID + (node.pid_base + repeat * node.pid_stride + spec.slot) % span
    for taken in node.pids_taken:
        if taken >= FIRST_DRAWN_PID and pid >= taken:
            pid += 1
    return pid


def entries(node: Node) -> Iterator[tuple[ProcessSpec, Pod | None, Container | None]]:
    """All entries of a node, with whom they belong to."""
    for pod in node.pods:
        for container in pod.containers:
            for spec in container.processes:
                yield spec, pod, container
    for spec in node.host_processes:
        yield spec, None, None


def lives(
    node: Node, spec: ProcessSpec, pod: Pod | None, container: Container | None, first: int = 0
) -> Iterator[Process]:
    """The processes of one entry from repeat `first` on, by start; endless if it repeats without an end."""
    repeat = first
    while True:
        start, end = spec.start_ns, spec.end_ns
        if spec.every_ns is not None and spec.for_ns is not None:
            start += repeat * spec.every_ns
            if spec.end_ns is not None and start >= spec.end_ns:
                return
            end = start + spec.for_ns if spec.end_ns is None else min(start + spec.for_ns, spec.end_ns)
        yield Process(pid_of(node, spec, repeat), start, end, repeat, spec, pod, container)
        if spec.every_ns is None:
            return
        repeat += 1


def processes(node: Node, until_ns: int) -> Iterator[Process]:
    """All processes of a node that start before until_ns, by start."""
    lanes = [lives(node, spec, pod, container) for spec, pod, container in entries(node)]
    for process in heapq.merge(*lanes, key=lambda process: process.start_ns):
        if process.start_ns >= until_ns:
            return
        yield process


def living(node: Node, at_ns: int) -> list[Process]:
    """The processes that live at an instant (from their start on, no longer at their end)."""
    found = []
    for spec, pod, container in entries(node):
        if at_ns < spec.start_ns:
            continue
        first = 0 if spec.every_ns is None else (at_ns - spec.start_ns) // spec.every_ns
        process = next(lives(node, spec, pod, container, first), None)
        if process and process.start_ns <= at_ns and (process.end_ns is None or at_ns < process.end_ns):
            found.append(process)
    return found
