"""Plays the kubelet's pod-resources API on a Unix socket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from simnode.kubelet_v1 import api_pb2

SERVICE = "v1.PodResourcesLister"
RESOURCE = "nvidia.com/gpu"

QUERIES_PER_SECOND = 100
BURST = 10

# sockaddr_un holds 108 bytes with the zero at the end; a socket is first bound under a name this much longer.
SOCKET_PATH_LIMIT = 107 - len(".00000")


@dataclass(frozen=True)
class ListedDevice:
    resource: str
    id: str
    numa_node: int = 0


@dataclass(frozen=True)
class ListedClaimDevice:
    cdi_ids: tuple[str, ...]
    driver: str
    pool: str
    device: str
    share_id: str | None = None


@dataclass(frozen=True)
class ListedClaim:
    name: str
    namespace: str
    devices: tuple[ListedClaimDevice, ...]


@dataclass(frozen=True)
class ListedContainer:
    """*device_ids* is short for devices of nvidia.com/gpu."""

    name: str
    device_ids: tuple[str, ...] = ()
    devices: tuple[ListedDevice, ...] = ()
    claims: tuple[ListedClaim, ...] = ()


@dataclass(frozen=True)
class ListedPod:
    namespace: str
    name: str
    containers: tuple[ListedContainer, ...]


class RateLimit:
    """The kubelet's token bucket: one for all clients of the socket, full at the start."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = monotonic_ns
        self._lock = threading.Lock()
        self._tokens = float(BURST)
        self._last_ns = monotonic_ns()

    def take(self) -> bool:
        with self._lock:
            now_ns = self._clock()
            earned = (now_ns - self._last_ns) * QUERIES_PER_SECOND / 1e9
            self._tokens = min(float(BURST), self._tokens + earned)
            self._last_ns = now_ns
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Kubelet:
    """One node's kubelet.

    `pods` is called on every request, from the server's threads: it must not block, and answers which pods
    are to be listed at that moment. `allocatable` is what the device plugin offers: ids of nvidia.com/gpu
    that never change, or a function that is called like `pods`. Without `has_get`, Get is refused, as by
    kubelets before 1.34. `stop` and `start` may alternate as often as wanted.
    """

    def __init__(
        self,
        socket: Path,
        pods: Callable[[], Sequence[ListedPod]],
        allocatable: Sequence[str] | Callable[[], Sequence[ListedDevice]],
        limit: RateLimit | None = None,
        has_get: bool = True,
    ) -> None:
        if len(os.fsencode(socket)) > SOCKET_PATH_LIMIT:
            raise ValueError(f"{socket}: a path of a Unix socket may have {SOCKET_PATH_LIMIT} bytes at most")
        self.socket = socket
        self._pods = pods
        self._allocatable = allocatable if callable(allocatable) else _always(allocatable)
        self._has_get = has_get
        self._limit = limit or RateLimit()
        self._server: grpc.Server | None = None
        self._starts = 0
        self._old_inode: int | None = None

    @property
    def running(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        if self._server is not None:
            return
        folder = self.socket.parent
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o750)
        server = grpc.server(
            ThreadPoolExecutor(max_workers=2, thread_name_prefix="kubelet"),
            # The kubelet's gRPC, in Go, sends no pings of its own between two calls.
            options=(("grpc.http2.bdp_probe", 0),),
        )
        server.add_generic_rpc_handlers((self._handlers(),))
        # gRPC unlinks by path, late, whatever it once bound: bound under a passing name, it can never
        # take away the socket of the start that follows.
        self._starts += 1
        bound = self.socket.with_name(f"{self.socket.name}.{self._starts}")
        bound.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{bound}")
        bound.chmod(0o755)
        server.start()
        bound.replace(self.socket)
        if self._old_inode is not None:
            os.close(self._old_inode)
            self._old_inode = None
        self._server = server

    def stop(self) -> None:
        if self._server is None:
            return
        # As long as the old inode is held open, the file system cannot give its number to the next socket.
        self._old_inode = os.open(self.socket, os.O_PATH | os.O_CLOEXEC)
        self.socket.unlink()
        self._server.stop(None).wait()
        self._server = None

    def _handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "List": grpc.unary_unary_rpc_method_handler(
                    self._list,
                    request_deserializer=api_pb2.ListPodResourcesRequest.FromString,
                    response_serializer=api_pb2.ListPodResourcesResponse.SerializeToString,
                ),
                "GetAllocatableResources": grpc.unary_unary_rpc_method_handler(
                    self._get_allocatable,
                    request_deserializer=api_pb2.AllocatableResourcesRequest.FromString,
                    response_serializer=api_pb2.AllocatableResourcesResponse.SerializeToString,
                ),
                "Get": grpc.unary_unary_rpc_method_handler(
                    self._get,
                    request_deserializer=api_pb2.GetPodResourcesRequest.FromString,
                    response_serializer=api_pb2.GetPodResourcesResponse.SerializeToString,
                ),
            },
        )

    def _admit(self, context: grpc.ServicerContext) -> None:
        if not self._limit.take():
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")

    def _list(
        self, request: api_pb2.ListPodResourcesRequest, context: grpc.ServicerContext
    ) -> api_pb2.ListPodResourcesResponse:
        self._admit(context)
        return api_pb2.ListPodResourcesResponse(pod_resources=[pod_resources(pod) for pod in self._pods()])

    def _get_allocatable(
        self, request: api_pb2.AllocatableResourcesRequest, context: grpc.ServicerContext
    ) -> api_pb2.AllocatableResourcesResponse:
        self._admit(context)
        return api_pb2.AllocatableResourcesResponse(
            devices=[container_devices(device) for device in self._allocatable()]
        )

    def _get(
        self, request: api_pb2.GetPodResourcesRequest, context: grpc.ServicerContext
    ) -> api_pb2.GetPodResourcesResponse:
        self._admit(context)
        if not self._has_get:
            context.abort(grpc.StatusCode.UNKNOWN, "PodResources API Get method disabled")
        for pod in self._pods():
            if (pod.namespace, pod.name) == (request.pod_namespace, request.pod_name):
                return api_pb2.GetPodResourcesResponse(pod_resources=pod_resources(pod))
        # The kubelet returns a plain Go error here, which gRPC turns into UNKNOWN, not NOT_FOUND.
        context.abort(
            grpc.StatusCode.UNKNOWN, f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        )
        raise AssertionError("abort raises")


def _always(device_ids: Sequence[str]) -> Callable[[], Sequence[ListedDevice]]:
    fixed = [ListedDevice(RESOURCE, device_id) for device_id in device_ids]
    return lambda: fixed


def pod_resources(pod: ListedPod) -> api_pb2.PodResources:
    return api_pb2.PodResources(
        name=pod.name,
        namespace=pod.namespace,
        containers=[container_resources(container) for container in pod.containers],
    )


def container_resources(container: ListedContainer) -> api_pb2.ContainerResources:
    short = [ListedDevice(RESOURCE, id_) for id_ in container.device_ids]
    return api_pb2.ContainerResources(
        name=container.name,
        devices=[container_devices(device) for device in (*short, *container.devices)],
        dynamic_resources=[dynamic_resource(claim) for claim in container.claims],
    )


def container_devices(device: ListedDevice) -> api_pb2.ContainerDevices:
    """One entry per device with one id, as real kubelets answer, though the message could hold many."""
    return api_pb2.ContainerDevices(
        resource_name=device.resource,
        device_ids=[device.id],
        topology=api_pb2.TopologyInfo(nodes=[api_pb2.NUMANode(ID=device.numa_node)]),
    )


def dynamic_resource(claim: ListedClaim) -> api_pb2.DynamicResource:
    return api_pb2.DynamicResource(
        claim_name=claim.name,
        claim_namespace=claim.namespace,
        claim_resources=[
            api_pb2.ClaimResource(
                cdi_devices=[api_pb2.CDIDevice(name=name) for name in device.cdi_ids],
                driver_name=device.driver,
                pool_name=device.pool,
                device_name=device.device,
                share_id=device.share_id,
            )
            for device in claim.devices
        ],
    )
