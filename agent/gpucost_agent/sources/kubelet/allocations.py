"""
Who holds what, put together of what the kubelet lists and what its checkpoint says: pure.

The list is the truth about which pods there are; it leaves out ordinary init containers and pods' UIDs. The
checkpoint has both, and beside them entries of pods that are gone, which hold nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gpucost_agent.readings import Allocation, DeviceId
from gpucost_agent.sources.kubelet.claims import ListedDevice
from gpucost_agent.sources.kubelet.device_ids import KnownGpus, device_ids
from gpucost_agent.sources.kubelet.kubelet_files import GivenIds

PodName: TypeAlias = tuple[str, str]
"""Namespace and name."""

Names: TypeAlias = Callable[[str], PodName | None]
"""
Namespace and name of the pod of a UID that is on this node and has not ended; None for any other. Does not block.

The UID of a static pod is here its manifest's hash, as the kubelet writes it.
"""

_MOST_ANSWERS = 1_024
"""Each container that holds something has one, and pods come and go."""


@dataclass(frozen=True, slots=True)
class ListedContainer:
    """A container as the kubelet lists it, with or without devices; ids by resource, each once."""

    namespace: str
    pod: str
    name: str
    ids: Mapping[str, tuple[str, ...]]
    claimed: tuple[ListedDevice, ...] = ()


class Ids:
    """How ids are read: what the driver shows, and names of further resources that are GPUs. Remembers answers."""

    def __init__(self, known: KnownGpus, extra_resources: Collection[str] = ()) -> None:
        self.known = known
        self._extra_resources = extra_resources
        self._answers: dict[tuple[tuple[str, tuple[str, ...]], ...], tuple[DeviceId, ...]] = {}

    def among(self, known: KnownGpus) -> "Ids":
        """The same among what the driver shows now."""
        return self if known == self.known else Ids(known, self._extra_resources)

    def of(self, by_resource: Mapping[str, tuple[str, ...]]) -> tuple[DeviceId, ...]:
        """The GPUs among a container's ids."""
        if not by_resource:
            return ()
        key = tuple(by_resource.items())
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            ids = ((resource, raw) for resource, each in key for raw in each)
            answer = self._answers[key] = device_ids(ids, self.known, self._extra_resources)
        return answer


def put_together(
    listed: Iterable[ListedContainer],
    given: Collection[GivenIds],
    names: Names,
    ids: Ids,
    claimed: Callable[[ListedContainer], tuple[DeviceId, ...]],
) -> tuple[Allocation, ...]:
    """
    The containers that hold GPUs: those listed, in their order, then those that only the checkpoint has.

    *claimed* resolves a container's claims. A pod's UID is told where one pod only can be meant.
    """
    containers = list(listed)
    named = [(pod, entry) for entry in given if (pod := names(entry.pod_uid)) is not None]
    uids = _pod_uids(containers, named)
    found = []
    shown: set[tuple[str, str, str]] = set()
    pods: set[PodName] = set()
    for each in containers:
        pod = (each.namespace, each.pod)
        if pod in uids:
            pods.add(pod)
            shown.add((*pod, each.name))
        if devices := ids.of(each.ids) + claimed(each):
            found.append(Allocation(*pod, each.name, devices, uids.get(pod, "")))
    for pod, entry in named:
        # A pod that the kubelet does not list has ended, whatever else is still there of it.
        if pod not in pods or (*pod, entry.container) in shown or uids[pod] != entry.pod_uid:
            continue
        if devices := ids.of(entry.ids):
            found.append(Allocation(*pod, entry.container, devices, pod_uid=entry.pod_uid, listed=False))
    return tuple(found)


def _pod_uids(
    containers: Iterable[ListedContainer], named: Iterable[tuple[PodName, GivenIds]]
) -> dict[PodName, str]:
    """
    The UIDs of pods by their names; empty where that is not sure.

    Of two pods of one name the one whose ids are listed is meant.
    """
    listed = {(each.namespace, each.pod, each.name): _as_sets(each.ids) for each in containers if each.ids}
    candidates: dict[PodName, set[str]] = {}
    fitting: dict[PodName, set[str]] = {}
    for pod, entry in named:
        candidates.setdefault(pod, set()).add(entry.pod_uid)
        if listed.get((*pod, entry.container)) == _as_sets(entry.ids):
            fitting.setdefault(pod, set()).add(entry.pod_uid)
    return {pod: _only(fitting.get(pod, uids)) for pod, uids in candidates.items()}


def _only(uids: Collection[str]) -> str:
    return next(iter(uids)) if len(uids) == 1 else ""


def _as_sets(ids: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    return {resource: frozenset(each) for resource, each in ids.items()}
