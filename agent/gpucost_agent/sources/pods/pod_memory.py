"""The pods of a node as a list and the events after it tell them, and for a while those that are gone."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from gpucost.clock import Instant
from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import Pod
from gpucost_agent.sources.pods.exporter_pod import exporter_url
from gpucost_agent.sources.pods.pod_objects import Json, parse_pod

REMEMBERED_NS = 300 * NS_PER_SECOND
"""So long a deleted pod is remembered: windows close late, and the driver names processes that have ended."""


class PodMemory:
    """
    What is known of a node's pods, by UID, as a pod of the same name may follow at once. For one thread.

    *malformed* counts objects that are no pods; they are left out. Raises nothing.
    """

    def __init__(self, kept: Collection[str]) -> None:
        self._kept = frozenset(kept)
        self._pods: dict[str, Pod] = {}
        self._gone: dict[str, tuple[int, Pod]] = {}
        self._exporters: dict[str, str] = {}
        self.malformed = 0

    @property
    def dcgm_url(self) -> str:
        """Where the node's dcgm-exporter answers; empty if no pod is one. Of several the first by UID."""
        return min(self._exporters.items(), default=("", ""))[1]

    def replace(self, objects: Iterable[Json], now: Instant) -> None:
        """Takes a list for the whole truth: who is not in it is gone."""
        listed = {pod.uid: pod for entry in objects if (pod := self._parsed(entry)) is not None}
        for uid in self._pods.keys() - listed.keys():
            self._bury(self._pods[uid], now)
        self._pods = listed
        self._exporters = {uid: url for uid, url in self._exporters.items() if uid in listed}

    def put(self, entry: Json) -> None:
        """A pod is new or changed."""
        if (pod := self._parsed(entry)) is not None:
            self._pods[pod.uid] = pod

    def remove(self, entry: Json, now: Instant) -> None:
        """A pod is gone; *entry* is its last state, with the times at which its containers ended."""
        if (pod := self._parsed(entry)) is not None:
            self._pods.pop(pod.uid, None)
            self._exporters.pop(pod.uid, None)
            self._bury(pod, now)

    def pods(self, now: Instant) -> tuple[Pod, ...]:
        """The pods, those that are gone first."""
        for uid in [
            uid for uid, (at_ns, _) in self._gone.items() if now.monotonic_ns - at_ns > REMEMBERED_NS
        ]:
            del self._gone[uid]
        return (*(pod for _, pod in self._gone.values()), *self._pods.values())

    def _bury(self, pod: Pod, now: Instant) -> None:
        self._gone[pod.uid] = (now.monotonic_ns, replace(pod, deleted_at_ns=now.wall_ns))

    def _parsed(self, entry: Json) -> Pod | None:
        try:
            pod, url = parse_pod(entry, self._kept), exporter_url(entry)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.malformed += 1
            return None
        self._exporters.pop(pod.uid, None)
        if url:
            self._exporters[pod.uid] = url
        return pod
