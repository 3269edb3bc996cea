"""
The Kubernetes API: this node's pods, its own object, and who the cluster is. The only importer of kubernetes.

The client library takes some 40 MiB, so it is imported when a KubePods is made, and not before. Answers are read as
JSON; the library's models would take more again.
"""

import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gpucost.clock import Clock
from gpucost.trouble import EXIT_SETTINGS, Retry, Stop

from gpucost_agent.readings import ClusterReading, Node
from gpucost_agent.sources.pod_memory import PodMemory
from gpucost_agent.sources.pod_objects import KEPT_KEYS, Json, parse_node

IN_CLUSTER = "in-cluster"
_CONNECT_S = 5.0
_ANSWER_S = 30.0
_SILENCE_S = 30.0
"""How long past its end a watch may say nothing before its connection is taken for dead."""
_GONE = 410


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
    page: int = 250
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
        from kubernetes import client  # noqa: PLC0415 - 40 MiB
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with it

        self._access = access
        self._clock = clock
        self._failures = (client.ApiException, HTTPError, OSError, ValueError, KeyError, TypeError)
        self._api: Any = client.CoreV1Api(client.ApiClient(_configuration(access.kube_api)))
        self._memory = PodMemory(KEPT_KEYS | access.extra_keys)
        self._version = ""
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
        self._api.api_client.rest_client.pool_manager.clear()

    def _turn(self, stop: threading.Event) -> None:
        """Lists if it has to, looks at the node, and watches once. Raises Retry."""
        try:
            if not self._version:
                self._list()
            trouble = self._look_around()
            self._publish()
            self._trouble = trouble
            self._watch(stop)
        except self._failures as error:
            if getattr(error, "status", None) == _GONE:
                self._version = ""
            raise Retry(f"the API server at {self._access.kube_api}: {_worded(error)}") from error

    def _list(self) -> None:
        objects: list[Json] = []
        token: str | None = None
        while True:
            page = self._json(
                self._api.list_pod_for_all_namespaces,
                limit=self._access.page,
                _continue=token,
                **self._ours(),
            )
            objects += page["items"]
            if not (token := page["metadata"].get("continue")):
                break
        self._memory.replace(objects, self._clock.now())
        self._version = page["metadata"]["resourceVersion"]

    def _look_around(self) -> str | None:
        """The node and the cluster; what can not be read stays as it was, and the pods are watched without it."""
        troubles = []
        try:
            self._node = parse_node(self._json(self._api.read_node, self._access.node))
        except self._failures as error:
            troubles.append(f"of node {self._access.node}: {_worded(error)}")
        try:
            if self._cluster_uid is None:
                self._cluster_uid = self._json(self._api.read_namespace, "kube-system")["metadata"]["uid"]
        except self._failures as error:
            troubles.append(f"of namespace kube-system: {_worded(error)}")
        return f"the API server at {self._access.kube_api}, {'; '.join(troubles)}" if troubles else None

    def _watch(self, stop: threading.Event) -> None:
        seconds = self._access.watch_s
        response = self._api.list_pod_for_all_namespaces(
            watch=True,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=seconds,
            _preload_content=False,
            _request_timeout=(_CONNECT_S, seconds + _SILENCE_S),
            **self._ours(),
        )
        try:
            for line in lines(response.stream(amt=None, decode_content=True)):
                self._apply(json.loads(line))
                self._publish()
                if stop.is_set():
                    return
        finally:
            response.close()
        # A watch that came to its end says that nothing else has changed.
        self._publish()

    def _apply(self, event: Json) -> None:
        kind, entry = event["type"], event["object"]
        if kind == "ERROR":
            if entry.get("code") == _GONE:
                self._version = ""
            raise Retry(f"the API server ended the watch: {entry.get('message', entry)}")
        if kind == "DELETED":
            self._memory.remove(entry, self._clock.now())
        elif kind in ("ADDED", "MODIFIED"):
            self._memory.put(entry)
        self._version = entry["metadata"]["resourceVersion"]

    def _publish(self) -> None:
        now = self._clock.now()
        self._latest = ClusterReading(now, self._cluster_uid, self._node, self._memory.pods(now))

    def _ours(self) -> dict[str, str]:
        return {"field_selector": f"spec.nodeName={self._access.node}"}

    def _json(self, call: Any, *names: str, **options: Any) -> Any:
        timeout = (_CONNECT_S, _ANSWER_S)
        response = call(*names, _preload_content=False, _request_timeout=timeout, **options)
        return json.loads(response.data)


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines of a stream that is cut anywhere; the rest after the last line end is no event."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def _configuration(kube_api: str) -> Any:
    from kubernetes import client, config  # noqa: PLC0415 - 40 MiB

    configuration = client.Configuration()
    configuration.retries = 1
    if kube_api == IN_CLUSTER:
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            text = f"kube-api is in-cluster, and this is no pod with a service account: {error}"
            raise Stop(text, EXIT_SETTINGS) from error
    elif kube_api.startswith(("http://", "https://")):
        configuration.host = kube_api.rstrip("/")
    else:
        raise Stop(f"kube-api {kube_api!r} is neither a URL nor {IN_CLUSTER}", EXIT_SETTINGS)
    return configuration


def _worded(error: Exception) -> str:
    status: int | None = getattr(error, "status", None)
    if status is None:
        # urllib3 wraps what happened in what it tried; the innermost says it in few words.
        while isinstance(reason := getattr(error, "reason", None), Exception):
            error = reason
        words = str(error).rpartition(": ")[2] or type(error).__name__
        return words.rpartition("] ")[2]
    body: Mapping[str, Any] = {}
    with suppress(ValueError):
        body = json.loads(getattr(error, "body", None) or "{}")
    return f"{status} {body.get('message') or getattr(error, 'reason', '')}"
