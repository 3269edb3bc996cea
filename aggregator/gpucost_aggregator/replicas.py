"""What several aggregators are to each other, from the settings: built by the program, tried by `check`."""

import socket
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from gpucost.clock import Clock
from gpucost.trouble import EXIT_SETTINGS, Retry, Stop
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.access.peer_access import PeerAccess, PeerTokens
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.lease import Lease, StoreLease
from gpucost_aggregator.leases.holding import STEP_S, holding
from gpucost_aggregator.leases.kube_lease import KubeLease, KubeLeaseParts
from gpucost_aggregator.leases.lease_object import LeaseObject
from gpucost_aggregator.peers.calling import peer_calls
from gpucost_aggregator.peers.gathering import Peers, PeersParts
from gpucost_aggregator.replica_settings import PEERS_TOKEN_FILE, ReplicaSettings

API_SERVER = ApiServer()
"""Of the cluster in which the aggregator runs."""


@dataclass(frozen=True, slots=True)
class ReplicaParts:
    """This process among the others. *replica* is its name, which no other process ever has."""

    replica: str
    readers: Executor
    clock: Clock
    counts: Counts
    log: FilteringBoundLogger


def replica_name() -> str:
    """A new one, with the machine's name for people: a program that starts again is another one."""
    return f"{socket.gethostname()[:64]}_{uuid4().hex}"


def peer_access(settings: ReplicaSettings) -> PeerAccess:
    """
    Who is another aggregator.

    Raises:
        Stop: The file of their tokens is wrong.
    """
    tokens = PeerTokens(settings.peers_token_file)
    try:
        tokens.taken()
    except Retry as trouble:
        raise Stop(f"{PEERS_TOKEN_FILE.flag} {trouble}", EXIT_SETTINGS) from None
    return PeerAccess(bool(settings.peers), tokens)


@asynccontextmanager
async def peers_of(settings: ReplicaSettings, here: ReplicaParts) -> AsyncIterator[Peers | None]:
    """The others, who are asked as long as this lasts; None where there are none."""
    if not settings.peers:
        yield None
        return
    async with peer_calls() as calls:
        peers = Peers(
            PeersParts(
                settings.peers,
                here.replica,
                PeerTokens(settings.peers_token_file).shown,
                calls.ask,
                here.readers,
                here.clock,
                here.counts.peers,
                here.log,
            )
        )
        try:
            yield peers
        finally:
            await peers.close()


@asynccontextmanager
async def lease_of(
    settings: ReplicaSettings, here: ReplicaParts, server: ApiServer = API_SERVER, step_s: float = STEP_S
) -> AsyncIterator[Lease]:
    """
    The lease under which is done what only one may do, as long as this lasts, and the store is open.

    All that is done under it has to have ended when this ends: then another one may begin.
    """
    if settings.lease is None:
        own = StoreLease()
        try:
            yield own
        finally:
            own.end()
        return
    lease_object = lease_object_of(settings, server)
    lease = KubeLease(KubeLeaseParts(here.replica, lease_object, here.clock, here.counts.lease, here.log))
    async with holding(lease, step_s):
        yield lease


def lease_object_of(settings: ReplicaSettings, server: ApiServer = API_SERVER) -> LeaseObject:
    """The Lease that is named by *settings*, which do name one."""
    assert settings.lease is not None  # noqa: S101  # the callers have looked
    return LeaseObject(settings.lease.namespace, settings.lease.name, server)
