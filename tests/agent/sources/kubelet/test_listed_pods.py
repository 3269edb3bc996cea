"""The kubelet's list, cut into the messages of its pods."""

import pytest
from gpucost.kubelet.v1 import api_pb2

from gpucost_agent.sources.kubelet.listed_pods import ListedPods, messages


def pod(name: str, *ids: str) -> api_pb2.PodResources:
    devices = [api_pb2.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=ids)]
    containers = [api_pb2.ContainerResources(name="main", devices=devices)]
    return api_pb2.PodResources(name=name, namespace="ns", containers=containers)


def answer(*pods: api_pb2.PodResources) -> bytes:
    return api_pb2.ListPodResourcesResponse(pod_resources=pods).SerializeToString()


class Parser:
    def __init__(self) -> None:
        self.parsed: list[str] = []
        self.pods = ListedPods(self.parse)

    def parse(self, message: bytes) -> tuple[str, ...]:
        self.parsed.append(api_pb2.PodResources.FromString(message).name)
        return (self.parsed[-1],)


LONG = pod("long", *(f"GPU-{number:036d}" for number in range(9)))  # a length of two bytes


def test_every_pod_is_found() -> None:
    parser = Parser()
    assert parser.pods.read(answer(pod("a", "x"), LONG, pod("b"))) == ("a", "long", "b")
    assert parser.pods.read(b"") == ()


def test_only_what_is_new_is_parsed() -> None:
    parser = Parser()
    first = parser.pods.read(answer(pod("a"), LONG))
    assert parser.pods.read(answer(LONG, pod("a"))) is first
    assert parser.pods.read(answer(pod("a", "x"), LONG, pod("b"))) == ("a", "long", "b")
    assert parser.pods.read(answer(LONG)) == ("long",)
    assert parser.parsed == ["a", "long", "a", "b"]


def test_a_pod_that_is_listed_twice_is_told_twice() -> None:
    assert Parser().pods.read(answer(pod("a"), pod("a"))) == ("a", "a")


@pytest.mark.parametrize(
    "broken", [answer(LONG)[:-1], answer(LONG)[:2], b"\x0a", b"\x12\x01a", answer(pod("a")) + b"\x10\x01"]
)
def test_what_is_no_list_of_pods_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|beside the pods"):
        list(messages(broken))
