"""
A random life of a few nodes: pods come, share and go, GPUs are cut anew and fall off the bus, agents are killed.

The rules of a machine with a state: each says whether it is possible in it. The simulator takes all of a life at
once, so the rules write it down, the scenario and the commands beside it, before it is played.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml

NODES = 3
GRACE_S = 5
"""How long the agents wait for the kubelet."""

_H100 = "NVIDIA H100 80GB HBM3"
_LAYOUTS = (
    ((1, "3g.40gb", 0), (2, "3g.40gb", 4)),
    ((1, "3g.40gb", 0), (5, "2g.20gb", 4), (13, "1g.10gb", 6)),
    ((2, "4g.40gb", 0), (1, "3g.40gb", 4)),
    ((7, "1g.10gb", 0), (8, "1g.10gb", 1), (9, "1g.10gb", 2)),
    ((0, "7g.80gb", 0),),
    (),
)
_STEPS_MS = (-3_000, -700, -120, 120, 700, 3_000)
_CALLS: tuple[dict[str, str], ...] = (
    {},
    {"call": "GetSamples"},
    {"call": "ProcessUtilization"},
    {"call": "RunningProcesses"},
    {"call": "MigMode"},
)


@dataclass(frozen=True)
class Command:
    """What somebody does to a node, or to all, at a second of the life; *amount* is milliseconds of a step."""

    at_s: float
    what: str
    node: str = ""
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.at_s:5.1f} {self.what} {self.node} {self.amount or ''}".rstrip()


@dataclass(frozen=True)
class Plan:
    """*seconds* of life, which begins when every agent looks."""

    seed: int
    seconds: float
    window_s: int
    nodes: tuple[dict[str, Any], ...]
    commands: tuple[Command, ...]

    def scenario(self, lead_s: int) -> str:
        """As a scenario whose life begins *lead_s* after its start."""
        nodes = [_later(node, lead_s) for node in self.nodes]
        document = {
            "name": "machine",
            "window_seconds": self.window_s,
            "seed": self.seed,
            "clusters": [{"name": "c", "nodes": nodes}],
        }
        return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=1_000)

    def __str__(self) -> str:
        lines = "\n".join(f"  {command}" for command in self.commands)
        return f"seed {self.seed}, {self.seconds:g} s\n{self.scenario(0)}\ncommands\n{lines}"


def _later(node: dict[str, Any], lead_s: int) -> dict[str, Any]:
    """Its times as text; what is there at the beginning is there at the scenario's start."""

    def put_off(entry: dict[str, Any]) -> dict[str, Any]:
        times = {key: entry[key] for key in ("at", "until", "start", "end") if entry.get(key) is not None}
        put = {key: f"{at_s + lead_s if at_s else 0:.1f}s" for key, at_s in times.items()}
        return {key: put.get(key, value) for key, value in entry.items() if value is not None}

    gpus = [
        {**gpu, "mig": [put_off(layout) for layout in gpu["mig"]]} if "mig" in gpu else gpu
        for gpu in node["gpus"]
    ]
    failures = [put_off(failure) for failure in node["failures"]]
    return {**node, "gpus": gpus, "failures": failures, "pods": [put_off(pod) for pod in node["pods"]]}


@dataclass
class _Gpu:
    """One GPU as it is at an instant. *holders* are pods by the instance that they hold a part of; None: the GPU."""

    index: int
    replicas: int = 1
    layouts: list[dict[str, Any]] = field(default_factory=list)
    instances: dict[int, tuple[str, int]] | None = None
    holders: dict[int | None, list[tuple[dict[str, Any], int]]] = field(default_factory=dict)
    fails_until_s: float = 0.0

    def free(self, gi: int | None) -> int:
        """How many replicas of a device nobody holds."""
        held = sum(count for _, count in self.holders.get(gi, []))
        return (self.replicas if gi is None else 1) - held

    @property
    def devices(self) -> list[int | None]:
        return [None] if self.instances is None else list(self.instances)


class NodeLife:
    """The machine: its state, and its rules, each of which says whether it could be applied."""

    def __init__(self, random: Random, name: str, seconds: float) -> None:
        self._random, self._name, self._seconds = random, name, seconds
        self._pods: list[dict[str, Any]] = []
        self._failures: list[dict[str, Any]] = []
        self.commands: list[Command] = []
        self._away_until_s = {"agent": 0.0, "kubelet": 0.0, "driver": 0.0}
        self._gpus = [_Gpu(0), _Gpu(1, replicas=random.choice((2, 3))), _Gpu(2, layouts=[])]
        self._now_s = 0.0
        if random.random() < 0.6:
            self.recut()
        for _ in range(3):
            self.start_pod()

    @property
    def document(self) -> dict[str, Any]:
        models = ["NVIDIA L4", "NVIDIA A10G", _H100]
        gpus: list[dict[str, Any]] = [{"model": model} for model in models]
        gpus[1] |= {"replicas": self._gpus[1].replicas, "memory_mib": 23_028}
        if self._gpus[2].layouts:
            gpus[2]["mig"] = self._gpus[2].layouts
        return {"name": self._name, "gpus": gpus, "failures": self._failures, "pods": self._pods}

    def pass_s(self, seconds: float) -> bool:
        """Time passes; whether there is enough left for something to happen."""
        self._now_s = round(self._now_s + seconds, 1)
        return self._now_s <= self._seconds - 2

    def start_pod(self) -> bool:
        """A pod comes, and holds some of what is free."""
        free = [(gpu, gi) for gpu in self._gpus for gi in gpu.devices if gpu.free(gi) > 0]
        if not free:
            return False
        gpu, gi = self._random.choice(free)
        count = self._random.randint(1, gpu.free(gi))
        place = {"gpu": gpu.index} | ({} if gi is None else {"gi": gi})
        busy: dict[str, Any] = self._random.choice(
            (
                {"pattern": "none"},
                {"pattern": "constant", "share": round(self._random.random(), 2)},
                {"pattern": "duty", "on_ms": 300, "period_ms": self._random.choice((400, 900, 1700))},
            )
        )
        container = {
            "name": "main",
            "gpus": [place | {"replicas": count}],
            "processes": [place | {"busy": busy}],
        }
        pod = {
            "name": f"pod-{len(self._pods)}",
            "namespace": self._name,
            "start": self._now_s,
            "end": None,
            "containers": [container],
        }
        self._pods.append(pod)
        gpu.holders.setdefault(gi, []).append((pod, count))
        return True

    def stop_pod(self) -> bool:
        """One that is there goes."""
        living = [pod for pod in self._pods if pod["end"] is None and pod["start"] < self._now_s]
        if not living:
            return False
        pod = self._random.choice(living)
        pod["end"] = self._now_s
        for gpu in self._gpus:
            for holders in gpu.holders.values():
                holders[:] = [entry for entry in holders if entry[0] is not pod]
        return True

    def recut(self) -> bool:
        """A GPU changes its mode only while nobody holds it; its instances may be destroyed under their holders."""
        gpu = self._gpus[2]
        if gpu.holders.get(None) or (gpu.layouts and gpu.layouts[-1]["at"] >= self._now_s):
            return False
        if gpu.instances is not None and self._random.random() < 0.25:
            gpu.layouts.append({"at": self._now_s, "off": True})
            gpu.instances, gpu.holders = None, {}
            return True
        chosen = self._random.choice(_LAYOUTS)
        made = {gi: (profile, start) for gi, profile, start in chosen}
        if gpu.instances == made:
            return False
        kept = {gi for gi in made if (gpu.instances or {}).get(gi) == made[gi]}
        gpu.holders = {gi: pods for gi, pods in gpu.holders.items() if gi in kept}
        gpu.instances = made
        listed = [{"gi": gi, "profile": profile, "start": start} for gi, profile, start in chosen]
        gpu.layouts.append({"at": self._now_s, "instances": listed})
        return True

    def fail(self) -> bool:
        """The driver, of a GPU or of all."""
        kind = self._random.choice(
            ("lost", "lost", "gone", "gone", "hang", "error", "uninitialized", "mismatch")
        )
        until_s = round(self._now_s + self._random.uniform(0.5, 8.0), 1)
        if self._now_s < self._away_until_s["driver"] or until_s > self._seconds:
            return False
        if kind == "mismatch":
            return self._upgrade(until_s)
        failure: dict[str, Any] = {"kind": kind, "at": self._now_s, "until": until_s}
        if kind != "uninitialized":
            gpu = self._random.choice(self._gpus)
            if self._now_s <= gpu.fails_until_s:
                return False
            gpu.fails_until_s = until_s
            failure["gpu"] = gpu.index
        if kind in ("hang", "error"):
            failure |= self._random.choice(_CALLS)
        if kind == "error":
            failure |= {"code": self._random.choice((1, 2, 6, 17, 23, 999))}
        self._failures.append(failure)
        return True

    def _upgrade(self, until_s: float) -> bool:
        """The agent ends by itself, at its next look, and is started again."""
        until_s = round(max(until_s, self._now_s + 4.0), 1)
        if self._now_s < self._away_until_s["agent"] or until_s + 3 > self._seconds:
            return False
        self._failures.append({"kind": "mismatch", "at": self._now_s, "until": until_s})
        self.commands.append(Command(round(until_s + 0.5, 1), "start after upgrade", self._name))
        self._away_until_s |= {"driver": until_s + 2, "agent": until_s + 6}
        return True

    def end_agent(self) -> bool:
        """It is killed or asked to end, and started again."""
        if self._now_s < self._away_until_s["agent"]:
            return False
        how = self._random.choice(("kill", "kill", "stop"))
        back_s = round(self._now_s + self._random.uniform(0.2, 5.0), 1)
        if back_s > self._seconds - 2:
            return False
        self.commands += [Command(self._now_s, how, self._name), Command(back_s, "start", self._name)]
        # The driver is not changed while nobody looks: an agent that starts then would end before it began.
        self._away_until_s |= {"agent": back_s + 4, "driver": max(back_s + 2, self._away_until_s["driver"])}
        return True

    def away_kubelet(self) -> bool:
        """It does not answer for a while, which may be longer than its grace."""
        if self._now_s < self._away_until_s["kubelet"]:
            return False
        back_s = round(self._now_s + self._random.choice((1.0, 2.0, GRACE_S + 6.0)), 1)
        self.commands.append(Command(self._now_s, "kubelet_stop", self._name))
        if back_s < self._seconds:
            self.commands.append(Command(back_s, "kubelet_start", self._name))
        self._away_until_s["kubelet"] = back_s + 1
        return True


def plan_of(lives: Sequence[NodeLife], seed: int, seconds: float, window_s: int = 2) -> Plan:
    """The plan of what happened to these nodes. With every other seed the clock is set now and then."""
    random = Random(seed)
    commands = [command for life in lives for command in life.commands]
    commands += _for_all(random, seconds)
    if seed % 2:
        commands += _steps(random, seconds)
    ordered = sorted(commands, key=lambda command: (command.at_s, str(command)))
    return Plan(seed, seconds, window_s, tuple(life.document for life in lives), tuple(ordered))


def _for_all(random: Random, seconds: float) -> Iterator[Command]:
    if random.random() < 0.5:
        begin_s = round(random.uniform(0, seconds - 2), 1)
        yield Command(begin_s, "api_stop")
        yield Command(round(random.uniform(begin_s, seconds), 1), "api_start")


def _steps(random: Random, seconds: float) -> Iterator[Command]:
    at_s = 0.0
    while (at_s := round(at_s + random.uniform(2, 12), 1)) < seconds - 1:
        yield Command(at_s, "step", amount=random.choice(_STEPS_MS))
