"""Slices and batches for tests, with everything that a test does not care about filled in."""

from gpucost.cost_slice import Cost, CostSlice, Evidence, GpuTime, Measures, Price, SliceKey
from gpucost.identity import UNALLOCATED, Device, Holder, HolderKind, NodeId
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Scope

MINUTE_NS = 60 * NS_PER_SECOND
START_NS = 29_500_000 * MINUTE_NS
NODE = NodeId("east", "node-1")
AGENT = AgentId(NODE, "epoch-1")
EVERYTHING = Scope(0, 1 << 62)
GPU = Device("GPU-00000000-0000-0000-0000-000000000001")
MIG = Device("GPU-00000000-0000-0000-0000-000000000002", 1, 0, "3g.40gb", 4)
POD = Holder(HolderKind.CONTAINER, "research", "train-0", "uid-0", "main")
PRICE = Price(3_600_000_000, "override", "2026-11-01")


def a_slice(
    window: int = 0,
    *,
    node: NodeId = NODE,
    device: Device = GPU,
    holder: Holder = POD,
    used_ns: int = MINUTE_NS,
) -> CostSlice:
    """One holder of a whole device for the minute number *window*; what it did not use was idle."""
    idle_ns = MINUTE_NS - used_ns
    return CostSlice(
        key=SliceKey(node, device, "gpu", holder, START_NS + window * MINUTE_NS),
        length_ns=MINUTE_NS,
        time=GpuTime(MINUTE_NS, used_ns, idle_ns, 0),
        cost=Cost(used_ns // 1_000, idle_ns // 1_000, 0, MINUTE_NS // 1_000),
        price=PRICE,
        evidence=Evidence("ring", MINUTE_NS, 360) if used_ns else Evidence(),
        measures=Measures(memory_held_bytes_max=0, energy_uj=17),
        flags=("carried", "resolution_1s") if window % 2 else (),
        policy_version="2026-11",
    )


def a_free_slice(window: int = 0, *, node: NodeId = NODE, device: Device = GPU) -> CostSlice:
    """A device that nobody holds."""
    return a_slice(window, node=node, device=device, holder=UNALLOCATED, used_ns=0)


def a_batch(number: int, *slices: CostSlice, agent: AgentId = AGENT, **other: object) -> AcceptedBatch:
    """Batch *number* of *agent* with *slices*; *other* are fields of AcceptedBatch."""
    return AcceptedBatch(
        **{
            "agent": agent,
            "boot_id": "boot-1",
            "sequence_number": number,
            "sha256": number.to_bytes(32),
            "window_ns": MINUTE_NS,
            "closed_through_ns": START_NS + number * MINUTE_NS,
            "received_at_ns": START_NS + number * MINUTE_NS + 5 * NS_PER_SECOND,
            "slices": slices,
            **other,
        }
    )
