"""One watch: the events a client sees from a version on."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from simnode.kube_selectors import Selector
from simnode.kube_store import Change, Manifest, Store


@dataclass(frozen=True)
class Watch:
    store: Store
    plural: str
    selector: Selector
    version: int
    seconds: float
    bookmark_seconds: float | None

    async def events(self) -> AsyncIterator[tuple[str, Manifest]]:
        """Ends when its time is over; raises Gone as soon as a change was forgotten that it had not sent."""
        clock = asyncio.get_running_loop().time
        end = clock() + self.seconds
        bookmark_at = clock() + self.bookmark_seconds if self.bookmark_seconds else end
        version = self.version
        if version == 0:
            listing = self.store.listing(self.plural)
            version = listing.version
            for manifest in listing.objects:
                if self.selector.matches(manifest):
                    yield "ADDED", manifest
        while True:
            upto = self.store.version
            for change in self.store.since(self.plural, version):
                for event in self._seen(change):
                    yield event
            version = max(version, upto)
            now = clock()
            if self.bookmark_seconds and now >= min(bookmark_at, end):
                yield "BOOKMARK", bookmark(version)
                bookmark_at = now + self.bookmark_seconds
            if now >= end:
                return
            try:
                async with asyncio.timeout(min(bookmark_at, end) - now):
                    await self.store.wait(version)
            except TimeoutError:
                pass

    def _seen(self, change: Change) -> Iterator[tuple[str, Manifest]]:
        """What a selector makes of a change: one that leaves the selection is deleted for this client."""
        before, after = self.selector.matches(change.before), self.selector.matches(change.after)
        if after:
            assert change.after is not None
            yield ("MODIFIED" if before else "ADDED"), change.after
        elif before:
            assert change.before is not None
            last = change.before if change.after is None else change.after
            metadata = {**last["metadata"], "resourceVersion": str(change.version)}
            yield "DELETED", {**last, "metadata": metadata}


def bookmark(version: int) -> Manifest:
    return {
        "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        "spec": {},
        "status": {},
    }


def event_line(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode() + b"\n"
