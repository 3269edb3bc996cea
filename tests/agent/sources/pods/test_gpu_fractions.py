"""Parts of GPUs as schedulers write them into pods."""

from typing import Any

import pytest

from gpucost_agent.readings import PPM, GpuFraction
from gpucost_agent.sources.pods.gpu_fractions import fractions_of, reservation_of

A = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
B = "GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12"
MIB = 1 << 20
PERCENT = PPM // 100


def pod(
    annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "annotations": annotations, "labels": labels}, "spec": spec}


def hami(value: str, *names: str, inits: tuple[str, ...] = ()) -> tuple[GpuFraction, ...]:
    containers = [{"name": name} for name in names]
    init_containers = [{"name": name} for name in inits]
    return fractions_of(
        pod({"hami.io/vgpu-devices-allocated": value}, containers=containers, initContainers=init_containers)
    )


def part(container: str, uuid: str, mib: int, cores: int) -> GpuFraction:
    return GpuFraction(container, uuid, memory_bytes=mib * MIB, cores_ppm=cores * PERCENT)


def test_hami_several_devices_of_a_container() -> None:
    assert hami(f"{A},NVIDIA,3000,30:{B},NVIDIA,4000,0:;", "main") == (
        part("main", A, 3_000, 30),
        part("main", B, 4_000, 0),
    )


def test_hami_init_containers_come_first_and_empty_entries_count() -> None:
    found = hami(f"{A},NVIDIA,1,2:;;;{B},NVIDIA,3,4:;", "main", "side", inits=("setup", "mesh"))
    assert found == (part("setup", A, 1, 2), part("side", B, 3, 4))
    assert hami(f";{A},NVIDIA,1,2:;", "main", "side", inits=("setup",)) == (part("side", A, 1, 2),)


def test_hami_entries_that_fit_no_containers_are_of_the_pod() -> None:
    assert hami(f"{A},NVIDIA,1,2:;;;", "main") == (part("", A, 1, 2),)


@pytest.mark.parametrize(
    "value", ["", ";", "::;", f"{A};", f"{A},NVIDIA;", f"{A}[0-1],NVIDIA,1,2:;", "MLU-1,MLU,1,2:;", "x,y,z"]
)
def test_hami_what_names_no_part_of_a_gpu_says_nothing(value: str) -> None:
    assert hami(value, "main") == ()


def test_hami_numbers_that_are_none_say_nothing_and_shares_end_at_one() -> None:
    assert hami(f"{A},NVIDIA,x,y:;", "main") == (part("main", A, 0, 0),)
    assert hami(f"{A},NVIDIA,1,900:;", "main") == (part("main", A, 1, 100),)


@pytest.mark.parametrize(
    ("fraction", "share"),
    [
        ("0.5", PPM // 2),
        ("1", PPM),
        ("0.333333333", 333_333),
        ("1.5", 0),
        ("0", 0),
        ("-1", 0),
        ("x", 0),
        ("NaN", 0),
    ],
)
def test_kai_a_share_of_a_group(fraction: str, share: int) -> None:
    found = fractions_of(pod({"gpu-fraction": fraction}, {"runai-gpu-group": "g1"}))
    assert found == (GpuFraction(group="g1", share_ppm=share),)


def test_kai_memory_of_several_groups_for_a_container() -> None:
    annotations = {
        "gpu-memory": "2000",
        "gpu-fraction-num-devices": "2",
        "gpu-fraction-container-name": "main",
    }
    found = fractions_of(
        pod(annotations, {"runai-gpu-group/g2": "g2", "runai-gpu-group/g1": "g1", "app": "x"})
    )
    assert found == (
        GpuFraction("main", group="g1", memory_bytes=2_000 * MIB),
        GpuFraction("main", group="g2", memory_bytes=2_000 * MIB),
    )


def test_kai_what_is_asked_for_and_not_given_yet_is_nothing() -> None:
    assert fractions_of(pod({"gpu-fraction": "0.5"})) == ()


@pytest.mark.parametrize("namespace", ["kai-resource-reservation", "runai-reservation"])
def test_kai_a_placeholder_holds_for_a_group(namespace: str) -> None:
    placeholder = pod({"run.ai/reserve_for_gpu_index": A}, {"runai-gpu-group": "g1"})
    assert reservation_of(placeholder) == ("", ""), "a label alone makes nobody a placeholder"
    placeholder["metadata"]["namespace"] = namespace
    assert reservation_of(placeholder) == ("g1", A)
    assert fractions_of(placeholder) == ()
    placeholder["metadata"]["annotations"] = {"run.ai/reserve_for_gpu_index": "0"}
    assert reservation_of(placeholder) == ("g1", "")
    placeholder["metadata"]["labels"] = None
    assert reservation_of(placeholder) == ("", "")


def test_volcano_an_index_for_all_containers_and_memory_for_each() -> None:
    containers = [
        {"name": "main", "resources": {"limits": {"volcano.sh/gpu-memory": "1024"}}},
        {"name": "side", "resources": {"limits": {"cpu": "1"}}},
        {"name": "bare"},
    ]
    found = fractions_of(pod({"volcano.sh/gpu-index": "3"}, containers=containers))
    assert found == (GpuFraction("main", memory_bytes=1024 * MIB, gpu_index=3),)
    assert fractions_of(pod({"volcano.sh/gpu-index": "x"}, containers=containers)) == ()


def test_aliyun_an_index_and_units_of_all_units() -> None:
    annotations = {
        "ALIYUN_COM_GPU_MEM_IDX": "1",
        "ALIYUN_COM_GPU_MEM_POD": "3",
        "ALIYUN_COM_GPU_MEM_DEV": "15",
    }
    assert fractions_of(pod(annotations)) == (GpuFraction(share_ppm=PPM // 5, gpu_index=1),)
    assert fractions_of(pod({"ALIYUN_COM_GPU_MEM_IDX": "1"})) == (GpuFraction(gpu_index=1),)
    assert fractions_of(pod({"ALIYUN_COM_GPU_MEM_IDX": "-1"})) == ()


def test_a_pod_without_any_of_it() -> None:
    assert fractions_of(pod()) == ()
    assert reservation_of(pod()) == ("", "")


@pytest.mark.parametrize("name", ["volcano.sh/gpu-index", "ALIYUN_COM_GPU_MEM_IDX"])
def test_a_number_as_long_as_its_owner_likes_is_none(name: str) -> None:
    limits = {"resources": {"limits": {"volcano.sh/gpu-memory": "9" * 5_000}}}
    assert fractions_of(pod({name: "9" * 5_000}, containers=[{"name": "main", **limits}])) == ()
