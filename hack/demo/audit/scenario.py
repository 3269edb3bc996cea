"""What a scenario says about GPUs: who holds them, and who works on them. Times are nanoseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import yaml

NS = 1_000_000_000
NEVER = 2**63
_WINDOW_S = 10
"""Where a scenario says nothing else."""

_UNITS_NS = {"h": 3_600 * NS, "m": 60 * NS, "s": NS, "ms": 1_000_000, "us": 1_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")


@dataclass(frozen=True, slots=True, order=True)
class Who:
    """Who pays, by names alone: a pod's UID is drawn and stands in answers only."""

    kind: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    reason: str = ""

    def __str__(self) -> str:
        names = "/".join(name for name in (self.namespace, self.pod, self.container, self.reason) if name)
        return f"{self.kind} {names}".strip()


HOST = Who("host")
UNALLOCATED = Who("unallocated")
UNATTRIBUTED = Who("unattributed")


@dataclass(frozen=True, slots=True)
class Hold:
    """A container holds so many of a GPU's replicas from *start_ns* on, no longer at *end_ns*."""

    who: Who
    replicas: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Work:
    """One process on a GPU, or with *every_ns* a new one so often; *busy* is its pattern with the pattern's keys."""

    who: Who
    start_ns: int
    end_ns: int
    busy: Mapping[str, Any]
    every_ns: int | None = None
    for_ns: int = 0

    @property
    def is_drawn(self) -> bool:
        """Whether the seed decides when it is busy."""
        return self.busy["pattern"] in ("bursts", "random")


@dataclass(frozen=True, slots=True)
class Driver:
    """How the simulated driver looks at a GPU."""

    period_ns: int
    owner: str
    rounding: str
    turn_ns: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One board."""

    uuid: str
    model: str
    replicas: int
    holds: tuple[Hold, ...] = ()
    works: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One machine with its boards; *began_ns* is when the simulation began."""

    cluster: str
    name: str
    booted_ns: int
    began_ns: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    driver: Driver
    gpus: tuple[Gpu, ...] = field(default=())

    @property
    def key(self) -> tuple[str, str]:
        """What answers call it by."""
        return self.cluster, self.name


@dataclass(frozen=True, slots=True)
class Scenario:
    """All nodes of all clusters."""

    name: str
    window_ns: int
    nodes: tuple[Node, ...]

    @property
    def clusters(self) -> tuple[str, ...]:
        """Their names, in the order of the file."""
        return tuple(dict.fromkeys(node.cluster for node in self.nodes))


def read(text: str, facts: Mapping[str, Any]) -> Scenario:
    """
    The scenario of a YAML *text*.

    *facts* is what the simulator said when it was ready: when it began, and the UUIDs, which it draws.
    """
    document = yaml.safe_load(text)
    uuids = {(node["cluster"], node["node"]): node["gpus"] for node in facts["nodes"]}
    nodes = [
        _node(cluster["name"], node, uuids[cluster["name"], node["name"]], facts["start_ns"])
        for cluster in document["clusters"]
        for node in cluster["nodes"]
    ]
    return Scenario(document["name"], int(document.get("window_seconds", _WINDOW_S)) * NS, tuple(nodes))


def offset_ns(value: object) -> int:
    """A time as a scenario writes it, for example 1m30s, 250ms, or a bare number of seconds."""
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    text = text.removeprefix("-")
    if parts := _PART.findall(text):
        return sign * int(sum(Fraction(number) * _UNITS_NS[unit] for number, unit in parts))
    return sign * int(Fraction(text) * NS)


def milliseconds_ns(value: object) -> int:
    """A length in milliseconds, as nanoseconds."""
    return int(Fraction(str(value)) * 1_000_000)


def _node(cluster: str, entry: Mapping[str, Any], uuids: list[str], began_ns: int) -> Node:
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": entry["name"],
    }
    for key, label in (
        ("instance_type", "node.kubernetes.io/instance-type"),
        ("region", "topology.kubernetes.io/region"),
    ):
        if key in entry:
            labels[label] = str(entry[key])
    labels |= {key: str(value) for key, value in (entry.get("labels") or {}).items()}
    driver = entry.get("driver") or {}
    gpus = []
    for place, (gpu, uuid) in enumerate(zip(entry["gpus"], uuids, strict=True)):
        holds, works = _on_gpu(place, entry, began_ns)
        gpus.append(Gpu(uuid, gpu["model"], int(gpu.get("replicas", 1)), holds, works))
    return Node(
        cluster=cluster,
        name=entry["name"],
        booted_ns=began_ns + offset_ns(entry.get("booted", 0)),
        began_ns=began_ns,
        labels=labels,
        annotations={key: str(value) for key, value in (entry.get("annotations") or {}).items()},
        driver=Driver(
            milliseconds_ns(driver.get("sample_period_ms", 167)),
            driver.get("owner", "proportional"),
            driver.get("rounding", "down"),
            milliseconds_ns(driver.get("turn_ms", 2)),
        ),
        gpus=tuple(gpus),
    )


def _on_gpu(place: int, node: Mapping[str, Any], began_ns: int) -> tuple[tuple[Hold, ...], tuple[Work, ...]]:
    holds: list[Hold] = []
    works = [
        _work(HOST, entry, began_ns, NEVER)
        for entry in node.get("host_processes") or ()
        if entry["gpu"] == place
    ]
    for pod in node.get("pods") or ():
        start = began_ns + offset_ns(pod.get("start", 0))
        end = began_ns + offset_ns(pod["end"]) if "end" in pod else NEVER
        for container in pod["containers"]:
            who = Who("container", pod["namespace"], pod["name"], container["name"])
            for held in container.get("gpus") or ():
                what = held if isinstance(held, Mapping) else {"gpu": held}
                if what["gpu"] == place:
                    holds.append(Hold(who, int(what.get("replicas", 1)), start, end))
            works += [
                _work(who, entry, start, end)
                for entry in container.get("processes") or ()
                if entry["gpu"] == place
            ]
    return tuple(holds), tuple(works)


def _work(who: Who, entry: Mapping[str, Any], origin_ns: int, last_ns: int) -> Work:
    return Work(
        who,
        origin_ns + offset_ns(entry.get("start", 0)),
        origin_ns + offset_ns(entry["end"]) if "end" in entry else last_ns,
        entry.get("busy") or {"pattern": "none"},
        offset_ns(entry["every"]) if "every" in entry else None,
        offset_ns(entry["for"]) if "for" in entry else 0,
    )
