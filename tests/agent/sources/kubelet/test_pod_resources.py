"""The kubelet's socket, against a simulated kubelet and against one that answers as it is told."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from gpucost.identity import Device
from gpucost.kubelet.v1 import api_pb2
from gpucost.kubelet.v1.api_pb2_grpc import (
    PodResourcesListerServicer,
    add_PodResourcesListerServicer_to_server,
)
from gpucost.trouble import Retry

from contracts.another_user import as_another
from contracts.hand_clock import HandClock
from contracts.source_contract import check_holdings
from gpucost_agent.readings import Allocation, DeviceId, Gpu
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.kubelet_files import CHECKPOINT
from gpucost_agent.sources.kubelet.pod_resources import NodeFiles, PodResources
from simnode.kubelet import Kubelet, ListedContainer, ListedPod

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


IMPORTS = """
import pathlib, sys
from gpucost_agent.sources.kubelet.pod_resources import NotPermitted, PodResources
"""
READS = """
try:
    PodResources(pathlib.Path(sys.argv[1]), None, None).read()
except NotPermitted as trouble:
    print(trouble)
"""


def test_no_permission_is_a_trouble_of_its_own(socket: Path) -> None:
    socket.parent.mkdir()
    socket.touch()
    # Its owner, who is asked where nobody here is root, may neither enter such a folder nor write to such a socket.
    socket.chmod(0o444)
    socket.parent.parent.chmod(0o755)
    for mode in (0o640, 0o755):
        socket.parent.chmod(mode)
        assert "uid 0" in as_another(IMPORTS, READS, socket)


class Told(PodResourcesListerServicer):
    """Answers as it is told."""

    def __init__(self) -> None:
        self.listed = api_pb2.ListPodResourcesResponse()
        self.listing: Callable[[], None] = lambda: None
        self.list_code: grpc.StatusCode | None = None
        self.allocatable_code: grpc.StatusCode | None = None

    def list(self, *containers: api_pb2.ContainerResources) -> None:
        pods = [api_pb2.PodResources(name="p", namespace="ns", containers=containers)]
        self.listed = api_pb2.ListPodResourcesResponse(pod_resources=pods)

    def List(  # noqa: N802 - gRPC's names
        self,
        request: Any,
        context: grpc.ServicerContext,
    ) -> api_pb2.ListPodResourcesResponse:
        if self.list_code is not None:
            context.abort(self.list_code, "as the test wants it")
        self.listing()
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


@pytest.fixture
def listed(told: Told, source: PodResources) -> Callable[[api_pb2.ContainerResources], tuple[DeviceId, ...]]:
    """What a container holds, if this is listed of it."""

    def asked(container: api_pb2.ContainerResources) -> tuple[DeviceId, ...]:
        told.list(container)
        found = source.read().allocations
        return found[0].devices if found else ()

    return asked


Listed: TypeAlias = Callable[[api_pb2.ContainerResources], tuple[DeviceId, ...]]


def devices(resource: str, *ids: str) -> api_pb2.ContainerDevices:
    return api_pb2.ContainerDevices(resource_name=resource, device_ids=ids)


def test_a_device_of_two_numa_nodes_is_held_once(listed: Listed) -> None:
    container = api_pb2.ContainerResources(name="c", devices=[devices(GPU, A), devices(GPU, A)])
    assert listed(container) == (DeviceId(GPU, A, Device(A)),)


def test_other_resources_are_no_gpus(listed: Listed) -> None:
    container = api_pb2.ContainerResources(
        name="c", devices=[devices("rdma/hca", "7"), devices("amd.com/gpu", "x")]
    )
    assert listed(container) == ()


def claim(*names: str, driver: str = "gpu.nvidia.com") -> api_pb2.DynamicResource:
    resources = [
        api_pb2.ClaimResource(driver_name=driver, pool_name="node", device_name=name) for name in names
    ]
    return api_pb2.DynamicResource(claim_name="c", claim_namespace="ns", claim_resources=resources)


def test_the_devices_of_claims_are_held_once_each(listed: Listed) -> None:
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


class Host:
    """A host's files, and a kubelet that lists one pod ``p`` whose UID is ``u1``."""

    def __init__(self, root: Path, socket: Path) -> None:
        self.root = root
        self.names = {"u1": ("ns", "p"), "u2": ("ns", "gone")}
        files = NodeFiles(root, root / "proc", self.names.get)
        self.source = PodResources(socket, lambda: KNOWN, HandClock(), files, {"example.com/gpu"})

    def give(self, *entries: tuple[str, str, str], at_ns: int = 1_800_000_000_000_000_007) -> None:
        data = [
            {"PodUID": uid, "ContainerName": container, "ResourceName": GPU, "DeviceIDs": {"0": [raw]}}
            for uid, container, raw in entries
        ]
        self.write(CHECKPOINT, {"Data": {"PodDeviceEntries": data}}, at_ns)

    def write(self, path: Path | str, content: Any, at_ns: int = 1) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name("aside")
        aside.write_text(json.dumps(content))
        os.utime(aside, ns=(at_ns, at_ns))
        aside.replace(file)


@pytest.fixture
def host(tmp_path: Path, socket: Path) -> Iterator[Host]:
    made = Host(tmp_path, socket)
    yield made
    made.source.close()


def test_the_kubelets_own_file_adds_uids_init_containers_and_when(told: Told, host: Host) -> None:
    told.list(api_pb2.ContainerResources(name="main", devices=[devices(GPU, A)]))
    assert host.source.read().changed_at_ns is None
    assert not host.source.changed
    host.give(("u1", "main", A), ("u1", "setup", B), ("u2", "main", B))
    assert host.source.changed
    reading = host.source.read()
    check_holdings(reading)
    assert reading.allocations == (
        Allocation("ns", "p", "main", (DeviceId(GPU, A, Device(A)),), "u1"),
        Allocation("ns", "p", "setup", (DeviceId(GPU, B, Device(B)),), "u1", listed=False),
    )
    assert reading.changed_at_ns == 1_800_000_000_000_000_007
    assert not host.source.changed


def test_a_kubelet_that_does_not_answer_is_asked_no_faster_for_a_change(told: Told, host: Host) -> None:
    told.list(api_pb2.ContainerResources(name="main", devices=[devices(GPU, A)]))
    host.give(("u1", "main", A))
    told.list_code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(Retry):
        host.source.read()
    assert not host.source.changed
    told.list_code = None
    assert host.source.read().changed_at_ns == 1_800_000_000_000_000_007


def test_what_is_listed_was_written_down_before_the_file_is_read(told: Told, host: Host) -> None:
    """An allocation between the two would else be dated by the one before it."""
    told.list(api_pb2.ContainerResources(name="main", devices=[devices(GPU, A)]))
    told.listing = lambda: host.give(("u1", "main", A), at_ns=1_800_000_000_000_000_042)
    assert host.source.read().changed_at_ns == 1_800_000_000_000_000_042


def test_a_claims_device_is_the_one_that_the_driver_prepared(told: Told, host: Host) -> None:
    device = {"gpu": {"info": {"uuid": A}, "device": {"DeviceName": "gpu-1", "PoolName": "node"}}}
    prepared = {"preparedDevices": [{"devices": [device]}], "status": {"reservedFor": [{"uid": "u1"}]}}
    host.write(
        "var/lib/kubelet/plugins/gpu.nvidia.com/checkpoint.json",
        {"v2": {"preparedClaims": {"claim": {**prepared, "namespace": "ns", "name": "c"}}}},
    )
    told.list(api_pb2.ContainerResources(name="main", dynamic_resources=[claim("gpu-1")]))
    reading = host.source.read()
    assert reading.allocations[0].devices == (DeviceId("gpu.nvidia.com", "gpu-1", Device(A)),)
    assert not reading.claims_hidden
    told.list(api_pb2.ContainerResources(name="main"))
    assert host.source.read().claims_hidden
    host.names.clear()
    assert not host.source.read().claims_hidden


def test_an_administrators_resources_are_gpus(told: Told, host: Host) -> None:
    told.list(api_pb2.ContainerResources(name="main", devices=[devices("example.com/gpu", "1")]))
    assert host.source.read().allocations[0].devices == (DeviceId("example.com/gpu", "1", Device(B)),)
