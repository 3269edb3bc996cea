"""What a cluster's watcher knows, and what of it the aggregator was not told yet. For several threads."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gpucost.facts import ClusterFacts, NamespaceFacts, NodeFacts, WaitingPod

NODES, NAMESPACES, WAITING_PODS = "nodes", "namespaces", "pods"
KINDS = (NODES, NAMESPACES, WAITING_PODS)

Fact = NodeFacts | NamespaceFacts | WaitingPod
Key = tuple[str, ...]


@dataclass
class ClusterNews:
    """
    The latest by kind. *tell* hears what can not be read, once for each reason, as an event's name and words.

    *moved* is set where there may be something to send.
    """

    tell: Callable[[str, str, bool], None]
    moved: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, dict[Key, Fact]] = {kind: {} for kind in KINDS}
        self._changes: dict[tuple[str, Key], Fact] = {}
        self._heard: set[str] = set()
        self._troubles: dict[str, str] = {}

    @property
    def is_whole(self) -> bool:
        """Whether every kind was listed, or can not be."""
        return self._heard >= set(KINDS)

    @property
    def troubles(self) -> dict[str, str]:
        """Why a kind can not be read, by its name."""
        with self._lock:
            return dict(self._troubles)

    def listed(self, kind: str, found: list[object]) -> None:
        """These exist, and no others."""
        facts = {key_of(each): each for each in found if isinstance(each, Fact) and _counts(each)}
        with self._lock:
            before = self._known[kind]
            for key, fact in facts.items():
                if before.get(key) != fact:
                    self._changes[kind, key] = fact
            for key in before.keys() - facts.keys():
                self._changes[kind, key] = _ended(before[key])
            self._known[kind] = facts
            self._heard.add(kind)
            self._troubles.pop(kind, None)
        self.moved.set()

    def changed(self, kind: str, found: object, *, deleted: bool) -> None:
        """This one is new, is another than it was, or exists no more."""
        if not isinstance(found, Fact):
            return
        key, known = key_of(found), self._known[kind]
        with self._lock:
            if deleted or not _counts(found):
                if known.pop(key, None) is None:
                    return
                self._changes[kind, key] = _ended(found)
            elif known.get(key) == found:
                return
            else:
                known[key] = self._changes[kind, key] = found
        self.moved.set()

    def failed(self, kind: str, reason: str, *, forbidden: bool) -> None:
        """The kind can not be read now."""
        with self._lock:
            is_news = self._troubles.get(kind) != reason
            self._troubles[kind] = reason
            if forbidden:
                self._heard.add(kind)
        if is_news:
            self.tell(kind, reason, forbidden)
        self.moved.set()

    def everything(self, now_ns: int) -> ClusterFacts:
        """All that exists; nothing of it is news any more."""
        with self._lock:
            self._changes.clear()
            facts = [fact for kind in KINDS for fact in self._known[kind].values()]
        return replace(_as_facts(now_ns, facts), complete=True)

    def changes(self, now_ns: int) -> ClusterFacts | None:
        """What changed since it was asked for last; None if nothing did."""
        with self._lock:
            facts = list(self._changes.values())
            self._changes.clear()
        return _as_facts(now_ns, facts) if facts else None


def key_of(fact: Fact) -> Key:
    """What a fact is known by among those of its kind."""
    return (fact.namespace, fact.pod, fact.pod_uid) if isinstance(fact, WaitingPod) else (fact.name,)


def _counts(fact: Fact) -> bool:
    return not isinstance(fact, WaitingPod) or bool(fact.requests)


def _ended(fact: Fact) -> Fact:
    return replace(fact, requests={}) if isinstance(fact, WaitingPod) else replace(fact, deleted=True)


def _as_facts(now_ns: int, facts: list[Fact]) -> ClusterFacts:
    return ClusterFacts(
        now_ns,
        nodes=tuple(fact for fact in facts if isinstance(fact, NodeFacts)),
        namespaces=tuple(fact for fact in facts if isinstance(fact, NamespaceFacts)),
        waiting_pods=tuple(fact for fact in facts if isinstance(fact, WaitingPod)),
    )
