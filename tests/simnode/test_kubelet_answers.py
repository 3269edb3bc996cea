"""What a kubelet lists of a scenario's devices, containers and claims, and what it leaves out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from simnode.dra_claims import prepared
from simnode.kubelet import Kubelet, ListedClaim, ListedPod
from simnode.kubelet_answers import allocatable, listed_pods
from simnode.kubelet_v1 import api_pb2
from simnode.manifests import device_counts
from simnode.scenario import load
from simnode.world import Node

SECOND = 1_000_000_000
A, B, C, D = (f"GPU-00000000-0000-0000-0000-00000000000{digit}" for digit in "abcd")
M1, M2, M3 = (f"MIG-00000000-0000-0000-0000-00000000000{digit}" for digit in "123")

DEVICES = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: KUBELET
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {A}, replicas: 3, resource: nvidia.com/gpu.shared}}
          - {{model: NVIDIA H100 80GB HBM3, uuid: {B}, minor: 7, replicas: 2, id: "nvidia{{minor}}/vgpu{{replica}}"}}
          - model: NVIDIA H100 80GB HBM3
            uuid: {C}
            mig:
              - at: 0s
                instances:
                  - {{gi: 1, profile: 3g.40gb, start: 4, compute_instances: [{{ci: 0, uuid: {M1}}}]}}
                  - {{gi: 9, profile: 1g.10gb, start: 0, compute_instances: [{{ci: 0, uuid: {M2}, replicas: 2}}]}}
              - at: 20s
                instances: [{{gi: 1, profile: 7g.80gb, start: 0, compute_instances: [{{ci: 0, uuid: {M3}}}]}}]
              - {{at: 40s, instances: []}}
              - {{at: 60s, off: true}}
          - {{model: NVIDIA H100 80GB HBM3, uuid: {D}}}
        pods:
          - name: shares
            namespace: a
            containers: [{{name: main, gpus: [{{gpu: 0, replicas: 3}}, {{gpu: 1, replicas: 1}}]}}]
          - name: parts
            namespace: a
            end: 20s
            containers: [{{name: main, gpus: [{{gpu: 2, gi: 1}}, {{gpu: 2, gi: 9, replicas: 1}}]}}]
          - name: later
            namespace: a
            start: 20s
            end: 40s
            containers: [{{name: main, gpus: [{{gpu: 2, gi: 1}}]}}]
          - name: stages
            namespace: b
            finished: 30s
            containers:
              - {{name: fetch, kind: init, end: 5s, gpus: [3]}}
              - {{name: watch, kind: sidecar}}
              - {{name: work, start: 5s, gpus: [3], ids: [{{resource: nvidia.com/gpu, id: bogus}}]}}
          - name: fraction
            namespace: b
            start: 40s
            containers: [{{name: main, gpus: [{{gpu: 3, hidden: true, share: 0.5}}]}}]
"""

CLAIMS = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: KUBELET
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {A}, minor: 3}}
          - model: NVIDIA H100 80GB HBM3
            uuid: {B}
            minor: 0
            mig: [{{at: 0s, instances: [{{gi: 9, profile: 1g.10gb, profile_id: 19, start: 2}}]}}]
          - {{model: NVIDIA H100 80GB HBM3, uuid: {C}}}
        claims:
          - {{name: both, namespace: a, uid: dab5ab50, devices: [{{gpu: 0}}, {{gpu: 1, gi: 9, ci: 0}}], share_id: s1}}
        pods:
          - {{name: one, namespace: a, end: 10s, containers: [{{name: x, claims: [both]}}, {{name: y}}]}}
          - {{name: two, namespace: a, start: 5s, end: 20s, containers: [{{name: x, claims: [both]}}]}}
          - {{name: again, namespace: a, start: 20s, containers: [{{name: x, claims: [both]}}]}}
"""


def node_of(folder: Path, text: str, kubelet: str = "{}") -> Node:
    file = folder / "small.yaml"
    file.write_text(text.replace("KUBELET", kubelet))
    return load(file, seed=7).cluster("one").node("node-0")


def listed(node: Node, second: int) -> dict[str, dict[str, list[tuple[str, str]]]]:
    return {
        pod.name: {c.name: [(device.resource, device.id) for device in c.devices] for c in pod.containers}
        for pod in listed_pods(node, second * SECOND)
    }


def claims(pod: ListedPod) -> dict[str, tuple[ListedClaim, ...]]:
    return {container.name: container.claims for container in pod.containers}


def test_resources_and_ids_are_the_plugins(tmp_path: Path) -> None:
    main = listed(node_of(tmp_path, DEVICES), 0)["shares"]["main"]
    assert main[:3] == [("nvidia.com/gpu.shared", f"{A}::{number}") for number in range(3)]
    (resource, id_) = main[3]
    assert (resource, id_ in {"nvidia7/vgpu0", "nvidia7/vgpu1"}) == ("nvidia.com/gpu", True)


def test_instances_are_listed_by_the_uuid_that_they_had_when_they_were_given_out(tmp_path: Path) -> None:
    node = node_of(tmp_path, DEVICES)
    parts = listed(node, 0)["parts"]["main"]
    assert parts[0] == ("nvidia.com/mig-3g.40gb", M1)
    assert parts[1][0] == "nvidia.com/mig-1g.10gb"
    assert parts[1][1] in {f"{M2}::0", f"{M2}::1"}
    assert listed(node, 20)["later"]["main"] == [("nvidia.com/mig-7g.80gb", M3)]
    assert "later" not in listed(node, 40)


def test_what_can_be_allocated_follows_the_layouts(tmp_path: Path) -> None:
    node = node_of(tmp_path, DEVICES)

    def of_the_third(second: int) -> list[str]:
        others = (A, "nvidia7", D)
        ids = [device.id for device in allocatable(node, second * SECOND)]
        return [id_ for id_ in ids if not id_.startswith(others)]

    assert of_the_third(0) == [M1, f"{M2}::0", f"{M2}::1"]
    assert of_the_third(20) == [M3]
    assert of_the_third(40) == []
    assert of_the_third(60) == [C]


def test_a_resource_that_is_gone_stays_as_zero(tmp_path: Path) -> None:
    node = node_of(tmp_path, DEVICES)
    assert device_counts(node, 0) == {
        "nvidia.com/gpu": "3",
        "nvidia.com/gpu.shared": "3",
        "nvidia.com/mig-1g.10gb": "2",
        "nvidia.com/mig-3g.40gb": "1",
    }
    later = device_counts(node, 60 * SECOND)
    assert (later["nvidia.com/gpu"], later["nvidia.com/mig-7g.80gb"]) == ("4", "0")


def test_init_containers_are_not_listed_and_sidecars_come_first(tmp_path: Path) -> None:
    stages = listed(node_of(tmp_path, DEVICES), 1)["stages"]
    assert list(stages) == ["watch", "work"]
    # The device of the finished init container is the next one's, and listed from the admission on.
    assert stages == {"watch": [], "work": [("nvidia.com/gpu", D), ("nvidia.com/gpu", "bogus")]}


def test_finished_pods_go_at_once_or_stay_with_their_devices(tmp_path: Path) -> None:
    today = node_of(tmp_path, DEVICES)
    assert "stages" in listed(today, 29)
    assert "stages" not in listed(today, 30)
    older = node_of(tmp_path, DEVICES, "{lists_finished: true}")
    assert listed(older, 30)["stages"]["work"][0] == ("nvidia.com/gpu", D)


def test_a_fraction_is_not_told(tmp_path: Path) -> None:
    assert listed(node_of(tmp_path, DEVICES), 40)["fraction"] == {"main": []}


def test_a_device_near_two_numa_nodes_is_listed_twice(tmp_path: Path) -> None:
    node = node_of(tmp_path, DEVICES, "{numa_nodes: 2}")
    stages = next(pod for pod in listed_pods(node, SECOND) if pod.name == "stages")
    found = [(device.id, device.numa_node) for device in stages.containers[1].devices]
    assert found == [(D, 0), (D, 1), ("bogus", 0), ("bogus", 1)]


def test_a_claim_is_listed_with_the_cdi_names_that_add_up(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    (pod,) = listed_pods(node, 0)
    assert claims(pod)["y"] == ()
    ((claim,),) = [claims(pod)["x"]]
    first, second = claim.devices
    whole, part = "gpu-3", "gpu-0-mig-1g10gb-19-2"
    names = tuple(f"k8s.gpu.nvidia.com/claim=dab5ab50-{name}" for name in (whole, part))
    assert (claim.name, claim.namespace) == ("both", "a")
    assert (first.driver, first.pool, first.device, first.share_id) == (
        "gpu.nvidia.com",
        "node-0",
        whole,
        "s1",
    )
    assert (first.cdi_ids, second.device, second.cdi_ids) == (names[:1], part, names)
    assert listed(node, 0)["one"]["x"] == []


def test_two_pods_of_one_claim_may_see_everything_twice(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS, "{doubled_claims: true}")
    assert [len(pod.containers[0].claims[0].devices) for pod in listed_pods(node, 0)] == [2]
    both = listed_pods(node, 5 * SECOND)
    assert [pod.name for pod in both] == ["one", "two"]
    for pod in both:
        entries = pod.containers[0].claims[0].devices
        assert [entry.device for entry in entries] == [entry.device for entry in entries[:2]] * 2
        assert [len(entry.cdi_ids) for entry in entries] == [1, 2, 3, 4]
    plain = node_of(tmp_path, CLAIMS)
    assert [len(pod.containers[0].claims[0].devices) for pod in listed_pods(plain, 5 * SECOND)] == [2, 2]


def test_a_claim_is_prepared_from_its_first_pod_to_its_last(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    found = {second: prepared(node, second * SECOND) for second in (0, 5, 10, 19, 20)}
    users = {second: [[pod.name for pod in one.pods] for one in claims] for second, claims in found.items()}
    assert users == {0: [["one"]], 5: [["one", "two"]], 10: [["two"]], 19: [["two"]], 20: [["again"]]}
    assert [[pod.name for pod in found[second][0].first] for second in (19, 20)] == [["one"], ["again"]]
    assert prepared(node, -1) == []


def test_devices_of_claims_are_not_the_plugins(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    assert [device.id for device in allocatable(node, 0)] == [C]


@pytest.fixture
def socket() -> Iterator[Path]:
    """Not below tmp_path, whose name can be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="simnode-") as folder:
        yield Path(folder) / "kubelet.sock"


def test_claims_on_the_wire_and_a_kubelet_that_knows_none(tmp_path: Path, socket: Path) -> None:
    for kind, has_get in (("{}", True), ("{dynamic_resources: false}", False)):
        node = node_of(tmp_path, CLAIMS, kind)
        kubelet = Kubelet(socket, lambda node=node: listed_pods(node, 0), [], has_get=has_get)  # type: ignore[misc]
        kubelet.start()
        channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.use_local_subchannel_pool", 1)])
        try:
            answer = ask(channel, "List", api_pb2.ListPodResourcesRequest(), api_pb2.ListPodResourcesResponse)
            dynamic = answer.pod_resources[0].containers[0].dynamic_resources
            request = api_pb2.GetPodResourcesRequest(pod_name="one", pod_namespace="a")
            if has_get:
                (claim,) = dynamic
                assert claim.claim_name == "both"
                assert [device.share_id for device in claim.claim_resources] == ["s1", "s1"]
                assert [len(device.cdi_devices) for device in claim.claim_resources] == [1, 2]
                assert (
                    ask(channel, "Get", request, api_pb2.GetPodResourcesResponse).pod_resources.name == "one"
                )
            else:
                assert list(dynamic) == []
                with pytest.raises(grpc.RpcError) as caught:
                    ask(channel, "Get", request, api_pb2.GetPodResourcesResponse)
                assert caught.value.code() == grpc.StatusCode.UNKNOWN
                assert caught.value.details() == "PodResources API Get method disabled"
        finally:
            channel.close()
            kubelet.stop()


def ask(channel: grpc.Channel, method: str, request: Any, answer: Any) -> Any:
    stub = channel.unary_unary(
        f"/v1.PodResourcesLister/{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return stub(request, timeout=30, wait_for_ready=True)
