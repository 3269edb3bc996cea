"""The lives of a node's pods: which pod of a name was meant at an instant, and when its containers had ended."""

from collections.abc import Iterator
from dataclasses import dataclass

from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import Pod, PodContainer

_TERMINAL = frozenset({"Succeeded", "Failed"})
_HALF_SECOND_NS = NS_PER_SECOND // 2
"""The API server cuts times to whole seconds: half a second later is the middle of what it may mean."""


@dataclass(slots=True)
class PodLife:
    """
    One pod of a name; a later pod of the same name has another UID.

    *pod* is what the API server last said of it; None where only files on the node told its UID.
    """

    uid: str
    first_seen_ns: int
    last_seen_ns: int
    pod: Pod | None = None
    end_ns: int | None = None
    """When none of its containers was left for good; None while one may run."""
    _finished_seen_ns: int | None = None

    def learn(self, pod: Pod, at_ns: int) -> None:
        """The API server says this of it."""
        self.pod = pod
        if pod.phase in _TERMINAL and self._finished_seen_ns is None:
            self._finished_seen_ns = at_ns
        ends = [end for end in (pod.deleted_at_ns, self._finished_ns(pod)) if end is not None]
        self.end_ns = min(ends, default=None)

    @property
    def gone_at_ns(self) -> int | None:
        """When its object was seen to be gone."""
        return self.pod.deleted_at_ns if self.pod is not None else None

    @property
    def begin_ns(self) -> int:
        """The earliest instant at which it is known to have been."""
        started = self.pod.containers if self.pod is not None else ()
        return min([self.first_seen_ns, *(each.started_at_ns for each in started if each.started_at_ns)])

    def init_end_ns(self, container: str) -> int | None:
        """When the init container of this name had ended; None while it may run."""
        ends = [end_of(each) for each in self._containers() if each.init and each.name == container]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else self.end_ns

    def turn(self, container: str) -> int:
        """The place of an init container in the order in which they run; all others come after them."""
        inits = [each.name for each in self._containers() if each.init]
        return inits.index(container) if container in inits else len(inits)

    def ends(self) -> Iterator[int]:
        """When it, or an init container of it, had ended: that may move who holds what."""
        if self.end_ns is not None:
            yield self.end_ns
        for container in self._containers():
            if container.init and (end_ns := end_of(container)) is not None:
                yield end_ns

    def _containers(self) -> tuple[PodContainer, ...]:
        return self.pod.containers if self.pod is not None else ()

    def _finished_ns(self, pod: Pod) -> int | None:
        if self._finished_seen_ns is None:
            return None
        ends = [end for each in pod.containers if (end := end_of(each)) is not None]
        return min(max(ends), self._finished_seen_ns) if ends else self._finished_seen_ns


def end_of(container: PodContainer) -> int | None:
    """When a container had ended; None while it runs, or where nobody says."""
    end_ns = container.finished_at_ns
    return None if end_ns is None else end_ns if end_ns % NS_PER_SECOND else end_ns + _HALF_SECOND_NS
