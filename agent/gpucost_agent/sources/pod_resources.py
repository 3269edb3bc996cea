"""The kubelet's pod-resources socket: which container holds which device ids. The only importer of grpc here."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc
from gpucost.clock import Clock
from gpucost.kubelet.v1 import api_pb2
from gpucost.kubelet.v1.api_pb2_grpc import PodResourcesListerStub
from gpucost.trouble import Retry

from gpucost_agent.readings import Allocation, DeviceId, HoldingReading
from gpucost_agent.sources.device_ids import KnownGpus, claim_device_id, device_id

TIMEOUT_S = 5.0
_LARGEST_ANSWER_BYTES = 16 << 20  # what the kubelet's own clients allow
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES),
    # Servers in Go refuse an authority that is a socket's path.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    # A new channel would share the connection of one that was closed a moment ago, and so the kubelet that is gone.
    ("grpc.use_local_subchannel_pool", 1),
)
_REASONS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the kubelet's rate limit for this socket is used up",
    grpc.StatusCode.UNAVAILABLE: "the kubelet does not answer on its socket",
    grpc.StatusCode.DEADLINE_EXCEEDED: f"the kubelet did not answer within {TIMEOUT_S:g} s",
    grpc.StatusCode.UNIMPLEMENTED: "the kubelet does not know the pod-resources API v1 (Kubernetes has it since 1.20)",
}


class NotPermitted(Retry):
    """The socket is there and may not be used. While running it is a Retry; a check may end with it."""


class PodResources:
    """
    Asks the kubelet of this node. For one thread.

    *known* is asked at each reading for what the driver shows, as MIG devices come and go.
    """

    def __init__(self, socket: Path, known: Callable[[], KnownGpus], clock: Clock) -> None:
        self._socket = socket
        self._known = known
        self._clock = clock
        self._channel: grpc.Channel | None = None
        self._dialled: tuple[int, int] | None = None

    def read(self) -> HoldingReading:
        """
        One look at all holders; blocks for two timeouts at most.

        Raises Retry, with the reason in words, if the kubelet can not be asked; NotPermitted if it may not be.
        """
        stub = PodResourcesListerStub(self._dial())  # type: ignore[no-untyped-call]
        try:
            listed = stub.List(api_pb2.ListPodResourcesRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._retry(error) from error
        read_at = self._clock.now()
        known = self._known()
        return HoldingReading(read_at, allocations(listed, known), self._allocatable(stub, known))

    def close(self) -> None:
        """Hangs up; the next reading dials again."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._dialled = None

    def _dial(self) -> grpc.Channel:
        try:
            found = self._socket.stat()
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            raise Retry(
                f"no kubelet socket at {self._socket}: the kubelet is starting, or its folder is not mounted"
            ) from None
        except PermissionError:
            self.close()
            raise NotPermitted(_forbidden(self._socket)) from None
        if not os.access(self._socket, os.W_OK):
            self.close()
            raise NotPermitted(_forbidden(self._socket))
        # A restarted kubelet makes a new socket at the same path; the old one stays connectable for nobody.
        inode = (found.st_dev, found.st_ino)
        if self._channel is None or inode != self._dialled:
            self.close()
            self._channel = grpc.insecure_channel(f"unix:{self._socket}", options=_OPTIONS)
            self._dialled = inode
        return self._channel

    def _allocatable(self, stub: PodResourcesListerStub, known: KnownGpus) -> tuple[DeviceId, ...] | None:
        try:
            answer = stub.GetAllocatableResources(api_pb2.AllocatableResourcesRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            self._retry(error)
            return None
        return plugin_ids(answer.devices, known)

    def _retry(self, error: grpc.RpcError) -> Retry:
        code = error.code()
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            # gRPC alone would wait up to two minutes between its attempts to connect.
            self.close()
        return Retry(f"{_REASONS.get(code, f'the kubelet answered {code.name}')}: {error.details()}")


def allocations(listed: api_pb2.ListPodResourcesResponse, known: KnownGpus) -> tuple[Allocation, ...]:
    """The containers that hold GPUs, each id once: the kubelet repeats an id for each NUMA node of its device."""
    return tuple(
        Allocation(pod.namespace, pod.name, container.name, devices)
        for pod in listed.pod_resources
        for container in pod.containers
        if (devices := plugin_ids(container.devices, known) + _claimed(container.dynamic_resources, known))
    )


def plugin_ids(devices: Iterable[api_pb2.ContainerDevices], known: KnownGpus) -> tuple[DeviceId, ...]:
    """The GPUs among the ids of device plugins, each once, in the kubelet's order."""
    ids = dict.fromkeys((entry.resource_name, raw) for entry in devices for raw in entry.device_ids)
    return tuple(found for resource, raw in ids if (found := device_id(resource, raw, known)) is not None)


def _claimed(resources: Iterable[api_pb2.DynamicResource], known: KnownGpus) -> tuple[DeviceId, ...]:
    """
    The GPUs of a container's claims, each once.

    A kubelet repeats a device when pods that share a claim start together, and names every device of a claim for
    every container that refers to it.
    """
    claimed = dict.fromkeys(
        (claim.driver_name, claim.pool_name, claim.device_name)
        for resource in resources
        for claim in resource.claim_resources
    )
    return tuple(
        found for driver, _, name in claimed if (found := claim_device_id(driver, name, known)) is not None
    )


def _forbidden(socket: Path) -> str:
    return (
        f"no permission for the kubelet's socket {socket}: its folder belongs to root with mode 0750, so the agent "
        "has to run as uid 0 (it needs no capability and no writable mount for that)"
    )
