"""Objects of one kind in the Kubernetes API, listed by pages and watched from there on."""

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gpucost.trouble import Retry

from gpucost_agent.sources.pods.kube_client import KubeClient, Refused

Json = Mapping[str, Any]

GONE = 410
"""What the server answers to a version that it has forgotten."""

_SILENCE_S = 30.0
"""How long past its end a watch may say nothing before its connection is taken for dead."""


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The objects at *path* that *query* chooses.

    *page* is how many are asked for at once, *watch_s* how long one watch lasts.
    """

    path: str
    query: Mapping[str, str]
    page: int
    watch_s: int


class KubeWatch:
    """What *asked* gives, and what becomes of it. For one thread; blocks, and raises the failures of *api*."""

    def __init__(self, api: KubeClient, asked: Asked) -> None:
        self._api, self._asked = api, asked
        self._version = ""

    @property
    def has_list(self) -> bool:
        """Whether there is a list, taken to its end, that a watch can go on from."""
        return bool(self._version)

    def listed(self) -> Iterator[Json]:
        """All of them, asked for page by page as they are taken."""
        asked, token = self._asked, ""
        while True:
            query: dict[str, str | int] = {"limit": asked.page, **asked.query}
            page = self._api.json(asked.path, {**query, "continue": token} if token else query)
            yield from page["items"]
            if not (token := page["metadata"].get("continue") or ""):
                self._version = page["metadata"]["resourceVersion"]
                return

    def events(self) -> Generator[tuple[str, Json]]:
        """
        Each change since the list, as its kind and its object, until the watch is over.

        One that its taker fails at comes again. Where the server has forgotten the list, there is none any more.

        Raises:
            Retry: The server can not go on.
        """
        asked = self._asked
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": asked.watch_s,
            **asked.query,
        }
        try:
            with self._api.lines(asked.path, query, asked.watch_s + _SILENCE_S) as lines:
                for line in lines:
                    event = json.loads(line)
                    kind, entry = event["type"], event["object"]
                    if kind == "ERROR":
                        if entry.get("code") == GONE:
                            self._version = ""
                        raise Retry(f"the API server ended the watch: {entry.get('message', entry)}")
                    yield kind, entry
                    self._version = entry["metadata"]["resourceVersion"]
        except Refused as refusal:
            if refusal.status == GONE:
                self._version = ""
            raise
