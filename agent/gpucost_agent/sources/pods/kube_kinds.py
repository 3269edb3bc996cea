"""One kind of object of the Kubernetes API, listed by pages and watched; what it says goes to whoever listens."""

import random
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from gpucost.trouble import Retry

from gpucost_agent.sources.pods.kube_client import KubeClient, Refused, worded
from gpucost_agent.sources.pods.kube_watch import GONE, Asked, Json, KubeWatch

_UNAUTHORIZED, _FORBIDDEN = 401, 403


@dataclass(frozen=True, slots=True)
class KindAccess:
    """
    Which objects are asked for. *parse* may raise KeyError, TypeError or ValueError for what is none of them.

    *page* is how many are asked for at once, *watch_s* how long one watch lasts; after a failure the pause doubles
    from *first_wait_s* to *longest_wait_s*.
    """

    name: str
    path: str
    parse: Callable[[Json], object]
    query: Mapping[str, str] = field(default_factory=dict)
    page: int = 200
    watch_s: int = 300
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0


class KindListener(Protocol):
    """Who wants to know; called by the kind's own thread, may not block."""

    def listed(self, kind: str, found: list[object]) -> None:
        """These exist, and no others."""
        ...

    def changed(self, kind: str, found: object, *, deleted: bool) -> None:
        """This one is new, is another than it was, or exists no more."""
        ...

    def failed(self, kind: str, reason: str, *, forbidden: bool) -> None:
        """The kind can not be read now; *forbidden*: not before somebody allows it."""
        ...


class KindFollower:
    """Follows one kind in a thread of its own."""

    def __init__(self, server: str, access: KindAccess, listener: KindListener) -> None:
        """Does not ask the server yet. Raises Stop if there is no way to it."""
        self._api = KubeClient(server)
        self._access = access
        self._listener = listener
        self._watch = KubeWatch(self._api, Asked(access.path, access.query, access.page, access.watch_s))

    def follow(self, stop: threading.Event) -> None:
        """Lists and watches until *stop* is set; blocks, raises nothing, and ends a watch late."""
        access = self._access
        wait_s = access.first_wait_s
        while not stop.is_set():
            try:
                self._turn(stop)
                wait_s = access.first_wait_s
            except self._api.failures as error:
                status = error.status if isinstance(error, Refused) else 0
                if status == GONE:
                    continue
                forbidden = status in (_UNAUTHORIZED, _FORBIDDEN)
                self._listener.failed(access.name, worded(error), forbidden=forbidden)
                wait_s = access.longest_wait_s if forbidden else wait_s
                stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                wait_s = min(2 * wait_s, access.longest_wait_s)
            except Retry as trouble:
                self._listener.failed(access.name, str(trouble), forbidden=False)
                stop.wait(wait_s)
        self._api.close()

    def _turn(self, stop: threading.Event) -> None:
        name = self._access.name
        if not self._watch.has_list:
            entries = self._watch.listed()
            found = [each for entry in entries if (each := self._parsed(entry)) is not None]
            self._listener.listed(name, found)
        with closing(self._watch.events()) as events:
            for event, entry in events:
                if event in ("ADDED", "MODIFIED", "DELETED") and (one := self._parsed(entry)) is not None:
                    self._listener.changed(name, one, deleted=event == "DELETED")
                if stop.is_set():
                    return

    def _parsed(self, entry: Json) -> object | None:
        try:
            return self._access.parse(entry)
        except (KeyError, TypeError, ValueError):
            # One object that is none of its kind is no reason to know nothing of the others.
            return None
