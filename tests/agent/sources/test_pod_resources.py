"""The kubelet's socket, against a simulated kubelet and against one that answers as it is told."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from gpucost.identity import Device
from gpucost.kubelet.v1 import api_pb2
from gpucost.kubelet.v1.api_pb2_grpc import (
    PodResourcesListerServicer,
    add_PodResourcesListerServicer_to_server,
)
from gpucost.trouble import Retry

from contracts.hand_clock import HandClock
from contracts.source_contract import check_holdings
from gpucost_agent.readings import Allocation, DeviceId, Gpu
from gpucost_agent.sources.device_ids import KnownGpus
from gpucost_agent.sources.pod_resources import PodResources, allocations
from simnode.kubelet import Kubelet, ListedContainer, ListedPod

ROOT = Path(__file__).resolve().parents[3]
A = "GPU-00000000-0000-0000-0000-00000000000a"
B = "GPU-00000000-0000-0000-0000-00000000000b"
GPU = "nvidia.com/gpu"
KNOWN = KnownGpus(gpus=(Gpu(A, 0, 0, "NVIDIA L4", None), Gpu(B, 1, 1, "NVIDIA L4", None)))


@pytest.fixture
def socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(
        prefix="kubelet-"
    ) as folder:  # short: a socket's path has 107 bytes at most
        yield Path(folder) / "kubelet" / "kubelet.sock"


@pytest.fixture
def source(socket: Path) -> Iterator[PodResources]:
    made = PodResources(socket, lambda: KNOWN, HandClock())
    yield made
    made.close()


class Simulated:
    def __init__(self, socket: Path) -> None:
        self.pods: list[ListedPod] = []
        self.kubelet = Kubelet(socket, lambda: self.pods, [f"{A}::0", f"{A}::1", B])


@pytest.fixture
def simulated(socket: Path) -> Iterator[Simulated]:
    made = Simulated(socket)
    made.kubelet.start()
    yield made
    made.kubelet.stop()


def pod(name: str, *ids: str) -> ListedPod:
    return ListedPod("ns", name, (ListedContainer("main", ids), ListedContainer("sidecar", ())))


def test_holders_and_what_the_kubelet_could_give(simulated: Simulated, source: PodResources) -> None:
    simulated.pods = [pod("whole", B), pod("shared", f"{A}::1", "bogus"), pod("none")]
    reading = source.read()
    check_holdings(reading)
    bogus = DeviceId(GPU, "bogus", None)
    replica = DeviceId(GPU, f"{A}::1", Device(A), 1)
    assert reading.allocations == (
        Allocation("ns", "whole", "main", (DeviceId(GPU, B, Device(B)),)),
        Allocation("ns", "shared", "main", (replica, bogus)),
    )
    assert reading.allocatable == (
        DeviceId(GPU, f"{A}::0", Device(A), 0),
        replica,
        DeviceId(GPU, B, Device(B)),
    )


def test_a_kubelet_that_restarts_is_dialled_again(
    simulated: Simulated, source: PodResources, socket: Path
) -> None:
    source.read()
    simulated.kubelet.stop()
    with pytest.raises(Retry, match="no kubelet socket"):
        source.read()
    simulated.kubelet.start()
    simulated.pods = [pod("after", B)]
    assert [allocation.pod for allocation in source.read().allocations] == ["after"]


def test_a_new_socket_is_dialled_though_the_old_one_was_never_missed(
    simulated: Simulated, source: PodResources
) -> None:
    source.read()
    simulated.kubelet.stop()
    simulated.kubelet.start()
    simulated.pods = [pod("after", B)]
    assert [allocation.pod for allocation in source.read().allocations] == ["after"]


def test_a_new_socket_is_dialled_though_the_old_one_still_answers(
    simulated: Simulated, source: PodResources, socket: Path
) -> None:
    simulated.pods = [pod("old", B)]
    source.read()
    after = Simulated(socket)
    after.pods = [pod("new", B)]
    after.kubelet.start()
    try:
        assert [allocation.pod for allocation in source.read().allocations] == ["new"]
    finally:
        after.kubelet.stop()
        socket.touch()  # the old kubelet wants to find one when it ends


def test_a_socket_without_a_kubelet_is_asked_again_later(source: PodResources, socket: Path) -> None:
    socket.parent.mkdir()
    socket.touch()
    with pytest.raises(Retry, match="does not answer"):
        source.read()
    socket.unlink()
    kubelet = Simulated(socket).kubelet
    kubelet.start()
    try:
        assert source.read().allocations == ()
    finally:
        kubelet.stop()


def test_no_folder_is_no_socket(source: PodResources) -> None:
    with pytest.raises(Retry, match="not mounted"):
        source.read()


AS_NOBODY = """
import os, pathlib, sys
from gpucost_agent.sources.pod_resources import NotPermitted, PodResources
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    PodResources(pathlib.Path(sys.argv[1]), None, None).read()
except NotPermitted as trouble:
    print(trouble)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_no_permission_is_a_trouble_of_its_own(socket: Path) -> None:
    socket.parent.mkdir()
    socket.touch()
    for folder, mode in ((socket.parent, 0o750), (socket.parent, 0o755)):
        folder.parent.chmod(0o755)
        folder.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(socket)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "proto", ROOT / "agent")))},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert "uid 0" in done.stdout


class Told(PodResourcesListerServicer):
    """Answers as it is told."""

    def __init__(self) -> None:
        self.listed = api_pb2.ListPodResourcesResponse()
        self.list_code: grpc.StatusCode | None = None
        self.allocatable_code: grpc.StatusCode | None = None

    def List(  # noqa: N802 - gRPC's names
        self,
        request: Any,
        context: grpc.ServicerContext,
    ) -> api_pb2.ListPodResourcesResponse:
        if self.list_code is not None:
            context.abort(self.list_code, "as the test wants it")
        return self.listed

    def GetAllocatableResources(  # noqa: N802
        self,
        request: Any,
        context: grpc.ServicerContext,
    ) -> api_pb2.AllocatableResourcesResponse:
        if self.allocatable_code is not None:
            context.abort(self.allocatable_code, "as the test wants it")
        return api_pb2.AllocatableResourcesResponse()


@pytest.fixture
def told(socket: Path) -> Iterator[Told]:
    socket.parent.mkdir()
    servicer = Told()
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_PodResourcesListerServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    yield servicer
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit"),
        (grpc.StatusCode.UNAVAILABLE, "does not answer"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "within 5 s"),
        (grpc.StatusCode.UNIMPLEMENTED, "1.20"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
def test_every_refusal_may_work_later_and_says_why(
    told: Told, source: PodResources, code: grpc.StatusCode, says: str
) -> None:
    told.list_code = code
    with pytest.raises(Retry, match=says):
        source.read()
    told.list_code = None
    assert source.read().allocations == ()


def test_a_kubelet_that_does_not_say_what_it_could_give(told: Told, source: PodResources) -> None:
    assert source.read().allocatable == ()
    told.allocatable_code = grpc.StatusCode.UNIMPLEMENTED
    assert source.read().allocatable is None


def test_the_rate_limit_is_a_retry(simulated: Simulated, source: PodResources) -> None:
    def exhausts() -> bool:
        try:
            source.read()
        except Retry as trouble:
            return "rate limit" in str(trouble)
        return False

    assert any(exhausts() for _ in range(1_000))


def listed(container: api_pb2.ContainerResources) -> tuple[DeviceId, ...]:
    pods = [api_pb2.PodResources(name="p", namespace="ns", containers=[container])]
    found = allocations(api_pb2.ListPodResourcesResponse(pod_resources=pods), KNOWN)
    return found[0].devices if found else ()


def devices(resource: str, *ids: str) -> api_pb2.ContainerDevices:
    return api_pb2.ContainerDevices(resource_name=resource, device_ids=ids)


def test_a_device_of_two_numa_nodes_is_held_once() -> None:
    container = api_pb2.ContainerResources(name="c", devices=[devices(GPU, A), devices(GPU, A)])
    assert listed(container) == (DeviceId(GPU, A, Device(A)),)


def test_other_resources_are_no_gpus() -> None:
    container = api_pb2.ContainerResources(
        name="c", devices=[devices("rdma/hca", "7"), devices("amd.com/gpu", "x")]
    )
    assert listed(container) == ()


def claim(*names: str, driver: str = "gpu.nvidia.com") -> api_pb2.DynamicResource:
    resources = [
        api_pb2.ClaimResource(driver_name=driver, pool_name="node", device_name=name) for name in names
    ]
    return api_pb2.DynamicResource(claim_name="c", claim_namespace="ns", claim_resources=resources)


def test_the_devices_of_claims_are_held_once_each() -> None:
    resources = [claim("gpu-1", "gpu-1"), claim("gpu-1", "gpu-9"), claim("gpu-0", driver="gpu.example.com")]
    container = api_pb2.ContainerResources(name="c", dynamic_resources=resources)
    assert listed(container) == (
        DeviceId("gpu.nvidia.com", "gpu-1", Device(B)),
        DeviceId("gpu.nvidia.com", "gpu-9", None),
    )


def test_what_the_driver_shows_is_asked_at_each_reading(simulated: Simulated, socket: Path) -> None:
    shown: list[KnownGpus] = [KnownGpus(), KNOWN]
    known: Callable[[], KnownGpus] = lambda: shown.pop(0)  # noqa: E731 - a name for its type
    source = PodResources(socket, known, HandClock())
    simulated.pods = [pod("whole", B)]
    found = [source.read().allocations[0].devices[0].device for _ in range(2)]
    source.close()
    assert found == [None, Device(B)]
