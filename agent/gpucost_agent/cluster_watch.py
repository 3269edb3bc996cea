"""
The cluster's watcher: one replica a cluster tells the aggregator what no node may read.

Nodes that exist, namespaces with their labels, pods that wait for GPUs: everything on a new stream and hourly, what
changes otherwise. Without it all else works; a node that is gone is then known by its silence alone.
"""

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc
from gpucost.clock import Clock
from gpucost.cluster_wire import cluster_facts_to_message
from gpucost.facts import ClusterFacts, NamespaceFacts
from gpucost.trouble import Retry
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.v1.stream_pb2_grpc import CostStreamStub

from gpucost_agent.cluster_news import NAMESPACES, NODES, WAITING_PODS, ClusterNews
from gpucost_agent.sources.pods.cluster_objects import Json, parse_namespace, parse_node, parse_waiting
from gpucost_agent.sources.pods.kube_kinds import KindAccess
from gpucost_agent.stream import Target, failures_in_a_row, longest_back_off_s, open_channel, worded
from gpucost_agent.token_file import token_metadata

_STREAM_LIFE_S = 1_800
_FIRST_LISTS_NS = 30 * NS_PER_SECOND
"""How long the first stream waits for the first lists; without them it sends what comes as changes."""
_LOOK_S = 0.1
_GATHER_S = 2.0
"""Changes gather for so long, as a rollout changes many objects at once."""


@dataclass(frozen=True, slots=True)
class WatcherCaller:
    """Who speaks, as Hello says it. *cluster_uid* is that of the kube-system namespace, empty while it is unknown."""

    cluster: str
    cluster_uid: Callable[[], str]
    version: str


@dataclass
class WatcherStream:
    """Sends *news* over one stream after the other; ``run`` blocks until *stop* is set and raises nothing."""

    news: ClusterNews
    target: Target
    caller: WatcherCaller
    clock: Clock
    stop: threading.Event
    tell: Callable[[str], None]
    """Hears why a stream ended, empty where one stands; may not block."""
    welcomed: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Streams until told to stop."""
        self._wait_for_lists()
        failures, began_ns = 0, self.clock.now().monotonic_ns
        while not self.stop.is_set():
            self.welcomed.clear()
            trouble: Exception | None = None
            try:
                self._session()
            except (grpc.RpcError, Retry) as error:
                trouble = error
            if self.stop.is_set():
                return
            self.tell(worded(trouble) if trouble else "ended by the aggregator")
            failures = failures_in_a_row(failures, self.welcomed.is_set(), trouble)
            longest_s = longest_back_off_s(failures, self.clock.now().monotonic_ns - began_ns)
            self.stop.wait(random.uniform(0, longest_s))  # noqa: S311 - spreads load, guards nothing

    def _wait_for_lists(self) -> None:
        """Who the cluster is stands in the lists too, and Hello says it."""
        patience_ns = self.clock.now().monotonic_ns + _FIRST_LISTS_NS
        while not (self.news.is_whole or self.stop.is_set()):
            if self.clock.now().monotonic_ns >= patience_ns:
                return
            self.stop.wait(_LOOK_S)

    def _session(self) -> None:
        metadata = token_metadata(self.target.token_file)
        over = threading.Event()
        with open_channel(self.target) as channel:
            life_s = _STREAM_LIFE_S * random.uniform(0.8, 1.2)  # noqa: S311 - as above
            stub = CostStreamStub(channel)  # type: ignore[no-untyped-call]  # generated
            try:
                for answer in stub.Connect(self._messages(over), timeout=life_s, metadata=metadata):
                    if answer.WhichOneof("message") == "welcome":
                        self.welcomed.set()
                        self.tell("")
            finally:
                over.set()
                self.news.moved.set()

    def _messages(self, over: threading.Event) -> Iterator[stream_pb2.FromNode]:
        yield stream_pb2.FromNode(hello=self._hello())
        while not self.welcomed.wait(timeout=1.0):
            if over.is_set() or self.stop.is_set():
                return
        everything_at_ns = 0
        while not (over.is_set() or self.stop.is_set()):
            self.news.moved.clear()
            now = self.clock.now()
            if self.news.is_whole and now.monotonic_ns >= everything_at_ns:
                everything_at_ns = now.monotonic_ns + NS_PER_HOUR
                facts: ClusterFacts | None = self.news.everything(now.wall_ns)
            else:
                facts = self.news.changes(now.wall_ns)
            if facts is not None:
                yield stream_pb2.FromNode(cluster_facts=cluster_facts_to_message(facts))
                over.wait(_GATHER_S)
            else:
                self.news.moved.wait(timeout=1.0)
        if self.stop.is_set() and not over.is_set():
            yield stream_pb2.FromNode(goodbye=stream_pb2.Goodbye(reason="the watcher was asked to stop"))

    def _hello(self) -> stream_pb2.Hello:
        return stream_pb2.Hello(
            role=stream_pb2.ROLE_CLUSTER_WATCHER,
            cluster=self.caller.cluster,
            cluster_uid=self.caller.cluster_uid(),
            version=self.caller.version,
            clock_ns=self.clock.now().wall_ns,
        )


@dataclass
class ClusterUid:
    """Who the cluster is: the UID of its kube-system namespace; empty until it was seen."""

    value: str = ""

    def parse_namespace(self, namespace: Json) -> NamespaceFacts:
        """A namespace, and a look at whether it is the one. Raises as `parse_namespace`."""
        facts = parse_namespace(namespace)
        if facts.name == "kube-system":
            self.value = namespace["metadata"]["uid"]
        return facts


def watched_kinds(uid: ClusterUid, extra_resources: tuple[str, ...]) -> tuple[KindAccess, ...]:
    """What is followed. Pods that were given a node leave the list of pending ones sooner or later."""
    return (
        KindAccess(NODES, "/api/v1/nodes", parse_node),
        KindAccess(NAMESPACES, "/api/v1/namespaces", uid.parse_namespace),
        KindAccess(
            WAITING_PODS,
            "/api/v1/pods",
            lambda pod: parse_waiting(pod, extra_resources),
            {"fieldSelector": "status.phase=Pending"},
        ),
    )
