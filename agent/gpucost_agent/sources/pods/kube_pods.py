"""
The Kubernetes API: this node's pods, its own object, and who the cluster is.

Answers are read as JSON and cut down a page at a time, as a node's pods in full take tens of MiB.
"""

import random
import threading
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from gpucost.clock import Clock
from gpucost.trouble import Retry

from gpucost_agent.readings import ClusterReading, Node
from gpucost_agent.sources.pods.kube_client import KubeClient, worded
from gpucost_agent.sources.pods.kube_watch import Asked, KubeWatch
from gpucost_agent.sources.pods.pod_memory import PodMemory
from gpucost_agent.sources.pods.pod_objects import KEPT_KEYS, parse_node

_PODS = "/api/v1/pods"


@dataclass(frozen=True, slots=True)
class KubeAccess:
    """
    Which API server is asked, for what.

    *kube_api* is a URL, ``in-cluster``, or empty to ask none. *extra_keys* are labels and annotations to keep beside
    those kept by default. *watch_s* is how long one watch lasts; the node's object is read again between two. *page* is
    how many pods are asked for at once. *first_wait_s* is how long to wait after a failure at most; it doubles with
    each further one, up to *longest_wait_s*.
    """

    kube_api: str
    node: str
    extra_keys: frozenset[str] = frozenset()
    watch_s: int = 120
    page: int = 50
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0


def open_kube_pods(access: KubeAccess, clock: Clock) -> "KubePods | None":
    """
    The source, or None where the settings turn it off. Does not ask the server yet.

    Raises Stop if there is no way to the server: no service account, or no URL.
    """
    return KubePods(access, clock) if access.kube_api else None


class KubePods:
    """Follows the API server in a thread of its own; any thread may ask for the latest."""

    def __init__(self, access: KubeAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._api = KubeClient(access.kube_api)
        ours = {"fieldSelector": f"spec.nodeName={access.node}"}
        self._watch = KubeWatch(self._api, Asked(_PODS, ours, access.page, access.watch_s))
        self._memory = PodMemory(KEPT_KEYS | access.extra_keys)
        self._cluster_uid: str | None = None
        self._node: Node | None = None
        self._latest: ClusterReading | None = None
        self._trouble: str | None = None

    def latest(self) -> ClusterReading | None:
        """
        What the server said last; None until it listed the pods. Neither blocks nor raises.

        Its instant is when it was last known to be true, so it grows old while the server does not answer.
        """
        return self._latest

    @property
    def trouble(self) -> str | None:
        """Why the server can not be followed now, in words; None if it can. Neither blocks nor raises."""
        return self._trouble

    @property
    def malformed(self) -> int:
        """How many objects were no pods."""
        return self._memory.malformed

    def follow(self, stop: threading.Event) -> None:
        """
        Lists and watches until *stop* is set; blocks, so it has a thread, and ends a watch late.

        Raises nothing: a server that does not answer is asked again, after up to half a minute.
        """
        wait_s = self._access.first_wait_s
        while not stop.is_set():
            try:
                self._turn(stop)
                wait_s = self._access.first_wait_s
            except Retry as trouble:
                self._trouble = str(trouble)
                # Not all nodes at once, when a server comes back.
                stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                wait_s = min(2 * wait_s, self._access.longest_wait_s)
        self._api.close()

    def _turn(self, stop: threading.Event) -> None:
        """Lists if it has to, looks at the node, and watches once. Raises Retry."""
        try:
            if not self._watch.has_list:
                self._memory.replace(self._watch.listed(), self._clock.now())
            trouble = self._look_around()
            self._publish()
            self._trouble = trouble
            self._follow_changes(stop)
        except self._api.failures as error:
            raise Retry(f"the API server at {self._access.kube_api}: {worded(error)}") from error

    def _look_around(self) -> str | None:
        """The node and the cluster; what can not be read stays as it was, and the pods are watched without it."""
        troubles = []
        try:
            self._node = parse_node(self._api.json(f"/api/v1/nodes/{quote(self._access.node)}"))
        except self._api.failures as error:
            troubles.append(f"of node {self._access.node}: {worded(error)}")
        try:
            if self._cluster_uid is None:
                self._cluster_uid = self._api.json("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        except self._api.failures as error:
            troubles.append(f"of namespace kube-system: {worded(error)}")
        return f"the API server at {self._access.kube_api}, {'; '.join(troubles)}" if troubles else None

    def _follow_changes(self, stop: threading.Event) -> None:
        with closing(self._watch.events()) as events:
            for event, entry in events:
                if event == "DELETED":
                    self._memory.remove(entry, self._clock.now())
                elif event in ("ADDED", "MODIFIED"):
                    self._memory.put(entry)
                self._publish()
                if stop.is_set():
                    return
        # A watch that came to its end says that nothing else has changed.
        self._publish()

    def _publish(self) -> None:
        now = self._clock.now()
        self._latest = ClusterReading(
            now, self._cluster_uid, self._node, self._memory.pods(now), self._memory.dcgm_url
        )
