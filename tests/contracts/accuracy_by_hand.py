"""A run of the proof `accuracy` as it would be if everybody were right, for its tests to break: 20 s of four GPUs."""

from __future__ import annotations

from typing import Any

from accuracy.stage import Recording

NS = 10**9
START = 1_800_000_000 * NS
"""Of what is compared; the scenario began earlier and goes on."""

_AROUND_S = 5
LENGTH_S, WINDOW_S = 20, 10
WHOLE, SHARED, PARTED, UNSEEN = (f"GPU-00000000-0000-4000-8000-00000000000{digit}" for digit in "abcd")
MIG = {"gi": 1, "ci": 0, "profile": "7g.80gb", "placement": 0}

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
          - {{model: NVIDIA A100-SXM4-80GB, uuid: {PARTED}, mig: [{{instances: [{{gi: 1, profile: 7g.80gb}}]}}]}}
          - model: NVIDIA A100-SXM4-80GB
            uuid: {UNSEEN}
            replicas: 2
            unsupported: [nvmlDeviceGetProcessUtilization]
        pods:
          - {{name: alone, namespace: n, containers: [{{name: c, gpus: [0], processes: [
              {{gpu: 0, busy: {{pattern: constant, share: 0.5}}}}]}}]}}
          - {{name: big, namespace: n, containers: [{{name: c, gpus: [1], processes: [
              {{gpu: 1, busy: {{pattern: constant, share: 0.6}}}}]}}]}}
          - {{name: small, namespace: n, containers: [{{name: c, gpus: [1], processes: [
              {{gpu: 1, busy: {{pattern: constant, share: 0.1}}}}]}}]}}
          - {{name: part, namespace: n, containers: [{{name: c, gpus: [{{gpu: 2, gi: 1}}], processes: [
              {{gpu: 2, gi: 1, busy: {{pattern: constant, share: 0.3}}}}]}}]}}
          - {{name: left, namespace: n, containers: [{{name: c, gpus: [3], processes: [
              {{gpu: 3, busy: {{pattern: constant, share: 0.2}}}}]}}]}}
          - {{name: right, namespace: n, containers: [{{name: c, gpus: [3], processes: [
              {{gpu: 3, busy: {{pattern: constant, share: 0.2}}}}]}}]}}
"""

# GPU, pod, PID, milliseconds busy in each second, of how many replicas it holds one, its instance.
HOLDERS: tuple[tuple[str, str, int, int, int, dict[str, Any]], ...] = (
    (WHOLE, "alone", 100, 500, 1, {}),
    (SHARED, "big", 101, 600, 2, {}),
    (SHARED, "small", 102, 100, 2, {}),
    (PARTED, "part", 103, 300, 1, MIG),
    (UNSEEN, "left", 104, 200, 2, {}),
    (UNSEEN, "right", 105, 200, 2, {}),
)

# Of ten seconds: reserved, used, idle, unmeasured in milliseconds; method and samples.
PAID: dict[str, tuple[int, int, int, int, str | None, int]] = {
    "alone": (10_000, 5_000, 5_000, 0, "gpm", 10),
    "big": (5_000, 6_000, 0, 0, "ring_process", 60),
    "small": (5_000, 1_000, 3_000, 0, "ring_process", 60),
    "part": (10_000, 0, 0, 10_000, None, 0),
    "left": (5_000, 2_000, 3_000, 0, "memory", 0),
    "right": (5_000, 2_000, 3_000, 0, "memory", 0),
}


def truth() -> list[dict[str, Any]]:
    """The simulator's record."""
    boards = [{"gpu_uuid": uuid, "model": "", "replicas": 1} for uuid in (WHOLE, SHARED, PARTED, UNSEEN)]
    node = {"cluster": "one", "node": "node", "booted_ns": START, "gpus": boards}
    lines: list[dict[str, Any]] = [
        {
            "kind": "run",
            "scenario": "by-hand",
            "seed": 1,
            "start_ns": START - _AROUND_S * NS,
            "window_seconds": 1,
            "nodes": [node],
        }
    ]
    for second in range(-_AROUND_S, LENGTH_S + _AROUND_S):
        begin = START + second * NS
        for uuid, pod, pid, busy_ms, of, instance in HOLDERS:
            at = {"gpu_uuid": uuid, **instance, "begin_ns": begin, "end_ns": begin + NS}
            who = {"namespace": "n", "pod": pod, "pod_uid": f"uid-{pod}", "container": "c"}
            busy = busy_ms * 10**6
            held = {"replicas": [0], "of_replicas": of, "since_ns": begin, "until_ns": begin + NS}
            lines.append({"kind": "process", **at, **who, "pid": pid, "host": False, "busy_ns": busy})
            lines.append({"kind": "hold", **at, **who, **held})
    return [*lines, {"kind": "end", "end_ns": START + LENGTH_S * NS}]


def row(uuid: str, pod: str, start_ns: int, instance: dict[str, Any] | None = None) -> dict[str, Any]:
    """A slice as the aggregator answers it."""
    reserved, used, idle, unmeasured, method, samples = PAID[pod]
    place = dict.fromkeys(MIG) | {key: str(value) for key, value in (instance or {}).items()}
    return {
        "gpu_uuid": uuid,
        **place,
        "holder_kind": "container",
        "reason": None,
        "namespace": "n",
        "pod": pod,
        "pod_uid": f"uid-{pod}",
        "container": "c",
        "window_start_ns": str(start_ns),
        "reserved_ns": str(reserved * 10**6),
        "used_ns": str(used * 10**6),
        "idle_ns": str(idle * 10**6),
        "unmeasured_ns": str(unmeasured * 10**6),
        "method": method,
        "samples": str(samples),
        "flags": [],
    }


def recording() -> Recording:
    """Everything, right to the nanosecond."""
    starts = range(START, START + LENGTH_S * NS, WINDOW_S * NS)
    slices = [row(uuid, pod, start, place) for start in starts for uuid, pod, _, _, _, place in HOLDERS]
    scrapes = [
        {"at_ns": START + 5 * NS, "gpu_uuid": SHARED, "gauge": 70, "processes": [[101, 60], [102, 10]]},
        {"at_ns": START + 5 * NS, "gpu_uuid": UNSEEN, "gauge": 40, "processes": None},
    ]
    return Recording(
        START,
        START,
        START + LENGTH_S * NS,
        WINDOW_S * NS,
        tuple(truth()),
        tuple(slices),
        tuple(scrapes),
        1.0,
        (),
        (),
    )
