"""
Draws the scenario: one node with a GPU or a few for every way to share one, and small ones for what a whole node has.

A GPU's keys say how it is shared; who comes when, and what they want, is drawn from the seed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml

from accuracy.draws import Entry, Span, arrivals, busy, pod, process, seconds

_LONG_S = 300


def lead_s(length_s: int) -> int:
    """What is compared begins so long after the scenario: when every program looks, and every exporter has a mean."""
    return 80 if length_s >= _LONG_S else 20


H100, A100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S"
NO_PROCESS_SOURCE = ["nvmlDeviceGetProcessUtilization", "nvmlDeviceGetProcessesUtilizationInfo"]
_EVER: Span = (0, None)


@dataclass
class NodeDraft:
    """A node while it is drawn."""

    random: Random
    length_s: int
    gpus: list[Entry] = field(default_factory=list)
    pods: list[Entry] = field(default_factory=list)
    hosts: list[Entry] = field(default_factory=list)
    claims: list[Entry] = field(default_factory=list)

    @property
    def begin_s(self) -> int:
        return lead_s(self.length_s)

    @property
    def end_s(self) -> int:
        return self.begin_s + self.length_s

    def gpu(self, model: str, **keys: Any) -> int:
        """A further GPU; its place."""
        drawn = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.gpus.append({"model": model, "uuid": f"GPU-{drawn}", **keys})
        return len(self.gpus) - 1

    def add(self, name: str, span: Span, place: Entry, most: float, **hold: Any) -> Entry:
        """A pod that holds a device and works on it."""
        work = process(place, busy(self.random, most), self.random.randrange(500, 6_000))
        made = pod(name, span, [{**place, **hold}], [work])
        self.pods.append(made)
        return made

    def stream(self, name: str, place: Entry, most: float, life: Span | None = None, **hold: Any) -> None:
        """Pods that come one after the other."""
        long = life or (0.25 * self.length_s, 0.4 * self.length_s)
        gap = (1.0, 0.1 * self.length_s) if life is None else (1.0, 4.0)
        for number, span in enumerate(arrivals(self.random, self.begin_s, self.end_s - 1, long, gap)):
            self.add(f"{name}-{number}", span, place, most, **hold)

    def document(self, name: str, **keys: Any) -> Entry:
        """The node as a scenario has it; what is in no namespace yet is in one of the node's name."""
        for entry in (*self.pods, *self.claims):
            entry.setdefault("namespace", name)
        found: Entry = {"name": name, "booted": "-2h", **keys, "gpus": self.gpus, "pods": self.pods}
        if self.hosts:
            found["host_processes"] = self.hosts
        if self.claims:
            found["claims"] = self.claims
        return found


def draw(seed: int, length_s: int) -> str:
    """The YAML of a run in which *length_s* are compared."""
    main = NodeDraft(Random(f"{seed} main"), length_s)
    for mode in MODES:
        mode(main)
    exporter = NodeDraft(Random(f"{seed} exporter"), length_s)
    _partitioned_ampere(exporter)
    last = NodeDraft(Random(f"{seed} last"), length_s)
    _time_slicing(last, "last", L40S)
    interval = 5 if length_s < _LONG_S else 30
    nodes = [
        main.document("every-way"),
        exporter.document("with-exporter", dcgm={"interval": f"{interval}s"}),
        last.document("last-owner", driver={"owner": "last"}),
    ]
    document = {
        "name": "accuracy",
        "window_seconds": 1,
        "seed": seed,
        "clusters": [{"name": "accuracy", "nodes": nodes}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _exclusive(node: NodeDraft) -> None:
    for model in (H100, A100):
        kind = model.split()[1].partition("-")[0].lower()
        node.add(f"whole-{kind}", _EVER, {"gpu": node.gpu(model)}, 0.9)
        node.stream(f"turn-{kind}", {"gpu": node.gpu(model)}, 0.9)


def _time_slicing(node: NodeDraft, name: str = "slice", model: str = "", **keys: Any) -> None:
    gpu = node.gpu(
        model or node.random.choice((H100, A100, L40S)), replicas=node.random.choice((5, 6)), **keys
    )
    node.add(f"{name}-a", _EVER, {"gpu": gpu}, 0.45)
    node.add(f"{name}-b", _EVER, {"gpu": gpu}, 0.45)
    node.add(f"{name}-two", _EVER, {"gpu": gpu}, 0.3, replicas=2)
    node.stream(name, {"gpu": gpu}, 0.45)


def _accounting(node: NodeDraft) -> None:
    _time_slicing(node, "account", A100, accounting=True)


def _shadow_and_host(node: NodeDraft) -> None:
    gpu = node.gpu(A100, replicas=2)
    node.add("right-a", _EVER, {"gpu": gpu}, 0.3)
    node.add("right-b", _EVER, {"gpu": gpu}, 0.3)
    shadow = process({"gpu": gpu}, busy(node.random, 0.25))
    begin = node.begin_s + round(node.random.uniform(0.1, 0.3) * node.length_s, 3)
    node.pods.append(pod("shadow", (begin, None), [], [shadow]))
    node.hosts.append({**process({"gpu": gpu}, busy(node.random, 0.2)), "start": "0s"})


def _mps(node: NodeDraft) -> None:
    turns = node.gpu(A100, replicas=4, sharing="mps")
    for client in range(4):
        on = node.random.randrange(60, 240)
        pattern = {"pattern": "duty", "on_ms": on, "period_ms": 1000, "phase_ms": 250 * client}
        work = process({"gpu": turns}, pattern) | {"threads": 0.25}
        node.pods.append(pod(f"client-{client}", _EVER, [{"gpu": turns}], [work]))
    together = node.gpu(A100, replicas=4, sharing="mps")
    for client in range(4):
        work = process({"gpu": together}, busy(node.random, 0.8)) | {"threads": 0.25}
        node.pods.append(pod(f"crowd-{client}", _EVER, [{"gpu": together}], [work]))


def _partitioned_hopper(node: NodeDraft) -> None:
    still = node.gpu(H100, mig=[{"instances": _instances("3g.40gb", "2g.20gb", "1g.10gb")}])
    for gi in (1, 2):
        node.add(f"part-{gi}", _EVER, {"gpu": still, "gi": gi}, 0.9)
    node.stream("part-3", {"gpu": still, "gi": 3}, 0.9)
    change = node.begin_s + round(node.random.uniform(0.4, 0.6) * node.length_s, 3)
    keeps = {"gi": 2, "profile": "3g.40gb", "start": 4}
    before = [{"gi": 1, "profile": "3g.40gb", "start": 0}, keeps]
    after = [{"gi": 1, "profile": "4g.40gb", "start": 0}, keeps]
    changing = node.gpu(H100, mig=[{"instances": before}, {"at": seconds(change), "instances": after}])
    node.add("keeps", _EVER, {"gpu": changing, "gi": 2}, 0.9)
    node.add("before", (0, change - 3), {"gpu": changing, "gi": 1}, 0.9)
    node.add("after", (change + 3, None), {"gpu": changing, "gi": 1}, 0.9)


def _parted_instance(node: NodeDraft) -> None:
    parts = [{"ci": 0, "slices": 1}, {"ci": 1, "slices": 2}]
    instances = [{"gi": 1, "profile": "3g.40gb", "compute_instances": parts}]
    gpu = node.gpu(H100, mig=[{"instances": instances}])
    for ci in (0, 1):
        node.add(f"piece-{ci}", _EVER, {"gpu": gpu, "gi": 1, "ci": ci}, 0.8)


def _partitioned_ampere(node: NodeDraft) -> None:
    gpu = node.gpu(A100, mig=[{"instances": _instances("3g.40gb", "2g.20gb", "1g.10gb")}])
    for gi in (1, 2):
        node.add(f"old-part-{gi}", _EVER, {"gpu": gpu, "gi": gi}, 0.9)
    node.stream("old-part-3", {"gpu": gpu, "gi": 3}, 0.9)


def _shared_instance(node: NodeDraft) -> None:
    instances = [{"gi": 1, "profile": "3g.40gb", "compute_instances": [{"ci": 0, "replicas": 3}]}]
    gpu = node.gpu(H100, mig=[{"instances": instances}])
    for number in range(3):
        node.add(f"packed-{number}", _EVER, {"gpu": gpu, "gi": 1}, 0.35)


def _no_process_source(node: NodeDraft) -> None:
    gpu = node.gpu(A100, replicas=3, unsupported=NO_PROCESS_SOURCE)
    for number in range(3):
        node.add(f"unseen-{number}", _EVER, {"gpu": gpu}, 0.35)


def _hami(node: NodeDraft) -> None:
    gpu = node.gpu(A100, replicas=10, id="{uuid}-{replica}")
    uuid_ = node.gpus[gpu]["uuid"]
    # Cores of the GPU in percent, its memory in MiB, and the larger of the two as a part.
    for name, cores, mib, share in (
        ("cores", 40, 8_192, 0.4),
        ("memory", 0, 20_480, 0.25),
        ("both", 10, 16_384, 0.2),
    ):
        made = node.add(f"hami-{name}", _EVER, {"gpu": gpu}, 0.4, share=share)
        made["annotations"] = {"hami.io/vgpu-devices-allocated": f"{uuid_},NVIDIA,{mib},{cores}:;"}


def _kai(node: NodeDraft) -> None:
    gpu = node.gpu(A100)
    uuid_, group = node.gpus[gpu]["uuid"], "one-group"
    keeper = pod("gpu-reservation-every-way-x7k2p", _EVER, [], [])
    keeper |= {"namespace": "kai-resource-reservation", "labels": {"runai-gpu-group": group}}
    keeper["annotations"] = {"run.ai/reserve_for_gpu_index": uuid_}
    keeper["containers"][0]["ids"] = [{"id": uuid_}]
    node.pods.append(keeper)
    for number, share in enumerate((0.5, 0.3)):
        made = node.add(f"kai-{number}", _EVER, {"gpu": gpu}, 0.45, share=share, hidden=True)
        made |= {"labels": {"runai-gpu-group": group}, "annotations": {"gpu-fraction": str(share)}}


def _claims(node: NodeDraft) -> None:
    own, shared = node.gpu(H100), node.gpu(A100)
    for name, gpu, users in (("own", own, 1), ("shared", shared, 2)):
        node.claims.append({"name": name, "devices": [{"gpu": gpu}]})
        for user in range(users):
            work = process({"gpu": gpu}, busy(node.random, 0.9 / users))
            node.pods.append(pod(f"claims-{name}-{user}", _EVER, [], [work], claims=[name]))


def _init(node: NodeDraft) -> None:
    """An init container has the GPU for a while, then the main container of its pod."""
    gpu = node.gpu(H100)
    begin = node.begin_s + round(node.random.uniform(0.05, 0.2) * node.length_s, 3)
    turn = round(node.random.uniform(0.15, 0.35) * node.length_s, 3)
    work = [process({"gpu": gpu}, busy(node.random, 0.9)) for _ in range(2)]
    made = pod("prepares", (begin, None), [gpu], [work[1]])
    loads = {"name": "load", "kind": "init", "end": seconds(turn), "gpus": [gpu], "processes": [work[0]]}
    made["containers"].insert(0, loads)
    node.pods.append(made)


def _short_lives(node: NodeDraft) -> None:
    node.stream("brief", {"gpu": node.gpu(H100)}, 0.9, life=(2.0, 6.0))
    gpu = node.gpu(A100, replicas=3)
    node.add("beside", _EVER, {"gpu": gpu}, 0.3)
    for lane in "ab":
        node.stream(f"brief-{lane}", {"gpu": gpu}, 0.35, life=(2.0, 6.0))


def _same_name(node: NodeDraft) -> None:
    """A pod of a StatefulSet comes back under the name of one that is gone."""
    gpu, third = node.gpu(H100), node.length_s / 3
    for number in range(2):
        begin = node.begin_s + third * number * 1.2 + node.random.uniform(1, 0.2 * third)
        made = node.add("again-0", (begin, begin + third), {"gpu": gpu}, 0.9)
        made["owner"] = {"kind": "StatefulSet", "name": "again"}


def _instances(*profiles: str) -> list[Entry]:
    return [{"gi": gi, "profile": profile} for gi, profile in enumerate(profiles, start=1)]


MODES: tuple[Callable[[NodeDraft], None], ...] = (
    _exclusive,
    _time_slicing,
    _accounting,
    _shadow_and_host,
    _mps,
    _partitioned_hopper,
    _parted_instance,
    _partitioned_ampere,
    _shared_instance,
    _no_process_source,
    _hami,
    _kai,
    _claims,
    _init,
    _short_lives,
    _same_name,
)
