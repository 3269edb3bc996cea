"""A run of the proof `chaos` as it would be if everybody were right, for its tests to break: a minute of two GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accuracy import plan, truth
from accuracy.truth import Device, Who
from chaos.answers import Answers, Row
from chaos.books import ClusterTruth, Comparison, Verdict
from chaos.labels import windows
from chaos.log_book import LogBook
from demo.audit.formula import apportion, window_cost

NS = 10**9
START = 1_800_000_000 * NS
LENGTH_S, WINDOW_S = 60, 10
PRICE = 3_217_654_321
WHOLE, SHARED = (f"GPU-00000000-0000-4000-8000-00000000000{digit}" for digit in "ab")
CHANGE_S = 24
"""The whole GPU's first holder goes, and nobody follows."""

SCENARIO = f"""
name: by-hand
window_seconds: 1
clusters:
  - name: one
    nodes:
      - name: node
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {WHOLE}}}
          - {{model: NVIDIA A100-SXM4-80GB, uuid: {SHARED}, replicas: 2}}
        pods:
          - {{name: alone, namespace: n, end: {CHANGE_S}s, containers: [{{name: c, gpus: [0]}}]}}
          - {{name: half, namespace: n, containers: [{{name: c, gpus: [1]}}]}}
"""


def who(pod: str) -> Who:
    return Who("container", "n", pod, f"uid-{pod}", "c")


def record() -> list[dict[str, Any]]:
    """The simulator's record."""
    boards = [{"gpu_uuid": uuid, "model": "", "replicas": 1} for uuid in (WHOLE, SHARED)]
    node = {"cluster": "one", "node": "node", "booted_ns": START, "gpus": boards}
    run = {
        "kind": "run",
        "scenario": "by-hand",
        "seed": 1,
        "start_ns": START,
        "window_seconds": 1,
        "nodes": [node],
    }
    lines: list[dict[str, Any]] = [run]
    for second in range(LENGTH_S):
        begin = START + second * NS
        for uuid, pod, of in ((WHOLE, "alone", 1), (SHARED, "half", 2)):
            at = {"gpu_uuid": uuid, "begin_ns": begin, "end_ns": begin + NS}
            if pod != "alone" or second < CHANGE_S:
                whose = {"namespace": "n", "pod": pod, "pod_uid": f"uid-{pod}", "container": "c"}
                held = {"replicas": [0], "of_replicas": of, "since_ns": begin, "until_ns": begin + NS}
                lines.append({"kind": "hold", **at, **whose, **held})
            lines.append({"kind": "gpu", **at, "busy_ns": 0})
    return lines


def rows(uuid: str, start_ns: int, shares: dict[Who, int], flags: Sequence[str] = ()) -> list[Row]:
    """What a window's holders pay, by their time."""
    length = sum(shares.values())
    costs = apportion(window_cost(PRICE, start_ns, start_ns + length), list(shares.values()))
    return [
        Row("one", "node", Device(uuid), holder, start_ns, ns, cost, frozenset(flags))
        for (holder, ns), cost in zip(shares.items(), costs, strict=True)
    ]


def books() -> list[Row]:
    """Right to the nanosecond."""
    free, found = Who("unallocated"), list[Row]()
    for start in range(START, START + LENGTH_S * NS, WINDOW_S * NS):
        held = max(0, min(WINDOW_S * NS, START + CHANGE_S * NS - start))
        of_whole = {who("alone"): held, free: WINDOW_S * NS - held}
        found += rows(WHOLE, start, {holder: ns for holder, ns in of_whole.items() if ns})
        found += rows(SHARED, start, {who("half"): 5 * NS, free: 5 * NS})
    return found


def verdict(
    found: Sequence[Row],
    book: LogBook | None = None,
    aside: Sequence[Row] = (),
    steps: Sequence[tuple[int, int]] = (),
) -> Verdict:
    """What the check says of rows."""
    known = truth.read(record())
    labelled = windows(steps, START, START + LENGTH_S * NS, WINDOW_S * NS)
    cluster = ClusterTruth("one", known, plan.read(SCENARIO, known.run), labelled, PRICE)
    answers = Answers(tuple(found), tuple(aside))
    return Comparison([cluster], answers, book or LogBook(), WINDOW_S * NS).verdict()
