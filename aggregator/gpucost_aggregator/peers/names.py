"""Where the other aggregators are: a name that has several addresses, as a headless Service's, means each of them."""

import asyncio
import socket
from collections.abc import Callable, Coroutine

from gpucost.settings_source import HostPort

from gpucost_aggregator.peers.counts import Unanswered, Why

MOST_ADDRESSES = 64
"""Of one name; a fleet of 100,000 GPUs needs a handful of aggregators."""


LookUp = Callable[[HostPort], Coroutine[None, None, tuple[HostPort, ...]]]
"""Gives the addresses of a name, in its own time; raises ``Unanswered`` where there are none."""


class Names:
    """Looks names up, one look at a time for each: a resolver may take half a minute, and nobody waits so long."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._looking: dict[HostPort, asyncio.Task[tuple[HostPort, ...]]] = {}

    async def addresses(self, named: HostPort, within_s: float) -> tuple[HostPort, ...]:
        """
        The addresses of *named* as they are now, in the resolver's order.

        Raises:
            Unanswered: It has none, or nobody says so within *within_s* seconds; the look goes on, for the next one.
        """
        looking = self._looking.get(named)
        if looking is None:
            looking = self._looking[named] = asyncio.create_task(self._look_up(named))
        done, _ = await asyncio.wait({looking}, timeout=within_s)
        if not done:
            raise Unanswered(Why.UNKNOWN_NAME, f"the resolver takes longer than {within_s:g} s")
        # Whoever waited for the same look may have let go of it already.
        if self._looking.get(named) is looking:
            del self._looking[named]
        return looking.result()

    async def close(self) -> None:
        """Wait for nobody any more."""
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)
        self._looking.clear()


async def look_up(named: HostPort) -> tuple[HostPort, ...]:
    """
    What the machine's resolver says.

    Raises:
        Unanswered: It knows no address.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(named.host, named.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as trouble:
        raise Unanswered(Why.UNKNOWN_NAME, f"no address: {trouble}") from None
    addresses = dict.fromkeys(HostPort(str(place[0]), named.port) for *_, place in found)
    return tuple(addresses)[:MOST_ADDRESSES]
