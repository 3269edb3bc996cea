"""What an API server remembers: objects by kind, and the changes that a watch may still ask for.

Belongs to one event loop; nothing here blocks or locks.
"""

import asyncio
import copy
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Manifest: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]

FIRST_VERSION = 1000
# A number that no object ever had, far enough that a client cannot mistake it for a few missed changes.
VERSIONS_LOST_AT_ONCE = 1000
CHANGES_KEPT = 10_000
PAGED_LISTS_KEPT = 16


class Gone(Exception):
    """The wanted version is no longer (or never was) remembered."""


@dataclass(frozen=True)
class Change:
    version: int
    kind: str
    before: Manifest | None
    after: Manifest | None


@dataclass(frozen=True)
class Listing:
    version: int
    objects: tuple[Manifest, ...]


class Store:
    def __init__(self) -> None:
        self._version = FIRST_VERSION
        self._floor = FIRST_VERSION
        self._objects: dict[str, dict[Key, Manifest]] = {}
        self._changes: deque[Change] = deque()
        self._paged: OrderedDict[tuple[str, int], Listing] = OrderedDict()
        self._news = asyncio.Event()

    @property
    def version(self) -> int:
        return self._version

    def put(self, kind: str, manifest: Manifest) -> None:
        """Creates or replaces; the version is written into a copy, so that what a watch saw never changes."""
        after = copy.deepcopy(manifest)
        self._version += 1
        after["metadata"]["resourceVersion"] = str(self._version)
        objects = self._objects.setdefault(kind, {})
        before = objects.get(key_of(after))
        objects[key_of(after)] = after
        self._record(Change(self._version, kind, before, after))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        before = self._objects[kind].pop((namespace, name))
        self._version += 1
        self._record(Change(self._version, kind, before, None))

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def listing(self, kind: str) -> Listing:
        objects = self._objects.get(kind, {})
        return Listing(self._version, tuple(objects[key] for key in sorted(objects)))

    def keep_for_paging(self, kind: str, listing: Listing) -> None:
        self._paged[kind, listing.version] = listing
        while len(self._paged) > PAGED_LISTS_KEPT:
            self._paged.popitem(last=False)

    def continued(self, kind: str, version: int) -> Listing:
        try:
            return self._paged[kind, version]
        except KeyError:
            raise Gone from None

    def forget_history(self) -> None:
        """Every version handed out so far becomes too old, as after a compaction of etcd."""
        self._version += VERSIONS_LOST_AT_ONCE
        self._floor = self._version
        self._changes.clear()
        self._paged.clear()
        self._wake()

    def check(self, version: int) -> None:
        if version < self._floor:
            raise Gone

    def since(self, kind: str, version: int) -> Iterator[Change]:
        """The remembered changes of a kind after a version; Gone where some of them are forgotten."""
        self.check(version)
        return (change for change in tuple(self._changes) if change.version > version and change.kind == kind)

    async def wait(self, version: int) -> None:
        """Returns once there is something newer than `version`."""
        while self._version <= version:
            await self._news.wait()

    def _record(self, change: Change) -> None:
        self._changes.append(change)
        if len(self._changes) > CHANGES_KEPT:
            self._floor = self._changes.popleft().version
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def key_of(manifest: Manifest) -> Key:
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
