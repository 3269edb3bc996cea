"""What `gpucost-agent check` asks an aggregator: whether it would let this agent in; no stream begins by that."""

import asyncio
from pathlib import Path

from gpucost.tls import channel_credentials
from gpucost.trouble import Retry

from contracts.agent_peer import a_message
from contracts.certificates import Authority
from contracts.guarded_streams import Doors, Guarded, play_at
from contracts.ledger_rows import AGENT, a_slice
from gpucost_agent.knocking import knock
from gpucost_agent.stream import Target

WAIT_S = 20.0


async def told(address: str, token: Path | None, ca: Path | None = None, wait_s: float = WAIT_S) -> str:
    """Why an agent is turned away; empty where it is let in."""
    credentials = None if ca is None else channel_credentials(ca, None, None)
    try:
        await asyncio.to_thread(knock, Target(address, credentials, token), wait_s)
    except Retry as trouble:
        return str(trouble)
    return ""


def test_who_is_known_is_let_in_and_nobody_else(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"

    async def scene(guarded: Guarded) -> None:
        token, _ = guarded.book.join(AGENT.node.cluster, 1)
        good.write_text(token)
        bad.write_text(token[:-1])
        async with guarded.call(token) as peer:
            await peer.greet()
            assert await told(guarded.address, good) == ""
            for file in (bad, None):
                words = await told(guarded.address, file)
                assert f"{guarded.address} turns this agent away: UNAUTHENTICATED: " in words
                assert token[:16] not in words
            # Who streams keeps its stream, though somebody knocked with the same token.
            await peer.say(batch=a_message(1, a_slice()))
            await peer.acknowledged(1)
        assert guarded.counts.callers_refused == {"unknown_caller": 2}
        assert "can not be read" in await told(guarded.address, tmp_path / "none")

    play_at(tmp_path, Doors(), scene)


def test_who_is_not_the_aggregator_is_told(tmp_path: Path) -> None:
    server = Authority().pair(tmp_path / "server", "gpucost", "localhost")
    other = Authority().pair(tmp_path / "other", "gpucost", "localhost")

    async def scene(guarded: Guarded) -> None:
        address = guarded.address.replace("127.0.0.1", "localhost")
        assert await told(address, None, server.ca) == ""
        words = await told(address, None, other.ca, 2.0)
        assert "not as the aggregator's gRPC port would: look at port and TLS" in words

    play_at(tmp_path, Doors(always=False, server=server), scene)
