"""Draws what runs: two clusters with whole, shared and partitioned GPUs, pods that come and go, drivers that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import yaml

from accuracy.draws import Entry, Span, arrivals, pod, process, seconds
from demo.audit.scenario import NS, offset_ns

ALPHA, BETA = "alpha", "beta"
H100, A100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S"
_MODELS = (H100, A100, L40S)
_LONG_S = 200
_LIFE, _GAP = (14.0, 55.0), (1.0, 9.0)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a driver fails, by the scenario; *gpu* is None for all of the node."""

    cluster: str
    node: str
    gpu: int | None
    kind: str
    at_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario file's text for each cluster, and the price book's; failures' times count from the start."""

    clusters: Mapping[str, str]
    prices: str

    def failures(self) -> list[Failure]:
        """As the scenario says."""
        return [
            Failure(
                cluster,
                node["name"],
                entry.get("gpu"),
                entry["kind"],
                offset_ns(entry["at"]),
                offset_ns(entry["until"]) if "until" in entry else 10**9 * NS,
            )
            for cluster, text in self.clusters.items()
            for node in yaml.safe_load(text)["clusters"][0]["nodes"]
            for entry in node.get("failures") or ()
        ]


def draw(seed: int, length_s: int) -> Scene:
    """The scene of a run of *length_s*."""
    random = Random(f"{seed} scene")
    nodes = {
        ALPHA: [
            _node(random, "alpha-0", length_s, ("turns", "shared", "whole", "parts")),
            _node(random, "alpha-1", length_s, ("turns", "shared")),
        ],
        BETA: [
            _node(random, "beta-0", length_s, ("shared", "turns", "free")),
            _node(random, "beta-1", length_s, ("whole", "shared")),
        ],
    }
    _fail(random, nodes, length_s)
    return scene({name: {"name": name, "nodes": found} for name, found in nodes.items()}, seed)


def given(text: str, seed: int) -> Scene:
    """A scenario of somebody else's; its nodes boot when it begins, so that their lives are known to the nanosecond."""
    clusters = yaml.safe_load(text)["clusters"]
    for cluster in clusters:
        for node in cluster["nodes"]:
            node["booted"] = "0s"
    return scene({cluster["name"]: cluster for cluster in clusters}, seed)


def scene(clusters: Mapping[str, Entry], seed: int) -> Scene:
    """Of clusters as a scenario has them; the truth is told by the second."""
    random = Random(f"{seed} prices")
    texts = {
        name: yaml.safe_dump(
            {"name": f"chaos-{name}", "window_seconds": 1, "seed": seed, "clusters": [cluster]},
            sort_keys=False,
        )
        for name, cluster in clusters.items()
    }
    rules = [
        {
            "name": name,
            "date": "2026-07-01",
            "source": "drawn",
            "match": {"cluster": name},
            # To the nano-dollar, so that costs do not come out even.
            "gpu_usd_per_hour": f"{random.randrange(1, 9)}.{random.randrange(10**9):09d}",
        }
        for name in clusters
    ]
    return Scene(texts, yaml.safe_dump({"version": "chaos", "rules": rules}, sort_keys=False))


def _node(random: Random, name: str, length_s: int, kinds: tuple[str, ...]) -> Entry:
    gpus: list[Entry] = []
    pods: list[Entry] = []
    for place, kind in enumerate(kinds):
        called = f"{name}-{kind}-{place}"
        model = H100 if kind == "parts" else random.choice(_MODELS)
        gpu: Entry = {"model": model}
        at: Entry = {"gpu": place}
        if kind == "turns":
            pods += _lane(random, called, length_s, at, 0.9)
        elif kind == "whole":
            pods.append(_pod(random, called, (0, None), at, 0.9))
        elif kind == "shared":
            gpu["replicas"] = random.choice((4, 5))
            # Far below what each holds, so that nobody bursts past it by the luck of a sample.
            pods.append(_pod(random, called, (0, None), at, 0.06))
            for lane in "ab":
                pods += _lane(random, f"{called}{lane}", length_s, at, 0.06)
        elif kind == "parts":
            profiles = ("3g.40gb", "2g.20gb", "1g.10gb")
            gpu["mig"] = [{"instances": [{"gi": gi, "profile": each} for gi, each in enumerate(profiles, 1)]}]
            pods.append(_pod(random, called, (0, None), at | {"gi": 1}, 0.9))
            pods += _lane(random, f"{called}b", length_s, at | {"gi": 2}, 0.9)
        gpus.append(gpu)
    return {"name": name, "booted": "0s", "gpus": gpus, "pods": pods}


def _lane(random: Random, name: str, length_s: int, place: Entry, most: float) -> list[Entry]:
    spans = arrivals(random, 2.0, length_s + 30.0, _LIFE, _GAP)
    return [_pod(random, f"{name}-{number}", span, place, most) for number, span in enumerate(spans)]


def _pod(random: Random, name: str, span: Span, place: Entry, most: float) -> Entry:
    pattern = {"pattern": "constant", "share": round(random.uniform(0.2, 1.0) * most, 3)}
    made = pod(name, span, [place], [process(place, pattern)])
    made["namespace"] = random.choice(("research", "serving"))
    return made


def _fail(random: Random, nodes: Mapping[str, list[Entry]], length_s: int) -> None:
    """Each way that a driver fails, on a node that stays: in a long run twice, as nobody may be looking."""
    places: tuple[tuple[str, int, Any, str], ...] = (
        (ALPHA, 0, 2, "lost"),
        (BETA, 0, 0, "error"),
        (ALPHA, 0, 1, "hang"),
        (BETA, 1, None, "uninitialized"),
    )
    parts = [(0.3, 0.75)] if length_s < _LONG_S else [(0.1, 0.45), (0.5, 0.75)]
    for (cluster, node, gpu, kind), (first, last) in product(places, parts):
        begin = random.uniform(first, last) * length_s
        entry: Entry = {
            "kind": kind,
            "at": seconds(begin),
            "until": seconds(begin + random.uniform(3, 8)),
        }
        if gpu is not None:
            entry["gpu"] = gpu
        nodes[cluster][node].setdefault("failures", []).append(entry)
