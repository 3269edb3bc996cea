"""
The node that the agent is measured on, by a seed: 8 GPUs, whole, time-sliced and partitioned, with every source on.

32 entries of processes come and go on them, and there are 200 pods on the node's list, of which some end and begin.
"""

from __future__ import annotations

from random import Random
from typing import Any

import yaml

GPUS, PROCESSES, PODS = 8, 32, 200
CLUSTER, NODE = "footprint", "node-0"
_MODEL = "NVIDIA H100 80GB HBM3"
_WHOLE, _CLAIMED = (0, 1), 2
_SHARED = (3, 4, 5)
_SLICED = {
    6: [(1, "3g.40gb", 4), (2, "2g.20gb", 0), (3, "1g.10gb", 2), (4, "1g.10gb", 3)],
    7: [(1 + place, "1g.10gb", place) for place in range(7)],
}
"""By GPU: number, profile and first memory slice of its instances."""
_REPLICAS = _ENGINES = _WORKERS = 4
_JOBS = 10
_JOB_S = 300

Entry = dict[str, Any]


def scenario(seed: int, seconds: int) -> str:
    """The YAML of a run that may last for *seconds*."""
    random = Random(seed)
    pods = [*_whole(random), _claimer(random), *_shared(random), *_engines(random)]
    jobs = _jobs(random, seconds)
    pods += [_plain(random, number) for number in range(PODS - len(pods) - _JOBS)]
    node = {
        "name": NODE,
        "booted": "-30m",
        "instance_type": "p5.48xlarge",
        "region": "us-east-1",
        "gpus": [_gpu(place) for place in range(GPUS)],
        "claims": [{"name": "one-gpu", "namespace": "research", "devices": [{"gpu": _CLAIMED}]}],
        "dcgm": {"pod": True},
        "pods": [*pods, *jobs],
    }
    document = {
        "name": "footprint",
        "window_seconds": 1,  # of the record of what really happened; the agent has its own
        "seed": seed,
        "clusters": [{"name": CLUSTER, "nodes": [node]}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _gpu(place: int) -> Entry:
    gpu: Entry = {"model": _MODEL}
    if place in _SHARED:
        gpu["replicas"] = _REPLICAS
        gpu["accounting"] = place == _SHARED[0]
    if place in _SLICED:
        instances = [{"gi": gi, "profile": profile, "start": start} for gi, profile, start in _SLICED[place]]
        gpu["mig"] = [{"instances": instances}]
    return gpu


def _whole(random: Random) -> list[Entry]:
    return [
        _pod(random, f"trainer-{gpu}", [gpu], [_process(random, {"gpu": gpu}) for _ in range(_WORKERS)])
        for gpu in _WHOLE
    ]


def _claimer(random: Random) -> Entry:
    workers = [_process(random, {"gpu": _CLAIMED}) for _ in range(_WORKERS)]
    pod = _pod(random, "notebook-0", [], workers)
    pod["namespace"] = "research"
    pod["containers"][0]["claims"] = ["one-gpu"]
    return pod


def _shared(random: Random) -> list[Entry]:
    return [
        _pod(random, f"server-{gpu}-{number}", [{"gpu": gpu}], [_process(random, {"gpu": gpu})])
        for gpu in _SHARED
        for number in range(_REPLICAS)
    ]


def _engines(random: Random) -> list[Entry]:
    pods = []
    for gpu, instances in _SLICED.items():
        for gi, _, _ in instances[:_ENGINES]:
            place = {"gpu": gpu, "gi": gi}
            pods.append(_pod(random, f"engine-{gpu}-{gi}", [place], [_process(random, place)]))
    return pods


def _process(random: Random, place: Entry) -> Entry:
    every = random.randint(20, 60)
    return {
        **place,
        "start": f"{random.randint(100, 10_000)}ms",
        "every": f"{every}s",
        "for": f"{random.randint(every // 2, every - 1)}s",
        "memory_mib": random.randint(500, 2_000),
        "sm": round(random.uniform(0.3, 0.9), 2),
        "tensor": round(random.uniform(0.0, 0.5), 2),
        "busy": random.choice(
            [
                {"pattern": "constant", "share": round(random.uniform(0.05, 0.3), 2)},
                {"pattern": "duty", "on_ms": random.randint(20, 90), "period_ms": random.randint(200, 400)},
                {"pattern": "bursts", "on_ms": random.randint(20, 90), "every_ms": random.randint(200, 400)},
            ]
        ),
    }


def _pod(random: Random, name: str, gpus: list[Any], processes: list[Entry]) -> Entry:
    return {
        "name": name,
        "namespace": random.choice(["chat", "search", "training"]),
        "labels": {"app.kubernetes.io/name": name.partition("-")[0], "team": random.choice(["red", "blue"])},
        "owner": {"kind": "StatefulSet", "name": name.rpartition("-")[0]},
        "containers": [{"name": "main", "gpus": gpus, "processes": processes}],
    }


def _plain(random: Random, number: int) -> Entry:
    containers = ["main", "proxy", "log-shipper"][: random.randint(1, 3)]
    return {
        "name": f"web-{number:03d}-7c9f5d6b8-{random.randrange(16**5):05x}",
        "namespace": f"apps-{number % 10}",
        "labels": {"app.kubernetes.io/name": f"web-{number:03d}", "app.kubernetes.io/part-of": "shop"},
        "annotations": {
            "prometheus.io/scrape": "true",
            "checksum/config": f"{random.randrange(16**64):064x}",
        },
        "owner": {"kind": "Deployment", "name": f"web-{number:03d}"},
        "containers": [{"name": container, "gpus": []} for container in containers],
    }


def _jobs(random: Random, seconds: int) -> list[Entry]:
    """Pods without GPUs that end and are followed by another one each, for as long as the run may last."""
    found = []
    for slot in range(_JOBS):
        begin = random.randint(0, _JOB_S) - _JOB_S
        for turn in range(seconds // _JOB_S + 2):
            start, end = begin + turn * _JOB_S, begin + (turn + 1) * _JOB_S
            if end <= 0:
                continue
            found.append(
                {
                    "name": f"batch-{slot}-{turn}",
                    "namespace": "batch",
                    "owner": {"kind": "Job", "name": f"batch-{slot}-{turn}"},
                    "start": f"{max(0, start)}s",
                    "end": f"{end}s",
                    "containers": [{"name": "step", "gpus": []}],
                }
            )
    return found
