"""The truth of GPUs that are partitioned or shared otherwise, line by line."""

import json
import os

import pytest

from simnode.scenario import load
from simnode.simulate import Simulation
from simnode.truth import Truth

SECOND = 10**9
START = 1_790_000_000 * SECOND

SCENARIO = """\
name: t
window_seconds: 10
clusters:
  - name: c
    nodes:
      - name: n
        gpus:
          - model: NVIDIA H100 80GB HBM3
            mig:
              - at: 4s
                instances:
                  - gi: 1
                    profile: 3g.40gb
                    start: 4
                    compute_instances: [{slices: 1, replicas: 2}, {slices: 2}]
              - {at: 14s, instances: [{gi: 1, profile: 2g.20gb}]}
              - {at: 18s, off: true}
          - {model: NVIDIA L4, sharing: mps}
          - {model: NVIDIA L4}
        pods:
          - name: p
            namespace: a
            start: 5s
            finished: 8s
            containers:
              - {name: i, kind: init, end: 2s, gpus: [{gpu: 1, share: 0.5, hidden: true}]}
              - name: x
                gpus: [{gpu: 1, share: 0.5, hidden: true}, {gpu: 0, gi: 1, ci: 0}]
                processes: [{gpu: 0, gi: 1, pid: 50, busy: {pattern: constant, share: 0.5}}]
        host_processes:
          - {gpu: 0, pid: 51, busy: {pattern: constant, share: 1}}
          - {gpu: 0, pid: 52, start: 19s, busy: {pattern: constant, share: 1}}
          - {gpu: 0, gi: 1, ci: 1, pid: 53, start: 4s, busy: {pattern: constant, share: 0.1}}
          - {gpu: 1, pid: 60, busy: {pattern: constant, share: 0.4}}
          - {gpu: 1, pid: 61, threads: 0.3, busy: {pattern: constant, share: 0.6}}
"""


@pytest.fixture
def lines(tmp_path) -> list[dict]:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    scenario = load(tmp_path / "s.yaml")
    file = os.open(tmp_path / "truth.jsonl", os.O_WRONLY | os.O_CREAT)
    Simulation(scenario, START, Truth(scenario, START, file)).finish(30 * SECOND)
    os.close(file)
    found = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    uuids = [gpu["gpu_uuid"] for gpu in found[0]["nodes"][0]["gpus"]]
    return [line | {"gpu": uuids.index(line["gpu_uuid"])} for line in found if "gpu_uuid" in line]


def of(lines: list[dict], kind: str, gpu: int, *fields: str) -> list[tuple]:
    """Of each line the window's begin in seconds, and fields; nanoseconds in tenths of a second."""
    rows = []
    for line in lines:
        if (line["kind"], line["gpu"]) == (kind, gpu):
            values = [line.get(name) for name in fields]
            short = [
                v // 10**8 if name.endswith("_ns") and v is not None else v
                for name, v in zip(fields, values, strict=True)
            ]
            rows.append(((line["begin_ns"] - START) // SECOND, *short))
    return rows


def test_each_engine_of_a_window_has_a_line(lines):
    assert of(lines, "gpu", 0, "busy_ns") == [(0, None), (10, None), (20, 100)]
    fields = ("gi", "ci", "profile", "placement", "busy_ns", "lived_ns")
    assert of(lines, "device", 0, *fields) == [
        (0, None, None, None, None, 40, 40),
        (0, 1, 0, "3g.40gb", 4, 15, 60),
        (0, 1, 1, "3g.40gb", 4, 6, 60),
        (10, None, None, None, None, 10, 20),
        (10, 1, 0, "3g.40gb", 4, 15, 40),
        (10, 1, 1, "3g.40gb", 4, 4, 40),
        (10, 1, 0, "2g.20gb", 0, 0, 40),
        (20, None, None, None, None, 100, 100),
    ]
    assert of(lines, "process", 0, "pid", "gi", "ci", "busy_ns", "host") == [
        (0, 51, None, None, 40, True),
        (0, 50, 1, 0, 15, False),
        (0, 53, 1, 1, 6, True),
        (10, 52, None, None, 10, True),
        (10, 50, 1, 0, 15, False),
        (10, 53, 1, 1, 4, True),
        (20, 52, None, None, 100, True),
    ]
    assert of(lines, "device", 2) == []


def test_a_hold_says_what_and_from_when_to_when(lines):
    ours = ("container", "gi", "ci", "profile", "placement", "replicas", "of_replicas", "held_ns")
    (_, *first), (_, *second) = of(lines, "hold", 0, *ours)
    assert first[:5] == second[:5] == ["x", 1, 0, "3g.40gb", 4]
    assert (first[6:], second[6:]) == ([2, 50], [2, 30])
    assert first[5] == second[5]
    assert [row[1:] for row in of(lines, "hold", 1, "container", "share", "hidden", "of_replicas")] == [
        ("i", 0.5, True, 1),
        ("x", 0.5, True, 1),
        ("x", 0.5, True, 1),
    ]
    spans = [
        (line["since_ns"] - START, line["until_ns"] - START, line["held_ns"])
        for line in lines
        if line["kind"] == "hold" and line["gpu"] == 1
    ]
    assert [tuple(ns // SECOND for ns in span) for span in spans] == [(5, 7, 2), (7, 10, 3), (10, 13, 3)]


def test_processes_of_mps_overlap(lines):
    assert of(lines, "gpu", 1, "busy_ns") == [(0, 60), (10, 60), (20, 60)]
    assert of(lines, "process", 1, "pid", "busy_ns", "threads")[:2] == [(0, 60, 40, 1.0), (0, 61, 60, 0.3)]
    assert all("threads" not in line for line in lines if line["gpu"] != 1)
    assert of(lines, "gpu", 2, "busy_ns", "lived_ns") == [(0, 0, None), (10, 0, None), (20, 0, None)]
