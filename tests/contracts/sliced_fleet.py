"""
A node of which everything is cut, shared, taken or unknown, for tests of reports and pages; its books close.

A GPU in MIG mode with a rest of each kind, one that two share beside somebody to whom nobody gave it, one that
is free and used all the same, one that goes through all reasons of not knowing, one that can not be read.
"""

from fractions import Fraction

from gpucost.cost_slice import CostSlice, Measures
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HOST, REMAINDER, UNALLOCATED, Device, Holder, HolderKind, NodeId, unobserved

from contracts.memory_store import MemoryStore
from contracts.sample_fleet import (
    BOOK,
    EMBEDDER,
    FINETUNE,
    JUPYTER,
    LLAMA,
    WHISPER,
    OnDevice,
    Part,
    batch_of,
    slices_of,
)

NODE = NodeId("prod-us", "us-mig-0")
MINER = Holder(HolderKind.CONTAINER, "sandbox", "miner-7f9c5d6b8-qq4xz", "uid-miner", "main")
REASONS = (
    *("node_starting", "agent_gap", "kubelet_away", "unmapped", "claims_hidden", "gpu_lost"),
    "layout_unknown",
)
"""Why nobody could say who held the fourth GPU, window by window."""

UUIDS = tuple(f"GPU-a{number:05x}00-e550-79a1-597e-7631e126c57{number}" for number in range(5))
MEASURES = Measures(30 << 30, sm_active_ns=3_000_000_000, tensor_active_ns=1_000_000_000, dram_active_ns=0)


def devices_of(gpu: int, window: int, windows: int) -> list[OnDevice]:
    """Who had what of GPU number *gpu* in a window."""
    free = Part(UNALLOCATED, 1000, idle=1000)
    whole = Device(UUIDS[gpu])
    match gpu:
        case 0:
            return [
                _instance((1, 0), ("3g.40gb", 4), Fraction(1, 2), _worker()),
                _instance((2, 0), ("2g.20gb", 2), Fraction(1, 7), Part(JUPYTER, 1000, idle=1000)),
                _instance((2, None), ("2g.20gb", 2), Fraction(1, 7), free),
                _instance((3, 0), ("1g.10gb", 0), Fraction(1, 7), free),
                OnDevice(Device(UUIDS[0], profile=REMAINDER), [free], Fraction(1, 14)),
            ]
        case 1:
            return [
                OnDevice(
                    whole,
                    [
                        Part(EMBEDDER, 500, used=300, idle=160, method="memory"),
                        Part(FINETUNE, 500, used=200, idle=240, method="memory"),
                        Part(MINER, 0, used=100, method="memory", flags=("shadow",)),
                    ],
                )
            ]
        case 2 if window < windows // 2:
            taken = Part(MINER, 0, used=150, flags=("shadow",))
            return [OnDevice(whole, [Part(HOST, 0, used=50), taken, Part(UNALLOCATED, 1000, idle=800)])]
        case 2:
            return [OnDevice(whole, [Part(MINER, 1000, used=500, idle=500)])]
        case 3 if window < len(REASONS):
            return [OnDevice(whole, [Part(unobserved(REASONS[window]), 1000, unmeasured=1000)])]
        case 3:
            taken = Part(MINER, 0, used=200, method="equal", flags=("shadow",))
            held = Part(EMBEDDER, 1000, used=200, idle=600, method="equal", flags=("oversubscribed",))
            return [OnDevice(whole, [held, taken])]
        case _:
            unread = Part(WHISPER, 1000, unmeasured=1000, flags=() if window else ("carried",))
            return [OnDevice(Device(UUIDS[4], 5, 0, "7g.80gb", 0), [unread])]


def window_of_fleet(at_ns: int, window: int, windows: int, window_ns: int) -> tuple[CostSlice, ...]:
    """All slices of the node in one window."""
    where = (NODE, at_ns, window_ns)
    found = (slices_of(where, devices_of(gpu, window, windows), BOOK) for gpu in range(len(UUIDS)))
    return tuple(row for rows in found for row in rows)


def fill(store: MemoryStore, start_ns: int, windows: int, window_ns: int) -> None:
    """Commit *windows* windows from *start_ns* on."""
    facts = (
        (
            WorkloadFacts("sandbox", MINER.pod, "uid-miner", 0, {}, {}, "ReplicaSet", "miner-7f9c5d6b8"),
            WorkloadFacts("notebooks", JUPYTER.pod, "uid-ada", 0, {}, {}, "StatefulSet", "jupyter-ada"),
        ),
        tuple(GpuFacts(uuid, "NVIDIA H100 80GB HBM3", 80 << 30) for uuid in UUIDS),
    )
    for window in range(windows):
        at_ns = start_ns + window * window_ns
        rows = window_of_fleet(at_ns, window, windows, window_ns)
        store.commit([batch_of(NODE, window + 1, (at_ns, window_ns), rows, ((), ()) if window else facts)])


def _worker() -> Part:
    return Part(LLAMA, 1000, used=600, idle=400, method="gpm", measures=MEASURES)


def _instance(number: tuple[int, int | None], cut: tuple[str, int], weight: Fraction, part: Part) -> OnDevice:
    return OnDevice(Device(UUIDS[0], *number, *cut), [part], weight)
