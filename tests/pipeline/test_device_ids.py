"""Every known way to write a device id, from the kubelet's socket to the slice's holder."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from gpucost.cost_slice import CostSlice
from gpucost.identity import Device, HolderKind

from contracts.mapping_stage import Run, charged_ns, named, play, reserved_ns
from gpucost_agent.ledger.holdings import UNMAPPED as UNMAPPED_REASON

NODES = Path(__file__).with_name("device_ids.yaml")
GPU, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
ALL = Fraction(1)


def gpu(start: str, part: Fraction = ALL) -> tuple[str, None, None, Fraction]:
    """A whole GPU, by the start of its UUID, or a part of it."""
    return start, None, None, part


def mig(start: str, gi: int, ci: int, part: Fraction = ALL) -> tuple[str, int, int, Fraction]:
    """A compute instance."""
    return start, gi, ci, part


Expected = tuple[str, int | None, int | None, Fraction] | str
UNMAPPED, NO_GPU = "unmapped", "no GPU"


@dataclass(frozen=True)
class Vector:
    """
    A container with these *ids* of *resource* on *node*, and what it holds by them.

    *also* are ids of other resources.
    """

    name: str
    node: str
    resource: str
    ids: tuple[str, ...]
    holds: Expected
    annotations: dict[str, str] = field(default_factory=dict)
    also: tuple[tuple[str, str], ...] = ()

    @property
    def listed(self) -> list[dict[str, str]]:
        """All that the kubelet lists for the container."""
        own = [(self.resource, raw) for raw in self.ids]
        return [{"resource": resource, "id": raw} for resource, raw in (*own, *self.also)]

    @property
    def pod(self) -> str:
        return f"v{self.name}"


HAMI = "hami.io/vgpu-devices-allocated"
HAMI_SAYS = "GPU-d5555555-e550-79a1-597e-7631e126c57a,NVIDIA,3000,30:;"
ALIYUN_SAYS = {
    "ALIYUN_COM_GPU_MEM_IDX": "4",
    "ALIYUN_COM_GPU_MEM_POD": "20",
    "ALIYUN_COM_GPU_MEM_DEV": "80",
}
A_SLOT = "GPU-00552014-5c87-89ac-b1a6-7b53aa24b0ec"

# fmt: off
VECTORS = [
    Vector("1", "plugin", GPU, ("GPU-11111111-e550-79a1-597e-7631e126c57a",), gpu("GPU-1111")),
    Vector("2", "plugin", GPU, ("GPU-5a5a7118-e550-79a1-597e-7631e126c57a::3",), gpu("GPU-5a5a", ALL / 4)),
    Vector("3", "plugin", SHARED, ("GPU-5a5a7118-e550-79a1-597e-7631e126c57a::0",), gpu("GPU-5a5a", ALL / 4)),
    Vector("4", "mig", "nvidia.com/mig-1g.10gb", ("MIG-42f0f413-f7b0-58cc-aced-c1d1fb54db26",), mig("GPU-aaaa", 7, 0)),
    Vector("5", "mig", "nvidia.com/mig-1g.10gb", ("MIG-88888888-f7b0-58cc-aced-c1d1fb54db26::0",),
           mig("GPU-aaaa", 8, 0, ALL / 2)),
    Vector("6", "mig", GPU, ("MIG-2ce7a541-c516-5dbc-a76e-26cc100d9b55::7",), mig("GPU-aaaa", 9, 0, ALL / 8)),
    Vector("7", "mig", GPU, ("MIG-aaaaaaaa-c516-5dbc-a76e-26cc100d9b55::",), mig("GPU-aaaa", 10, 0)),
    Vector("7b", "mig", "nvidia.com/mig-1c.2g.20gb", ("MIG-bbbbbbbb-1111-5dbc-a76e-26cc100d9b55",),
           mig("GPU-aaaa", 11, 1)),
    Vector("8", "mig", GPU, ("MIG-GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12/1/0",), mig("GPU-a810", 1, 0)),
    Vector("9", "mig", GPU, ("MIG-GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12/2/0::2",), mig("GPU-a810", 2, 0, ALL / 3)),
    Vector("10a", "mig", GPU, ("MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/3",), UNMAPPED),
    Vector("10b", "mig", GPU, ("MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/a/b",), UNMAPPED),
    Vector("11-16", "gke", GPU, ("nvidia0",), gpu("GPU-0000000b")),
    Vector("12", "gke", GPU, ("nvidia4/vgpu0",), gpu("GPU-0000000c", ALL / 2)),
    Vector("13", "gke", GPU, ("nvidia3/gi3",), mig("GPU-0000000e", 3, 0)),
    Vector("14", "gke", GPU, ("nvidia3/gi4/vgpu1",), mig("GPU-0000000e", 4, 0, ALL / 2)),
    Vector("15", "gke", GPU, ("nvidia10/gi12",), mig("GPU-0000000d", 12, 0)),
    Vector("17", "schedulers", GPU, ("GPU-03f69c50-207a-2038-9b45-23cac89cb67a-10",), gpu("GPU-03f6", ALL / 12)),
    Vector("18", "schedulers", GPU, ("GPU-03f69c50-207a-2038-9b45-23cac89cb67a-2",), gpu("GPU-d555", ALL * 3 / 10),
           {HAMI: HAMI_SAYS}),
    Vector("19", "plugin", GPU, ("GPU-03f69c50-207a-2038-9b45-23cac89cb123",), gpu("GPU-03f6")),
    Vector("20", "schedulers", GPU, ("GPU-03f69c50-207a-2038-9b45-23cac89cb67a::replica-1",), UNMAPPED),
    Vector("21a", "schedulers", "k8s.amazonaws.com/vgpu", (f"{A_SLOT}-4",), gpu("GPU-0055", ALL / 10)),
    Vector("21b", "schedulers", "volcano.sh/vgpu-number", (f"{A_SLOT}-5",), gpu("GPU-0055", ALL / 10)),
    Vector("22a", "schedulers", "volcano.sh/gpu-memory", ("0-3", "0-4"), gpu("GPU-d000", ALL * 2 / 80)),
    Vector("22b", "schedulers", "volcano.sh/gpu-memory", ("0-5", "0-6", "0-7"), gpu("GPU-d333", ALL * 3 / 81_559),
           {"volcano.sh/gpu-index": "3"}),
    Vector("23", "plugin", GPU, ("0-3",), UNMAPPED),
    Vector("24a", "schedulers", "aliyun.com/gpu-mem", (f"{A_SLOT}-_-17", f"{A_SLOT}-_-18", f"{A_SLOT}-_-19"), UNMAPPED),
    Vector("24b", "schedulers", "aliyun.com/gpu-mem", (f"{A_SLOT}-_-20", f"{A_SLOT}-_-21"), gpu("GPU-d444", ALL / 4),
           ALIYUN_SAYS),
    Vector("25", "schedulers", "tencent.com/vcuda-core", ("tencent.com/vcuda-core-17", "tencent.com/vcuda-core-18"),
           UNMAPPED),
    Vector("25b", "units", "tencent.com/vcuda-core", ("tencent.com/vcuda-core-1", "tencent.com/vcuda-core-2"),
           UNMAPPED, also=(("tencent.com/vcuda-memory", "tencent.com/vcuda-memory-1"),)),
    Vector("26", "others", "nvidia.com/GA100_A100_PCIE_40GB", ("0000:3b:00.0",), NO_GPU),
    Vector("27a", "others", "amd.com/gpu", ("0000:03:00.0",), NO_GPU),
    Vector("27b", "others", "amd.com/gpu", ("amdgpu_xcp_30",), NO_GPU),
    Vector("28", "others", "gpu.intel.com/i915", ("card0-1",), NO_GPU),
    Vector("29a", "wsl", GPU, ("all",), gpu("GPU-77777777-0000")),
    Vector("29b", "tegra", GPU, ("tegra",), gpu("GPU-77777777-3333")),
    Vector("29c", "two-of-all", GPU, ("all",), UNMAPPED),
    Vector("30", "plugin", GPU, ("GPU-22222222-e550-79a1-597e-7631e126c57a",) * 2, gpu("GPU-2222")),
    Vector("31", "plugin", SHARED, ("GPU-33333333-e550-79a1-597e-7631e126c57a::0",
                                    "GPU-33333333-e550-79a1-597e-7631e126c57a::4"), gpu("GPU-3333", ALL * 2 / 8)),
    Vector("32", "plugin", GPU, ("GPU-ffffffff-e550-79a1-597e-7631e126c57a",), UNMAPPED),
    Vector("33", "plugin", GPU, ("bogus",), UNMAPPED),
    Vector("33b", "others", "example.com/thing", ("bogus",), NO_GPU),
]
# fmt: on

FREE_GPUS = {
    "plugin": 5,
    "mig": 3,
    "gke": 1,
    "schedulers": 5,
    "wsl": 0,
    "tegra": 0,
    "two-of-all": 2,
    "units": 3,
    "others": 2,
}
"""GPUs of which nobody holds anything by an id that names it."""


def scenario() -> str:
    described = yaml.safe_load(NODES.read_text())
    for node in described["clusters"][0]["nodes"]:
        node["pods"] = node.get("pods", []) + [
            {
                "name": vector.pod,
                "namespace": "ids",
                "annotations": vector.annotations,
                "containers": [{"name": "main", "ids": vector.listed}],
            }
            for vector in VECTORS
            if vector.node == node["name"]
        ]
    return str(yaml.safe_dump(described, width=10_000))


@pytest.fixture(scope="module")
def run() -> Run:
    return play(scenario(), seconds=8)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_an_id_is_what_its_writer_means(run: Run, vector: Vector) -> None:
    node = run.nodes[vector.node]
    rows = node.of(vector.pod)
    if isinstance(vector.holds, str):
        assert rows == ()
        return
    start, gi, ci, part = vector.holds
    (device,) = {row.key.device for row in rows}
    assert device.gpu_uuid.startswith(start)
    assert (device.gi, device.ci) == (gi, ci)
    assert {row.key.holder.container for row in rows} == {"main"}
    assert all(row.key.holder.pod_uid for row in rows)
    assert not any(row.flags for row in rows)
    # A replica more or less of a nanosecond is the largest remainder's.
    whole = device_ns(node.slices, device)
    assert abs(reserved_ns(rows) - whole * part) < 10 * len(rows)
    assert charged_ns(rows) - reserved_ns(rows) in range(-10 * len(rows), 10 * len(rows))


def device_ns(rows: Iterable[CostSlice], device: Device) -> int:
    """How much GPU-time there was of a device."""
    return charged_ns(row for row in rows if row.key.device == device)


@pytest.mark.parametrize("name", FREE_GPUS)
def test_as_many_free_gpus_are_unobserved_as_ids_name_none(run: Run, name: str) -> None:
    node = run.nodes[name]
    nameless = sum(vector.node == name and vector.holds == UNMAPPED for vector in VECTORS)
    alone: dict[str, set[str]] = {
        uuid: named(node.on(uuid)) for uuid in {row.key.device.gpu_uuid for row in node.slices}
    }
    free = Counter(next(iter(who)) for who in alone.values() if len(who) == 1 and "/" not in next(iter(who)))
    assert free.total() == FREE_GPUS[name]
    assert free["unobserved unmapped"] == min(nameless, FREE_GPUS[name])
    assert free["unallocated"] == max(0, FREE_GPUS[name] - nameless)
    # And nowhere else: a part that is free of a GPU that somebody holds is free.
    unobserved = {row.key.device.gpu_uuid for row in node.by(HolderKind.UNOBSERVED)}
    assert unobserved == {uuid for uuid, who in alone.items() if who == {f"unobserved {UNMAPPED_REASON}"}}


@pytest.mark.parametrize("name", FREE_GPUS)
def test_ids_without_a_gpu_are_counted_and_named(run: Run, name: str) -> None:
    nameless = [vector for vector in VECTORS if vector.node == name and vector.holds == UNMAPPED]
    node = run.nodes[name]
    assert node.gauge("gpucost_unmapped_device_ids") == len(nameless)
    assert all(vector.ids[0] in node.log for vector in nameless)
    assert ("device_ids_unmapped" in node.log) == bool(nameless)


def test_a_group_of_a_scheduler_of_fractions_holds_its_gpu_and_the_placeholder_does_not(run: Run) -> None:
    node = run.nodes["schedulers"]
    uuid = "GPU-8983c66a-23df-e63b-4c2f-afcae9ec79b3"
    assert named(node.on(uuid)) == {"frac-1-0-0/main", "unallocated"}
    assert abs(2 * reserved_ns(node.of("frac-1-0-0")) - node.length_ns(uuid)) < 100
    assert node.of("runai-reservation-gpu-i-0b498db53280b86a6-fzdhl") == ()


@pytest.mark.parametrize("name", FREE_GPUS)
def test_no_law_is_broken(run: Run, name: str) -> None:
    assert "law_broken" not in run.nodes[name].log
    assert "thread_failed" not in run.nodes[name].log
