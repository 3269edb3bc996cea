"""Who comes in: whether there is room, who they are, and whether their cluster is the one that has its name."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from gpucost.clock import Clock
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.caller import ANYBODY, Caller, shown
from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.telling import Telling
from gpucost_aggregator.access.writers import WriterAccess
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import Greeting
from gpucost_aggregator.ingest.limits import StreamLimits
from gpucost_aggregator.ingest.sessions import Ending, Sessions

Context = grpc.aio.ServicerContext[Any, Any]

_CODES = {
    Why.UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    Why.NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Why.OTHER_CLUSTER: grpc.StatusCode.FAILED_PRECONDITION,
    Why.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, slots=True)
class DoorParts:
    """What the door is made of. Without *access* nobody is asked; without *book* names belong to nobody."""

    readers: Executor
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger
    limits: StreamLimits
    access: WriterAccess | None = None
    book: AccessBook | None = None


class Door:
    """Lives on the event loop. A refusal costs no message of the caller, no thread and no look into the store."""

    def __init__(self, parts: DoorParts, sessions: Sessions) -> None:
        self._parts = parts
        self._sessions = sessions
        self._under_way = 0
        self._telling = Telling()

    @contextmanager
    def handshake(self) -> Iterator[None]:
        """
        A place among those who are on their way in.

        Raises:
            Refused: There is none.
        """
        limits = self._parts.limits
        if self._under_way >= limits.handshakes:
            raise Refused(Why.TOO_MANY, "too many streams are beginning: call again later", "handshakes")
        if len(self._sessions) + self._under_way >= limits.streams:
            raise Refused(Why.TOO_MANY, "there are too many streams: call again later", "streams")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def identify(self, context: Context) -> Caller:
        """
        Who calls, by what came with the call itself; nothing of the stream has been read.

        Raises:
            Refused: Nobody who is known here.
            Retry: It can not be found out now.
        """
        if self._parts.access is None:
            return ANYBODY
        metadata = {
            str(key): value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        return await self._parts.access.identify(
            shown(metadata, context.auth_context()), self._parts.clock.now().wall_ns
        )

    async def let_in(self, caller: Caller, greeting: Greeting) -> None:
        """
        See that *caller* may say this *greeting*, and that the cluster is the one that has its name.

        Raises:
            Refused: It may not, or is not, or has too many streams.
            Retry: The name could not be noted.
        """
        node = greeting.agent.node
        caller.check(node, is_watcher=greeting.is_watcher)
        if caller is not ANYBODY and self._sessions.of(caller.name) >= self._parts.limits.streams_a_writer:
            raise Refused(Why.TOO_MANY, "this identity has too many streams: call again later", caller.name)
        if not greeting.cluster_uid:
            # An agent that reads the kubelet only can not know it; another cluster's would.
            self._parts.counts.hellos_unbound += 1
            return
        book = self._parts.book
        if book is not None and await asyncio.get_running_loop().run_in_executor(
            self._parts.readers,
            book.bind,
            node.cluster,
            greeting.cluster_uid,
            self._parts.clock.now().wall_ns,
        ):
            self._parts.log.info("cluster_bound", cluster=node.cluster, cluster_uid=greeting.cluster_uid)

    def may_tell(self) -> bool:
        """Whether to log what anybody outside can cause."""
        return self._telling.may_tell(self._parts.clock.now().monotonic_ns)

    def refused(self, trouble: Refused, peer: str, greeting: Greeting | None) -> Ending:
        """How a refused stream ends; counted, and told unless very many are."""
        self._parts.counts.callers_refused[trouble.why.value] += 1
        if self.may_tell():
            node = None if greeting is None else greeting.agent.node
            place = {} if node is None else {"cluster": node.cluster, "node": node.node}
            self._parts.log.warning(
                "caller_refused",
                peer=peer,
                why=trouble.why.value,
                reason=str(trouble),
                detail=trouble.detail,
                **place,
            )
        return Ending(_CODES[trouble.why], str(trouble))
