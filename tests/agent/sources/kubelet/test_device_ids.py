"""The device ids that kubelets were seen to hand out, by producer."""

import pytest
from gpucost.identity import Device
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.readings import DeviceId, Gpu
from gpucost_agent.sources.kubelet.device_ids import (
    KnownGpus,
    ParsedId,
    Shape,
    counts,
    device_id,
    device_ids,
    parse,
    parse_claim_device,
    resolve,
)

A = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
B = "GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12"
ABSENT = "GPU-ffffffff-e550-79a1-597e-7631e126c57a"
MIG = "MIG-42f0f413-f7b0-58cc-aced-c1d1fb54db26"
ON_B = Device(B, 1, 0, "1g.10gb", 6)
OTHER_ON_B = Device(B, 3, 0, "2g.20gb", 2)

# The driver's order is not that of the minor numbers: GKE's ids name B as nvidia0.
KNOWN = KnownGpus(
    gpus=(Gpu(A, 0, 1, "NVIDIA H100 80GB HBM3", None), Gpu(B, 1, 0, "NVIDIA H100 80GB HBM3", None)),
    mig={MIG: ON_B, "MIG-2ce7a541-c516-5dbc-a76e-26cc100d9b55": OTHER_ON_B},
)
ALONE = KnownGpus(gpus=KNOWN.gpus[:1])
GPU = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("resource", "raw", "device", "replica"),
    [
        (GPU, A, Device(A), None),
        (GPU, f"{A}::3", Device(A), 3),
        (GPU, f"{A}::", Device(A), None),
        ("nvidia.com/gpu.shared", f"{A}::3", Device(A), 3),
        (GPU, A.replace("a", "A"), Device(A), None),
        ("nvidia.com/mig-1g.10gb", MIG, ON_B, None),
        ("nvidia.com/mig-1g.10gb", f"{MIG}::0", ON_B, 0),
        (GPU, "MIG-2ce7a541-c516-5dbc-a76e-26cc100d9b55::7", OTHER_ON_B, 7),
        (GPU, f"{MIG}::", ON_B, None),
        (GPU, "MIG-00000000-c516-5dbc-a76e-26cc100d9b55", None, None),
        (GPU, f"MIG-{B}/1/0", ON_B, None),
        (GPU, f"MIG-{B}/1/0::2", ON_B, 2),
        (GPU, f"MIG-{B}/9/0", None, None),
        (GPU, f"MIG-{B}/3", None, None),
        (GPU, f"MIG-{B}/a/b", None, None),
        (GPU, "nvidia0", Device(B), None),
        (GPU, "nvidia1", Device(A), None),
        (GPU, "nvidia0/vgpu0", Device(B), 0),
        (GPU, "nvidia0/gi3", OTHER_ON_B, None),
        (GPU, "nvidia0/gi3/vgpu1", OTHER_ON_B, 1),
        (GPU, "nvidia10/gi12", None, None),
        (GPU, f"{A}-10", Device(A), 10),
        (GPU, f"{A}::replica-1", None, None),
        (GPU, f"{A[:-3]}123", None, None),
        ("k8s.amazonaws.com/vgpu", f"{A}-4", Device(A), 4),
        ("volcano.sh/vgpu-number", f"{A}-4", Device(A), 4),
        ("volcano.sh/gpu-memory", "0-3", Device(A), 3),
        ("volcano.sh/gpu-number", "1", Device(B), None),
        ("volcano.sh/gpu-number", "0:1", None, None),
        (GPU, "0-3", None, None),
        (GPU, "0", None, None),
        ("aliyun.com/gpu-mem", f"{A}-_-17", None, 17),
        ("tencent.com/vcuda-core", "tencent.com/vcuda-core-17", None, None),
        (GPU, "all", None, None),
        (GPU, ABSENT, None, None),
        (GPU, "bogus", None, None),
        (GPU, "", None, None),
        ("example.com/renamed", A, Device(A), None),
        ("example.com/renamed", f"{A}::1", Device(A), 1),
    ],
)
def test_an_id_names_its_device_or_none(
    resource: str, raw: str, device: Device | None, replica: int | None
) -> None:
    assert device_id(resource, raw, KNOWN) == DeviceId(resource, raw, device, replica)


@pytest.mark.parametrize(
    ("resource", "raw"),
    [
        ("nvidia.com/GA100_A100_PCIE_40GB", "0000:3b:00.0"),
        ("nvidia.com/GA100_A100_PCIE_40GB", "00000000:3B:00.0"),
        ("amd.com/gpu", "0000:03:00.0"),
        ("amd.com/gpu", "amdgpu_xcp_30"),
        ("gpu.intel.com/i915", "card0-1"),
        ("rdma/hca", "7"),
        ("example.com/fpga", "all"),
    ],
)
def test_what_is_no_gpu_of_this_driver_does_not_count(resource: str, raw: str) -> None:
    assert device_id(resource, raw, KNOWN) is None


@pytest.mark.parametrize(
    ("resource", "raw", "parsed"),
    [
        (GPU, f"{A}-10", ParsedId(Shape.GPU_SLOT, gpu_uuid=A, replica=10)),
        (GPU, f"MIG-{B}/1/0", ParsedId(Shape.MIG_INSTANCE, gpu_uuid=B, gi=1, ci=0)),
        (GPU, "nvidia0/gi3/vgpu1", ParsedId(Shape.MINOR, minor=0, gi=3, ci=0, replica=1)),
        ("aliyun.com/gpu-mem", f"{A}-_-17", ParsedId(Shape.GPU_MEMORY, gpu_uuid=A, replica=17)),
        ("volcano.sh/gpu-memory", "0-3", ParsedId(Shape.INDEX, index=0, replica=3)),
        ("x", "0000:3b:00.0", ParsedId(Shape.PCI)),
        ("x", "amdgpu_xcp_30", ParsedId(Shape.AMD)),
        ("x", "card0-1", ParsedId(Shape.INTEL)),
        (GPU, "tegra", ParsedId(Shape.ONLY)),
    ],
)
def test_an_id_says_no_more_than_it_does(resource: str, raw: str, parsed: ParsedId) -> None:
    assert parse(resource, raw) == parsed


@pytest.mark.parametrize("raw", ["all", "tegra"])
def test_all_gpus_are_one_device_only_where_there_is_one(raw: str) -> None:
    assert resolve(parse(GPU, raw), ALONE) == Device(A)
    assert resolve(parse(GPU, raw), KnownGpus()) is None


def test_the_uuid_is_not_cut_where_its_end_looks_like_a_slot() -> None:
    raw = "GPU-03f69c50-207a-2038-9b45-23cac89cb123"
    assert parse(GPU, raw) == ParsedId(Shape.GPU, gpu_uuid=raw)


def test_two_gpus_of_one_minor_number_are_none() -> None:
    twice = KnownGpus(gpus=(KNOWN.gpus[0], KNOWN.gpus[0]))
    assert resolve(parse(GPU, "nvidia1"), twice) is None


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("gpu-0", Device(B)),
        ("gpu-1", Device(A)),
        ("gpu-7", None),
        ("gpu-0-mig-1g10gb-19-6", ON_B),
        ("gpu-0-mig-2g20gb-14-2", OTHER_ON_B),
        ("gpu-0-mig-1g10gb-19-2", None),
        ("gpu-1-mig-1g10gb-19-6", None),
        ("gpu-0-mig-1g10gb-me-20-6", None),
        ("gpu-0-mig-19-6-1", ON_B),
        ("bogus", None),
    ],
)
def test_a_device_of_a_claim_is_known_by_minor_number_and_place(name: str, device: Device | None) -> None:
    assert resolve(parse_claim_device(name), KNOWN) == device


def test_the_old_form_of_a_claims_device_is_not_read_as_a_profile() -> None:
    assert parse_claim_device("gpu-0-mig-19-6-1") == ParsedId(Shape.MIG_PLACEMENT, minor=0, placement=6)


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("1g.10gb", "gpu-0-mig-1g10gb-19-3"),
        ("1g.10gb+me", "gpu-0-mig-1g10gb-me-20-3"),
        ("1g.24gb+me.all", "gpu-0-mig-1g24gb-meall-9-3"),
        ("1c.3g.40gb", "gpu-0-mig-1c3g40gb-9-3"),
    ],
)
def test_profiles_in_names_of_claims_lack_what_names_may_not_have(profile: str, name: str) -> None:
    device = Device(B, 4, 0, profile, 3)
    other = Device(B, 5, 0, "7g.80gb", 3)
    known = KnownGpus(KNOWN.gpus, {"MIG-a": device, "MIG-b": other})
    assert resolve(parse_claim_device(name), known) == device


def test_resources_that_an_administrator_names_are_gpus_also_by_their_index() -> None:
    extra = {"example.com/gpu"}
    assert device_id("example.com/gpu", "1", KNOWN) is None
    assert device_id("example.com/gpu", "1", KNOWN, extra) == DeviceId("example.com/gpu", "1", Device(B))
    assert device_id("example.com/gpu", "bogus", KNOWN, extra) == DeviceId("example.com/gpu", "bogus", None)
    assert device_id("example.com/gpu.shared", "bogus", KNOWN, extra) is not None
    assert device_id("example.com/other", "1", KNOWN, extra) is None


@pytest.mark.parametrize("raw", ["0000:3b:00.0", "amdgpu_xcp_30", "card0-1"])
def test_what_the_driver_never_shows_counts_under_no_name(raw: str) -> None:
    assert device_id(GPU, raw, KNOWN) is None
    assert device_id("example.com/gpu", raw, KNOWN, {"example.com/gpu"}) is None


def test_units_of_memory_or_cores_of_an_unknown_gpu_are_one_unknown_gpu() -> None:
    memory = [("aliyun.com/gpu-mem", f"{A}-_-{number}") for number in range(16)]
    cores = [("tencent.com/vcuda-core", f"tencent.com/vcuda-core-{number}") for number in range(30)]
    assert device_ids([*memory, *cores], KNOWN) == (
        DeviceId("aliyun.com/gpu-mem", f"{A}-_-0", None, 0),
        DeviceId("tencent.com/vcuda-core", "tencent.com/vcuda-core-0", None),
    )


def test_cores_and_memory_of_one_plugin_are_one_unknown_gpu() -> None:
    cores = [("tencent.com/vcuda-core", f"tencent.com/vcuda-core-{number}") for number in range(3)]
    memory = [("tencent.com/vcuda-memory", f"tencent.com/vcuda-memory-{number}") for number in range(3)]
    assert device_ids([*cores, *memory], KNOWN) == (
        DeviceId("tencent.com/vcuda-core", "tencent.com/vcuda-core-0", None),
    )


def test_units_of_memory_of_a_known_gpu_are_replicas_of_it() -> None:
    ids = [("volcano.sh/gpu-memory", f"0-{number}") for number in range(3)]
    assert [(each.device, each.replica) for each in device_ids(ids, KNOWN)] == [
        (Device(A), 0),
        (Device(A), 1),
        (Device(A), 2),
    ]


def test_unknown_gpus_count_one_by_one() -> None:
    assert len(device_ids([(GPU, "bogus"), (GPU, "other"), (GPU, "bogus")], KNOWN)) == 2


@given(st.text(), st.text())
def test_any_text_is_parsed_and_never_becomes_a_gpu_that_it_does_not_name(resource: str, raw: str) -> None:
    parsed = parse(resource, raw)
    device = resolve(parsed, KNOWN)
    assert counts(resource, parsed) in (True, False)
    if parsed.shape in (Shape.GPU, Shape.GPU_SLOT) and device is not None:
        assert device.gpu_uuid.lower() in raw.lower()
    if parsed.shape is Shape.UNMAPPED:
        assert device is None
