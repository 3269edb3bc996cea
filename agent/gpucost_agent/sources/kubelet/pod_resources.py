"""The kubelet's pod-resources socket: which container holds which device ids. The only importer of grpc here."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError
from gpucost.clock import Clock
from gpucost.kubelet.v1 import api_pb2
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import Allocation, DeviceId, HoldingReading
from gpucost_agent.sources.kubelet.allocations import Ids, ListedContainer, Names, PodName, put_together
from gpucost_agent.sources.kubelet.claims import ClaimFiles, ListedDevice
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.kubelet_files import GivenIds, KubeletCheckpoint
from gpucost_agent.sources.kubelet.listed_pods import ListedPods

Answer = TypeVar("Answer", api_pb2.ListPodResourcesResponse, api_pb2.AllocatableResourcesResponse)

TIMEOUT_S = 5.0
_LARGEST_ANSWER_BYTES = 16 << 20  # what the kubelet's own clients allow
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES),
    # Servers in Go refuse an authority that is a socket's path.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    # A new channel would share the connection of one that was closed a moment ago, and so the kubelet that is gone.
    ("grpc.use_local_subchannel_pool", 1),
    # Measuring how much a Unix socket holds would wake gRPC's threads once more between two answers.
    ("grpc.http2.bdp_probe", 0),
)
_LIST = "/v1.PodResourcesLister/List"
_ALLOCATABLE = "/v1.PodResourcesLister/GetAllocatableResources"
_NOTHING_ASKED = b""
"""Both requests have no fields."""
_OFFERED_EVERY_NS = 10 * NS_PER_SECOND
"""
The kubelet writes its checkpoint when a device plugin offers other devices, so what it could give is asked for then;
this often in any case, and at each reading where there is no checkpoint.
"""
_REASONS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the kubelet's rate limit for this socket is used up",
    grpc.StatusCode.UNAVAILABLE: "the kubelet does not answer on its socket",
    grpc.StatusCode.DEADLINE_EXCEEDED: f"the kubelet did not answer within {TIMEOUT_S:g} s",
    grpc.StatusCode.UNIMPLEMENTED: "the kubelet does not know the pod-resources API v1 (Kubernetes has it since 1.20)",
}


class NotPermitted(Retry):
    """The socket is there and may not be used. While running it is a Retry; a check may end with it."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """
    Where the files lie that say what the socket does not; without them everything listed is still known.

    *host_root* is where the host's root is mounted, *proc_root* the host's /proc. *names* tells of a pod's UID which
    pod of this node that is.
    """

    host_root: Path
    proc_root: Path
    names: Names


NO_FILES = NodeFiles(Path("/nonexistent"), Path("/nonexistent"), lambda _: None)


@dataclass(frozen=True, slots=True)
class _PutTogether:
    """Allocations, and what they were put together of."""

    containers: tuple[ListedContainer, ...]
    given: tuple[GivenIds, ...]
    ids: Ids
    looked_up: tuple[list[PodName | None], list[tuple[DeviceId, ...]]]
    allocations: tuple[Allocation, ...]


class PodResources:
    """
    Asks the kubelet of this node. For one thread.

    *known* is asked at each reading for what the driver shows, as MIG devices come and go. *extra_resources* are
    names of resources that are GPUs beside the known ones.
    """

    def __init__(
        self,
        socket: Path,
        known: Callable[[], KnownGpus],
        clock: Clock,
        files: NodeFiles = NO_FILES,
        extra_resources: Collection[str] = (),
    ) -> None:
        self._socket = socket
        self._known = known
        self._clock = clock
        self._names = files.names
        self._checkpoint = KubeletCheckpoint(files.host_root)
        self._claims = ClaimFiles(files.host_root, files.proc_root)
        self._ids = Ids(KnownGpus(), frozenset(extra_resources))
        self._listed = ListedPods(lambda message: _containers(api_pb2.PodResources.FromString(message)))
        self._offered: dict[str, tuple[str, ...]] | None = None
        self._offered_as_of: int | None = None
        self._offered_due_ns = 0
        self._put_together: _PutTogether | None = None
        self._channel: grpc.Channel | None = None
        self._dialled: tuple[int, int] | None = None

    def read(self) -> HoldingReading:
        """
        One look at all holders; blocks for two timeouts at most.

        Raises Retry, with the reason in words, if the kubelet can not be asked; NotPermitted if it may not be.
        """
        try:
            channel = self._dial()
            containers = self._list(channel)
        except Retry:
            # What changed is no reason to ask a kubelet that does not answer any faster.
            self._checkpoint.read()
            raise
        read_at = self._clock.now()
        ids = self._ids = self._ids.among(self._known())
        # After the list, so that whatever is listed was written down before: its instant is then in the file's time.
        given = self._checkpoint.read() or ()

        return HoldingReading(
            read_at,
            self._allocations(containers, given, ids),
            self._allocatable(channel, ids),
            self._checkpoint.written_at_ns,
            self._claims.hidden_from(
                any(container.claimed for container in containers), lambda uid: self._names(uid) is not None
            ),
        )

    @property
    def changed(self) -> bool:
        """
        Whether the kubelet wrote down an allocation since the last reading, so that one now would date it well.

        One look at a file; may be asked many times a second. Raises nothing.
        """
        return self._checkpoint.changed

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
        except OSError as error:
            self.close()
            raise Retry(f"the kubelet's socket {self._socket}: {error.strerror}") from error
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

    def _allocations(
        self, containers: tuple[ListedContainer, ...], given: tuple[GivenIds, ...], ids: Ids
    ) -> tuple[Allocation, ...]:
        """Who holds what; the same object while all that it is put together of is the same."""
        claims = {
            id(each): self._claims.device_ids(each.claimed, ids.known) for each in containers if each.claimed
        }
        looked_up = ([self._names(entry.pod_uid) for entry in given], list(claims.values()))
        before = self._put_together
        if before is None or not (
            before.containers is containers
            and before.given is given
            and before.ids is ids
            and before.looked_up == looked_up
        ):
            found = put_together(
                containers, given, self._names, ids, lambda container: claims.get(id(container), ())
            )
            self._put_together = before = _PutTogether(containers, given, ids, looked_up, found)
        return before.allocations

    def _list(self, channel: grpc.Channel) -> tuple[ListedContainer, ...]:
        answer = self._ask(channel, _LIST)
        try:
            return self._listed.read(answer)
        except ValueError:
            # A newer kubelet may say more than which pods there are.
            return tuple(containers_of(_parsed(api_pb2.ListPodResourcesResponse, answer)))
        except DecodeError as error:
            raise Retry(f"the kubelet's list can not be read: {error}") from error

    def _allocatable(self, channel: grpc.Channel, ids: Ids) -> tuple[DeviceId, ...] | None:
        now_ns, as_of = self._clock.now().monotonic_ns, self._checkpoint.written_at_ns
        if as_of is None or as_of != self._offered_as_of or now_ns >= self._offered_due_ns:
            self._offered = self._offered_now(channel)
            self._offered_as_of = as_of if self._offered is not None else None
            self._offered_due_ns = now_ns + _OFFERED_EVERY_NS
        return None if self._offered is None else ids.of(self._offered)

    def _offered_now(self, channel: grpc.Channel) -> dict[str, tuple[str, ...]] | None:
        try:
            answer = self._ask(channel, _ALLOCATABLE)
            return _by_resource(_parsed(api_pb2.AllocatableResourcesResponse, answer).devices)
        except Retry:
            return None

    def _ask(self, channel: grpc.Channel, method: str) -> bytes:
        """The answer as it came: what is in it is mostly known already. Raises Retry."""
        try:
            answer: bytes = channel.unary_unary(method, bytes, bytes)(_NOTHING_ASKED, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._retry(error) from error
        return answer

    def _retry(self, error: grpc.RpcError) -> Retry:
        code = error.code()
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            # gRPC alone would wait up to two minutes between its attempts to connect.
            self.close()
        return Retry(f"{_REASONS.get(code, f'the kubelet answered {code.name}')}: {error.details()}")


def containers_of(listed: api_pb2.ListPodResourcesResponse) -> Iterator[ListedContainer]:
    """The containers of all pods that are listed, in the kubelet's order, with and without devices."""
    for pod in listed.pod_resources:
        yield from _containers(pod)


def _containers(pod: api_pb2.PodResources) -> tuple[ListedContainer, ...]:
    return tuple(
        ListedContainer(
            pod.namespace,
            pod.name,
            container.name,
            _by_resource(container.devices),
            tuple(
                ListedDevice(
                    resource.claim_namespace,
                    resource.claim_name,
                    claim.driver_name,
                    claim.pool_name,
                    claim.device_name,
                    tuple(device.name for device in claim.cdi_devices),
                )
                for resource in container.dynamic_resources
                for claim in resource.claim_resources
            ),
        )
        for container in pod.containers
    )


def _parsed(message: type[Answer], answer: bytes) -> Answer:
    try:
        return message.FromString(answer)
    except DecodeError as error:
        raise Retry(f"the kubelet's answer can not be read: {error}") from error


def _by_resource(devices: Iterable[api_pb2.ContainerDevices]) -> dict[str, tuple[str, ...]]:
    """Ids by resource, each once: the kubelet repeats an id for each NUMA node of its device."""
    found: dict[str, dict[str, None]] = {}
    for entry in devices:
        found.setdefault(entry.resource_name, {}).update(dict.fromkeys(entry.device_ids))
    return {resource: tuple(ids) for resource, ids in found.items()}


def _forbidden(socket: Path) -> str:
    return (
        f"no permission for the kubelet's socket {socket}: its folder belongs to root with mode 0750, so the agent "
        "has to run as uid 0 (it needs no capability and no writable mount for that)"
    )
