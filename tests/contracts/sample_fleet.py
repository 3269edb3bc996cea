"""
A small fleet whose books close, for tests of reports and pages.

One GPU is shared by two holders and half free, one is held and idle, one trains and then is free, one can not be
read, one of another cluster is unobserved at first, one has no price.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from gpucost.apportion import apportion
from gpucost.cost_slice import (
    SAMPLED_METHODS,
    Cost,
    CostSlice,
    Evidence,
    GpuTime,
    Measures,
    Price,
    SliceKey,
)
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HOST, UNALLOCATED, Device, Holder, HolderKind, NodeId, unobserved
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import hour_offset_ns

from contracts.memory_store import MemoryStore
from gpucost_aggregator.store.rows import AcceptedBatch, AgentId

US, EU = NodeId("prod-us", "us-gpu-0"), NodeId("lab-eu", "eu-gpu-0")
BOOK = Price(6_880_000_000, "book:aws", "2026-07-20")
LIST = Price(3_430_900_000, "catalogue", "2026-01-02")
NO_PRICE = Price()

LLAMA = Holder(HolderKind.CONTAINER, "chat", "llama-3-8b-7c9f5d6b8-x2v4q", "uid-llama", "server")
EMBEDDER = Holder(HolderKind.CONTAINER, "search", "embedder-5d9c7f-kk2pl", "uid-embed", "embed")
JUPYTER = Holder(HolderKind.CONTAINER, "notebooks", "jupyter-ada-0", "uid-ada", "notebook")
FINETUNE = Holder(HolderKind.CONTAINER, "training", "finetune-42-z8m7c", "uid-tune", "trainer")
WHISPER = Holder(HolderKind.CONTAINER, "speech", "whisper-0", "uid-whisper", "kserve-container")
NEWCOMER = Holder(HolderKind.CONTAINER, "sandbox", "newcomer", "uid-new", "main")

FACTS: tuple[tuple[str, Holder, Mapping[str, str], tuple[str, str]], ...] = (
    ("prod-us", LLAMA, {"gpucost.dev/model": "llama-3-8b"}, ("ReplicaSet", "llama-3-8b-7c9f5d6b8")),
    ("prod-us", EMBEDDER, {"model.aibrix.ai/name": "bge-m3"}, ("Deployment", "embedder")),
    ("prod-us", JUPYTER, {"app": "jupyter"}, ("StatefulSet", "jupyter-ada")),
    ("prod-us", FINETUNE, {}, ("Job", "finetune-42")),
    (
        "lab-eu",
        WHISPER,
        {"serving.kserve.io/inferenceservice": "whisper-large-v3"},
        ("StatefulSet", "whisper"),
    ),
)
"""Cluster, holder, labels and owner; the newcomer has no facts yet."""


@dataclass(frozen=True)
class Part:
    """Of a device in one window: reserved, used, idle and unmeasured, in thousandths of the window."""

    holder: Holder
    reserved: int
    used: int = 0
    idle: int = 0
    unmeasured: int = 0
    flags: tuple[str, ...] = ()
    method: str = "ring"
    measures: Measures = field(default_factory=Measures)


@dataclass(frozen=True)
class OnDevice:
    """Who had a device, and its part of the GPU; the weights of a GPU's devices make 1."""

    device: Device
    parts: list[Part]
    weight: Fraction = Fraction(1)


def parts_of(gpu: int, window: int, windows: int) -> list[Part]:
    """Who had GPU number *gpu* in a window; charged thousandths always make 1000."""
    match gpu:
        case 0:
            busy = 150 + 40 * (window % 3)
            return [
                Part(LLAMA, 250, used=busy, idle=250 - busy),
                Part(EMBEDDER, 250, 80, 170),
                Part(UNALLOCATED, 500, idle=500),
            ]
        case 1:
            return [Part(JUPYTER, 1000, idle=1000)]
        case 2 if window < windows // 2:
            return [Part(FINETUNE, 1000, used=930, idle=70)]
        case 2:
            return [Part(UNALLOCATED, 1000, idle=1000)]
        case 3:
            return [Part(WHISPER, 1000, unmeasured=1000)]
        case 4 if window < windows // 8:
            return [Part(unobserved("kubelet_away"), 1000, unmeasured=1000)]
        case 4:
            return [Part(WHISPER, 1000, used=400, idle=600)]
        case _:
            return [Part(HOST, 0, used=100), Part(NEWCOMER, 1000, used=600, idle=300)]


BOARDS = (
    (US, "GPU-5a5a7118-e550-79a1-597e-7631e126c570", "NVIDIA H100 80GB HBM3", BOOK),
    (US, "GPU-5a5a7118-e550-79a1-597e-7631e126c571", "NVIDIA H100 80GB HBM3", BOOK),
    (US, "GPU-5a5a7118-e550-79a1-597e-7631e126c572", "NVIDIA H100 80GB HBM3", BOOK),
    (EU, "GPU-5a5a7118-e550-79a1-597e-7631e126c573", "NVIDIA A100-SXM4-80GB", LIST),
    (EU, "GPU-5a5a7118-e550-79a1-597e-7631e126c574", "NVIDIA A100-SXM4-80GB", LIST),
    (EU, "GPU-5a5a7118-e550-79a1-597e-7631e126c575", "NVIDIA RTX A6000", NO_PRICE),
)


def fill(store: MemoryStore, start_ns: int, windows: int, window_ns: int) -> None:
    """Commit *windows* windows from *start_ns* on, of both nodes; both were heard two seconds after the end."""
    for number in range(windows):
        at_ns = start_ns + number * window_ns
        for node in (US, EU):
            rows = [
                row
                for gpu, (where, uuid, _, price) in enumerate(BOARDS)
                if where == node
                for row in slices_of(
                    (node, at_ns, window_ns), [OnDevice(Device(uuid), parts_of(gpu, number, windows))], price
                )
            ]
            facts = (_facts(node.cluster, at_ns), _boards(node)) if not number else ((), ())
            store.commit([batch_of(node, number + 1, (at_ns, window_ns), tuple(rows), facts)])


def slices_of(where: tuple[NodeId, int, int], devices: list[OnDevice], price: Price) -> list[CostSlice]:
    """All slices of one GPU of a node in a window that begins somewhen and is so long."""
    node, at_ns, window_ns = where
    parts = [(on.device, on.weight, part) for on in devices for part in on.parts]
    weights = [
        weight * amount for _, weight, part in parts for amount in (part.used, part.idle, part.unmeasured)
    ]
    times = apportion(window_ns, weights)
    cost = _cost(price, at_ns, window_ns)
    costs = apportion(cost, times)
    reserved = apportion(window_ns, [weight * part.reserved for _, weight, part in parts])
    blocked = apportion(cost, reserved)
    return [
        CostSlice(
            key=SliceKey(node, device, "gpu", part.holder, at_ns),
            length_ns=window_ns,
            time=GpuTime(reserved[i], times[3 * i], times[3 * i + 1], times[3 * i + 2]),
            cost=Cost(costs[3 * i], costs[3 * i + 1], costs[3 * i + 2], blocked[i]),
            price=price,
            evidence=_evidence(part, window_ns),
            measures=part.measures,
            weight=(weight.numerator, weight.denominator),
            flags=part.flags,
            policy_version="2026-11",
        )
        for i, (device, weight, part) in enumerate(parts)
    ]


def _evidence(part: Part, window_ns: int) -> Evidence:
    if not part.used:
        return Evidence()
    return Evidence(part.method, window_ns, 360 if part.method in SAMPLED_METHODS else 0)


def _cost(price: Price, at_ns: int, window_ns: int) -> int:
    rate, offset = price.nanodollars_per_hour or 0, hour_offset_ns(at_ns)
    return rate * (offset + window_ns) // NS_PER_HOUR - rate * offset // NS_PER_HOUR


def batch_of(
    node: NodeId,
    number: int,
    window: tuple[int, int],
    rows: tuple[CostSlice, ...],
    facts: tuple[tuple[WorkloadFacts, ...], tuple[GpuFacts, ...]] = ((), ()),
) -> AcceptedBatch:
    """One window of a node, heard two seconds after its end."""
    at_ns, window_ns = window
    workloads, gpus = facts
    end_ns = at_ns + window_ns
    return AcceptedBatch(
        agent=AgentId(node, "epoch-1"),
        boot_id="boot-1",
        sequence_number=number,
        sha256=number.to_bytes(32),
        window_ns=window_ns,
        closed_through_ns=end_ns,
        received_at_ns=end_ns + 2 * NS_PER_SECOND,
        slices=rows,
        workloads=workloads,
        gpus=gpus,
    )


def _facts(cluster: str, at_ns: int) -> tuple[WorkloadFacts, ...]:
    return tuple(
        WorkloadFacts(who.namespace, who.pod, who.pod_uid, at_ns, labels, {}, *owner)
        for where, who, labels, owner in FACTS
        if where == cluster
    )


def _boards(node: NodeId) -> tuple[GpuFacts, ...]:
    return tuple(GpuFacts(uuid, model, 80 * 2**30) for where, uuid, model, _ in BOARDS if where == node)
