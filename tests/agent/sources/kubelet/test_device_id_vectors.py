"""Ids that were seen in the field or in the tests of who writes them, one test for each."""

from pathlib import Path

import pytest
from gpucost.identity import Device

from gpucost_agent.readings import PPM, DeviceId, Gpu, GpuFraction
from gpucost_agent.sources.kubelet.claims import ClaimFiles, ListedDevice
from gpucost_agent.sources.kubelet.device_ids import (
    KnownGpus,
    ParsedId,
    Shape,
    device_id,
    device_ids,
    parse_claim_device,
)
from gpucost_agent.sources.pods.gpu_fractions import fractions_of, reservation_of

GPU = "nvidia.com/gpu"
PLAIN = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
HAMI = "GPU-03f69c50-207a-2038-9b45-23cac89cb67a"
ENDS_IN_DIGITS = "GPU-03f69c50-207a-2038-9b45-23cac89cb123"
SLOTTED = "GPU-00552014-5c87-89ac-b1a6-7b53aa24b0ec"
PARENT = "GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12"
MIG = "MIG-42f0f413-f7b0-58cc-aced-c1d1fb54db26"
OTHER_MIG = "MIG-2ce7a541-c516-5dbc-a76e-26cc100d9b55"
SHARED_BY_GROUP = "GPU-8983c66a-23df-e63b-4c2f-afcae9ec79b3"
UNSEEN = "GPU-ffffffff-e550-79a1-597e-7631e126c57a"

# The driver's order is not that of minor numbers, and minor 10 is no minor 1.
GPUS = tuple(
    Gpu(uuid, index, minor, "NVIDIA H100 80GB HBM3", None)
    for index, (uuid, minor) in enumerate(
        [(PLAIN, 1), (PARENT, 0), (HAMI, 10), (ENDS_IN_DIGITS, 3), (SLOTTED, 4), (SHARED_BY_GROUP, 5)]
    )
)
GI_3 = Device(PARENT, 3, 0, "1g.10gb", 2)
GI_1 = Device(PARENT, 1, 0, "2g.20gb", 4)
GI_12 = Device(HAMI, 12, 0, "1g.10gb", 0)
KNOWN = KnownGpus(GPUS, {MIG: GI_3, OTHER_MIG: GI_1, "MIG-00000000-0000-5000-8000-000000000000": GI_12})


def mapped(
    resource: str, raw: str, device: Device | None, replica: int | None = None
) -> tuple[str, str, DeviceId]:
    return resource, raw, DeviceId(resource, raw, device, replica)


VECTORS = {
    "1": mapped(GPU, PLAIN, Device(PLAIN)),
    "2": mapped(GPU, f"{PLAIN}::3", Device(PLAIN), 3),
    "3": mapped("nvidia.com/gpu.shared", f"{PLAIN}::3", Device(PLAIN), 3),
    "4": mapped("nvidia.com/mig-1g.10gb", MIG, GI_3),
    "5": mapped("nvidia.com/mig-1g.10gb", f"{MIG}::0", GI_3, 0),
    "6": mapped(GPU, f"{OTHER_MIG}::7", GI_1, 7),
    "7": mapped(GPU, f"{OTHER_MIG}::", GI_1),
    "8": mapped(GPU, f"MIG-{PARENT}/1/0", GI_1),
    "9": mapped(GPU, f"MIG-{PARENT}/1/0::2", GI_1, 2),
    "10a": mapped(GPU, "MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/3", None),
    "10b": mapped(GPU, "MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/a/b", None),
    "11 16": mapped(GPU, "nvidia0", Device(PARENT)),
    "12": mapped(GPU, "nvidia0/vgpu0", Device(PARENT), 0),
    "13": mapped(GPU, "nvidia0/gi3", GI_3),
    "14": mapped(GPU, "nvidia0/gi3/vgpu1", GI_3, 1),
    "15": mapped(GPU, "nvidia10/gi12", GI_12),
    "17": mapped(GPU, f"{HAMI}-10", Device(HAMI), 10),
    "19": mapped(GPU, ENDS_IN_DIGITS, Device(ENDS_IN_DIGITS)),
    "20": mapped(GPU, f"{HAMI}::replica-1", None),
    "21a": mapped("k8s.amazonaws.com/vgpu", f"{SLOTTED}-4", Device(SLOTTED), 4),
    "21b": mapped("volcano.sh/vgpu-number", f"{SLOTTED}-4", Device(SLOTTED), 4),
    "22": mapped("volcano.sh/gpu-memory", "0-3", Device(PLAIN), 3),
    "23": mapped(GPU, "0-3", None),
    "24": mapped("aliyun.com/gpu-mem", f"{SLOTTED}-_-17", None, 17),
    "25": mapped("tencent.com/vcuda-core", "tencent.com/vcuda-core-17", None),
    "29a": mapped(GPU, "all", None),
    "29b": mapped(GPU, "tegra", None),
    "32": mapped(GPU, UNSEEN, None),
    "33": mapped(GPU, "bogus", None),
}


@pytest.mark.parametrize(("resource", "raw", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_an_id_and_what_it_stands_for(resource: str, raw: str, expected: DeviceId) -> None:
    assert device_id(resource, raw, KNOWN) == expected


def test_18_the_schedulers_word_on_the_gpu_and_its_part() -> None:
    pod = {
        "metadata": {"annotations": {"hami.io/vgpu-devices-allocated": f"{PLAIN},NVIDIA,3000,30:;"}},
        "spec": {"containers": [{"name": "main"}]},
    }
    assert fractions_of(pod) == (
        GpuFraction("main", PLAIN, memory_bytes=3_000 << 20, cores_ppm=30 * PPM // 100),
    )


@pytest.mark.parametrize(
    ("resource", "raw"),
    [
        pytest.param("nvidia.com/GA100_A100_PCIE_40GB", "0000:3b:00.0", id="26"),
        pytest.param("amd.com/gpu", "0000:03:00.0", id="27a"),
        pytest.param("amd.com/gpu", "amdgpu_xcp_30", id="27b"),
        pytest.param("gpu.intel.com/i915", "card0-1", id="28"),
    ],
)
def test_no_gpus_of_this_driver(resource: str, raw: str) -> None:
    assert device_id(resource, raw, KNOWN) is None


@pytest.mark.parametrize("raw", ["all", "tegra"])
def test_29_the_only_gpu(raw: str) -> None:
    found = device_id(GPU, raw, KnownGpus(GPUS[:1]))
    assert found is not None
    assert found.device == Device(PLAIN)


def test_30_a_gpu_of_two_numa_nodes_is_one_allocation() -> None:
    assert device_ids([(GPU, PLAIN), (GPU, PLAIN)], KNOWN) == (DeviceId(GPU, PLAIN, Device(PLAIN)),)


def test_31_two_replicas_of_one_gpu_are_two_of_its_replicas() -> None:
    found = device_ids([("nvidia.com/gpu.shared", f"{PLAIN}::{number}") for number in (0, 4)], KNOWN)
    assert [(each.device, each.replica) for each in found] == [(Device(PLAIN), 0), (Device(PLAIN), 4)]


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        pytest.param("gpu-0", ParsedId(Shape.MINOR, minor=0), id="D1"),
        pytest.param(
            "gpu-0-mig-1g12gb-19-0",
            ParsedId(Shape.MIG_PLACEMENT, minor=0, profile="1g12gb", placement=0),
            id="D2",
        ),
        pytest.param(
            "gpu-1-mig-1g6gb-14-0",
            ParsedId(Shape.MIG_PLACEMENT, minor=1, profile="1g6gb", placement=0),
            id="D3",
        ),
        pytest.param("gpu-0-mig-19-6-1", ParsedId(Shape.MIG_PLACEMENT, minor=0, placement=6), id="D4"),
    ],
)
def test_names_of_claimed_devices(name: str, parsed: ParsedId) -> None:
    assert parse_claim_device(name) == parsed


def test_d5_a_claimed_gpu_that_is_passed_through_is_none_of_ours(tmp_path: Path) -> None:
    listed = ListedDevice("ns", "claim", "gpu.nvidia.com", "node", "gpu-vfio-0")
    assert ClaimFiles(tmp_path, tmp_path).device_id(listed, KNOWN) is None


CLAIM = "dab5ab50-d59a-42a6-af16-cfd4628c0f7a"
KIND = "k8s.gpu.nvidia.com/claim"


@pytest.mark.parametrize(
    ("name", "cdi", "uid"),
    [
        pytest.param("gpu-0", (f"{KIND}={CLAIM}-gpu-0",), CLAIM, id="D6"),
        pytest.param("gpu-1", (f"{KIND}={CLAIM}-gpu-0", f"{KIND}={CLAIM}-gpu-1"), CLAIM, id="D7"),
        ("gpu-1", (f"{KIND}={CLAIM}-gpu-11",), ""),
        ("gpu-1", (f"{KIND}=gpu-1",), ""),
        ("gpu-1", (), ""),
    ],
)
def test_the_claim_that_a_cdi_name_tells(name: str, cdi: tuple[str, ...], uid: str) -> None:
    assert ListedDevice("ns", "claim", "gpu.nvidia.com", "node", name, cdi).claim_uid == uid


def test_k1_a_group_joins_who_shares_a_gpu_and_the_placeholder_that_holds_it() -> None:
    group = "df7c0dd3-9795-443c-85b9-acbf49c8fb6b"
    sharing = {
        "metadata": {
            "namespace": "runai-pa",
            "name": "frac-1-0-0",
            "labels": {"runai-gpu-group": group},
            "annotations": {"gpu-fraction": "0.5"},
        }
    }
    placeholder = {
        "metadata": {
            "namespace": "runai-reservation",
            "name": "runai-reservation-gpu-i-0b498db53280b86a6-fzdhl",
            "labels": {"runai-gpu-group": group},
            "annotations": {"run.ai/reserve_for_gpu_index": SHARED_BY_GROUP},
        }
    }
    assert fractions_of(sharing) == (GpuFraction(group=group, share_ppm=PPM // 2),)
    assert reservation_of(sharing) == ("", "")
    assert reservation_of(placeholder) == (group, SHARED_BY_GROUP)
    assert fractions_of(placeholder) == ()
