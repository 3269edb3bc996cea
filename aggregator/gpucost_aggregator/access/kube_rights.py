"""SubjectAccessReview: the API server of the aggregator's own cluster is asked what somebody may list."""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.access.api_server import SUBJECT_ACCESS_REVIEW, ApiServer, review
from gpucost_aggregator.access.kube_user import KubeUser


@dataclass(frozen=True, slots=True)
class ReviewLimits:
    """
    Bounds of what is asked.

    *fresh_ns*: how long an answer is believed; a page asks for several things at once, and a right that was taken
    away ends soon.
    *kept*: answers; each takes some 400 bytes.
    *under_way*: questions at a time; some hundred a second, of an API server that answers thousands.
    *waiting*: requests that wait for answers at a time; the others are told to come again.
    *patience_s*: of a request, for all that has to be asked; what was answered by then is kept for its next try.
    """

    fresh_ns: int = 30 * NS_PER_SECOND
    kept: int = 20_000
    under_way: int = 8
    waiting: int = 32
    patience_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Right:
    """
    To list a *resource* in a *namespace*; an empty one is all of the cluster.

    List, not get: who may get a pod has to know its name, and a report tells the names of all.
    """

    resource: str
    namespace: str = ""


EVERY_POD = Right("pods")
EVERY_NODE = Right("nodes")


def pods_in(namespace: str) -> Right:
    """To list the pods of *namespace*."""
    return Right("pods", namespace)


def _nobody_listens(_: str) -> None:
    pass


class KubeRights:
    """
    Rights of readers, asked of *server* and remembered for a moment. Lives on the event loop; `close` gives its
    threads back. *on_failed* hears, on the event loop, why the API server could not be asked.
    """

    def __init__(
        self,
        server: ApiServer | None = None,
        on_failed: Callable[[str], None] = _nobody_listens,
        limits: ReviewLimits | None = None,
    ) -> None:
        self._server = server or ApiServer()
        self._on_failed = on_failed
        self._limits = limits or ReviewLimits()
        # A thread is made with the first question, so none where nobody asks.
        self._threads = ThreadPoolExecutor(self._limits.under_way, "rights")
        self._kept: dict[tuple[bytes, Right], tuple[bool, int]] = {}
        self._waiting = 0

    async def held(self, user: KubeUser, rights: Collection[Right], now_ns: int) -> frozenset[Right]:
        """
        Which of *rights* the *user* has; *now_ns* is of a monotonic clock.

        Raises:
            Retry: It can not be found out now, so that nobody may be told anything.
        """
        # As a hash, since a user with many groups is as long as a header may be.
        who = hashlib.sha256(repr(user).encode()).digest()
        kept = {right: self._kept.get((who, right)) for right in rights}
        known = {
            right: answer[0]
            for right, answer in kept.items()
            if answer and 0 <= now_ns - answer[1] < self._limits.fresh_ns
        }
        unknown = [right for right in rights if right not in known]
        if unknown:
            found: dict[Right, bool] = {}
            try:
                await self._ask(user, unknown, found)
            except Retry as trouble:
                self._on_failed(str(trouble))
                raise
            finally:
                for right, is_held in found.items():
                    self._keep((who, right), (is_held, now_ns))
            known |= found
        return frozenset(right for right, is_held in known.items() if is_held)

    def close(self) -> None:
        """Waits for no question that is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _keep(self, key: tuple[bytes, Right], answer: tuple[bool, int]) -> None:
        # Put in anew, so that the first of all is always the one that was asked longest ago.
        self._kept.pop(key, None)
        self._kept[key] = answer
        while len(self._kept) > self._limits.kept:
            del self._kept[next(iter(self._kept))]

    async def _ask(self, user: KubeUser, rights: Sequence[Right], found: dict[Right, bool]) -> None:
        """Puts into *found* what is answered, also where not all of it is."""
        limits = self._limits
        if self._waiting >= limits.waiting:
            raise Retry(f"{self._waiting} requests wait for the API server already")

        async def ask(right: Right) -> None:
            found[right] = await asyncio.get_running_loop().run_in_executor(
                self._threads, _is_held, self._server, user, right
            )

        self._waiting += 1
        asking = [asyncio.create_task(ask(right)) for right in rights]
        try:
            async with asyncio.timeout(limits.patience_s):
                await asyncio.gather(*asking)
        except TimeoutError:
            raise Retry(f"the API server took longer than {limits.patience_s:g} s") from None
        finally:
            self._waiting -= 1
            for task in asking:
                task.cancel()


def _is_held(server: ApiServer, user: KubeUser, right: Right) -> bool:
    attributes = {
        "verb": "list",
        "group": "",
        "version": "v1",
        "resource": right.resource,
        "namespace": right.namespace,
    }
    status = review(
        server,
        SUBJECT_ACCESS_REVIEW,
        {"user": user.name, "groups": list(user.groups), "resourceAttributes": attributes},
    )
    allowed = status.get("allowed")
    if not isinstance(allowed, bool):
        raise Retry(f"SubjectAccessReview at {server.url}: an answer that says neither yes nor no")
    return allowed and not status.get("denied")
