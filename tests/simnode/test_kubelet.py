"""The simulated kubelet answers as a real one was seen to answer."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool

from simnode.kubelet import Kubelet, ListedContainer, ListedPod, RateLimit
from simnode.kubelet_answers import allocatable, listed_pods
from simnode.kubelet_v1 import api_pb2
from simnode.scenario import load

SECOND = 1_000_000_000
BURST = 10

SCENARIO = """
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        gpus:
          - {model: NVIDIA L4, uuid: GPU-00000000-0000-0000-0000-00000000000a, replicas: 3}
          - {model: NVIDIA L4, uuid: GPU-00000000-0000-0000-0000-00000000000b}
          - {model: NVIDIA L4, uuid: GPU-00000000-0000-0000-0000-00000000000c}
        pods:
          - name: whole
            namespace: a
            start: 5s
            end: 9s
            containers:
              - {name: two, gpus: [1, 2]}
              - {name: sidecar, gpus: []}
          - name: slices
            namespace: b
            containers:
              - {name: main, gpus: [{gpu: 0, replicas: 2}]}
"""


class Manual:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Client:
    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.use_local_subchannel_pool", 1)])

    def call(self, method: str, request: Any, answer: Callable[[bytes], Any]) -> Any:
        stub = self._channel.unary_unary(
            f"/v1.PodResourcesLister/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer,
        )
        return stub(request, timeout=30, wait_for_ready=True)

    def list(self) -> Any:
        answer = self.call(
            "List", api_pb2.ListPodResourcesRequest(), api_pb2.ListPodResourcesResponse.FromString
        )
        return answer.pod_resources

    def get(self, namespace: str, name: str) -> Any:
        request = api_pb2.GetPodResourcesRequest(pod_name=name, pod_namespace=namespace)
        return self.call("Get", request, api_pb2.GetPodResourcesResponse.FromString).pod_resources

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def socket() -> Iterator[Path]:
    """Not below tmp_path, whose name can be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="simnode-") as folder:
        yield Path(folder) / "kubelet" / "kubelet.sock"


@pytest.fixture
def kubelet(socket: Path) -> Iterator[Kubelet]:
    pods = [
        ListedPod("a", "holds", (ListedContainer("main", ("GPU-x::0", "GPU-x::1")),)),
        ListedPod("a", "holds-none", (ListedContainer("main", ()),)),
    ]
    played = Kubelet(socket, lambda: pods, ["GPU-x::0", "GPU-x::1", "GPU-y"], RateLimit(Manual()))
    played.start()
    yield played
    played.stop()


@pytest.fixture
def client(kubelet: Kubelet) -> Iterator[Client]:
    connected = Client(kubelet.socket)
    yield connected
    connected.close()


def test_lists_one_entry_a_device_and_containers_without_any(client: Client) -> None:
    listed = client.list()
    assert [(pod.namespace, pod.name) for pod in listed] == [("a", "holds"), ("a", "holds-none")]
    devices = listed[0].containers[0].devices
    assert [(d.resource_name, list(d.device_ids)) for d in devices] == [
        ("nvidia.com/gpu", ["GPU-x::0"]),
        ("nvidia.com/gpu", ["GPU-x::1"]),
    ]
    assert [(c.name, len(c.devices)) for c in listed[1].containers] == [("main", 0)]


def test_allocatable_offers_every_replica(client: Client) -> None:
    answer = client.call(
        "GetAllocatableResources",
        api_pb2.AllocatableResourcesRequest(),
        api_pb2.AllocatableResourcesResponse.FromString,
    )
    assert [list(entry.device_ids) for entry in answer.devices] == [["GPU-x::0"], ["GPU-x::1"], ["GPU-y"]]


def test_get_answers_unknown_for_a_pod_that_is_gone(client: Client) -> None:
    assert client.get("a", "holds").name == "holds"
    with pytest.raises(grpc.RpcError) as caught:
        client.get("a", "gone")
    assert caught.value.code() == grpc.StatusCode.UNKNOWN
    assert caught.value.details() == "pod gone in namespace a not found"


def test_one_rate_limit_for_all_clients(socket: Path) -> None:
    clock = Manual()
    kubelet = Kubelet(socket, list, [], RateLimit(clock))
    kubelet.start()
    first, second = Client(socket), Client(socket)
    try:
        for _ in range(BURST):
            first.list()
        with pytest.raises(grpc.RpcError) as caught:
            second.list()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "rejected by rate limit"
        clock.now_ns += SECOND // 100
        second.list()
        with pytest.raises(grpc.RpcError):
            first.list()
        clock.now_ns += 3600 * SECOND
        for _ in range(BURST):
            first.list()
        with pytest.raises(grpc.RpcError):
            first.list()
    finally:
        first.close()
        second.close()
        kubelet.stop()


def test_comes_back_with_a_new_inode_and_the_same_modes(kubelet: Kubelet, client: Client) -> None:
    inodes = [kubelet.socket.stat().st_ino]
    for _ in range(3):
        kubelet.stop()
        assert list(kubelet.socket.parent.iterdir()) == []
        kubelet.start()
        inodes.append(kubelet.socket.stat().st_ino)
        assert [path.name for path in kubelet.socket.parent.iterdir()] == ["kubelet.sock"]
        assert kubelet.socket.stat().st_mode & 0o777 == 0o755
        assert kubelet.socket.parent.stat().st_mode & 0o777 == 0o750
        assert len(client.list()) == 2
    assert all(before != after for before, after in pairwise(inodes))


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a path of a Unix socket"):
        Kubelet(tmp_path / ("x" * 100) / "kubelet.sock", list, [])


def test_messages_stay_out_of_the_pool_of_the_program_under_test() -> None:
    assert api_pb2.DESCRIPTOR.package == "v1"
    assert api_pb2.DESCRIPTOR.pool is not descriptor_pool.Default()


def test_a_scenarios_pods_are_listed_from_allocation_to_release(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO)
    node = load(file).cluster("one").node("node-0")

    def listed(at_ns: int) -> dict[str, dict[str, tuple[str, ...]]]:
        return {
            pod.name: {c.name: tuple(device.id for device in c.devices) for c in pod.containers}
            for pod in listed_pods(node, at_ns)
        }

    shared, whole, third = (gpu.uuid for gpu in node.gpus)
    slices = listed(0)["slices"]["main"]
    assert len(set(slices)) == 2
    replicas = {f"{shared}::{number}" for number in range(3)}
    assert set(slices) <= replicas == {device.id for device in allocatable(node, 0)} - {whole, third}
    assert set(listed(5 * SECOND - 1)) == {"slices"}
    assert listed(5 * SECOND)["whole"] == {"two": (whole, third), "sidecar": ()}
    assert "whole" in listed(9 * SECOND - 1)
    assert set(listed(9 * SECOND)) == {"slices"}
    assert listed(-1) == {}
