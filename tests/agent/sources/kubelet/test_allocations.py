"""Holders out of the kubelet's list and its checkpoint."""

from collections.abc import Collection

import pytest
from gpucost.identity import Device

from gpucost_agent.readings import Allocation, DeviceId, Gpu
from gpucost_agent.sources.kubelet.allocations import Ids, ListedContainer, put_together
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.kubelet_files import GivenIds

GPU = "nvidia.com/gpu"
A = "GPU-00000000-0000-0000-0000-00000000000a"
B = "GPU-00000000-0000-0000-0000-00000000000b"
KNOWN = KnownGpus(gpus=(Gpu(A, 0, 0, "NVIDIA L4", None), Gpu(B, 1, 1, "NVIDIA L4", None)))
ON_NODE = {"u1": ("ns", "p1"), "u2": ("ns", "p2"), "old": ("ns", "p1")}


def listed(pod: str, container: str, *ids: str, resource: str = GPU) -> ListedContainer:
    return ListedContainer("ns", pod, container, {resource: ids} if ids else {})


def given(uid: str, container: str, *ids: str, resource: str = GPU) -> GivenIds:
    return GivenIds(uid, container, {resource: ids})


def together(
    containers: Collection[ListedContainer], entries: Collection[GivenIds]
) -> tuple[Allocation, ...]:
    return put_together(containers, entries, ON_NODE.get, Ids(KNOWN), lambda _: ())


def held(uuid: str) -> tuple[DeviceId, ...]:
    return (DeviceId(GPU, uuid, Device(uuid)),)


def test_without_the_checkpoint_names_are_all_there_is() -> None:
    assert together([listed("p1", "main", A), listed("p2", "main")], []) == (
        Allocation("ns", "p1", "main", held(A)),
    )


def test_a_pods_uid_comes_from_the_checkpoint() -> None:
    found = together([listed("p1", "main", A)], [given("u1", "main", A), given("u2", "main", B)])
    assert found == (Allocation("ns", "p1", "main", held(A), "u1"),)


def test_an_init_container_is_in_the_checkpoint_only() -> None:
    found = together([listed("p1", "main")], [given("u1", "setup", A)])
    assert found == (Allocation("ns", "p1", "setup", held(A), "u1", listed=False),)


@pytest.mark.parametrize(
    "containers",
    [[], [listed("p2", "main", B)]],
    ids=["nothing is listed", "another pod is"],
)
def test_a_pod_that_is_not_listed_has_ended_though_its_entry_is_still_there(
    containers: list[ListedContainer],
) -> None:
    assert [each.pod for each in together(containers, [given("u1", "setup", A), given("u1", "main", A)])] == [
        each.pod for each in containers
    ]


def test_an_entry_of_a_pod_that_nobody_knows_holds_nothing() -> None:
    assert together([listed("p1", "main")], [given("gone", "setup", A)]) == ()


def test_an_entry_of_an_earlier_pod_of_the_same_name_holds_nothing() -> None:
    """Which of the two is there now shows by the ids that are listed."""
    entries = [
        given("old", "main", A),
        given("old", "setup", A),
        given("u1", "main", B),
        given("u1", "init", B),
    ]
    assert together([listed("p1", "main", B)], entries) == (
        Allocation("ns", "p1", "main", held(B), "u1"),
        Allocation("ns", "p1", "init", held(B), "u1", listed=False),
    )


def test_where_two_pods_of_one_name_both_fit_neither_is_told() -> None:
    entries = [
        given("old", "main", A),
        given("u1", "main", A),
        given("u1", "init", A),
        given("old", "init", A),
    ]
    assert together([listed("p1", "main", A)], entries) == (Allocation("ns", "p1", "main", held(A)),)
    entries = [given("old", "init", A), given("u1", "init", B)]
    assert together([listed("p1", "main")], entries) == ()


def test_numa_nodes_and_other_resources_do_not_keep_a_uid_away() -> None:
    container = ListedContainer("ns", "p1", "main", {GPU: (A, B), "rdma/hca": ("7",)})
    entry = GivenIds("u1", "main", {"rdma/hca": ("7",), GPU: (B, A)})
    (found,) = together([container], [entry])
    assert found.pod_uid == "u1"
    assert [each.raw for each in found.devices] == [A, B]


def test_init_containers_without_gpus_are_left_out() -> None:
    assert together([listed("p1", "main")], [given("u1", "setup", "7", resource="rdma/hca")]) == ()


def test_claims_go_beside_plugins_ids_and_have_no_entry() -> None:
    claim = DeviceId("gpu.nvidia.com", "gpu-1", Device(B))
    found = put_together(
        [listed("p1", "main", A), listed("p1", "side")],
        [],
        ON_NODE.get,
        Ids(KNOWN),
        lambda _: (claim,),
    )
    assert found == (
        Allocation("ns", "p1", "main", (*held(A), claim)),
        Allocation("ns", "p1", "side", (claim,)),
    )


def test_further_resources_are_gpus_everywhere() -> None:
    ids = Ids(KNOWN, {"example.com/gpu"})
    found = put_together(
        [listed("p1", "main", "0", resource="example.com/gpu")],
        [
            given("u1", "setup", "1", resource="example.com/gpu"),
            given("u1", "main", "0", resource="example.com/gpu"),
        ],
        ON_NODE.get,
        ids,
        lambda _: (),
    )
    assert [(each.container, each.pod_uid, each.devices[0].device) for each in found] == [
        ("main", "u1", Device(A)),
        ("setup", "u1", Device(B)),
    ]
