"""
The kubelet's own list of its pods: the light choice where the API server is not to be asked by every node.

It tells neither of the node's labels nor which cluster this is, so prices come from the price book alone.
"""

import threading
from dataclasses import dataclass

from gpucost.clock import Clock

from gpucost_agent.readings import ClusterReading
from gpucost_agent.sources.pods.kube_client import KubeClient, worded
from gpucost_agent.sources.pods.pod_memory import PodMemory
from gpucost_agent.sources.pods.pod_objects import KEPT_KEYS


@dataclass(frozen=True, slots=True)
class KubeletAccess:
    """
    Which kubelet is asked: *url* is ``https://127.0.0.1:10250`` or the like, or ``http://`` of its read-only port.

    *extra_keys* are labels and annotations to keep beside those kept by default; *period_s* is how often it is asked.
    """

    url: str
    extra_keys: frozenset[str] = frozenset()
    period_s: float = 10.0


class KubeletPods:
    """
    Asks the kubelet in a thread of its own; any thread may ask for the latest.

    Raises Stop if the URL is none.
    """

    def __init__(self, access: KubeletAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._api = KubeClient(access.url, of_kubelet=True)
        self._memory = PodMemory(KEPT_KEYS | access.extra_keys)
        self._latest: ClusterReading | None = None
        self._trouble: str | None = None

    def latest(self) -> ClusterReading | None:
        """
        What the kubelet said last; None until it answered. Neither blocks nor raises.

        Its instant is when it was said, so it grows old while the kubelet does not answer.
        """
        return self._latest

    @property
    def trouble(self) -> str | None:
        """Why the kubelet can not be asked now, in words; None if it can. Neither blocks nor raises."""
        return self._trouble

    @property
    def malformed(self) -> int:
        """How many objects were no pods."""
        return self._memory.malformed

    def follow(self, stop: threading.Event) -> None:
        """Asks until *stop* is set; blocks, so it has a thread. Raises nothing."""
        while not stop.is_set():
            try:
                items = self._api.json("/pods")["items"] or ()
            except self._api.failures as error:
                self._trouble = f"the kubelet at {self._access.url}: {worded(error)}"
            else:
                now = self._clock.now()
                self._memory.replace(items, now)
                self._latest = ClusterReading(now, None, None, self._memory.pods(now), self._memory.dcgm_url)
                self._trouble = None
            stop.wait(self._access.period_s)
        self._api.close()
