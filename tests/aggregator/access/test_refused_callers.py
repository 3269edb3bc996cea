"""Every caller who has to be turned away is, over real gRPC and real TLS, and nothing of theirs is kept."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc
from gpucost.v1 import stream_pb2

from contracts.agent_peer import Peer, a_hello, a_message
from contracts.certificates import Authority, Pair
from contracts.guarded_streams import Doors, Guarded, play_at
from contracts.ledger_rows import AGENT, POD, a_slice
from gpucost_aggregator.access.writers_file import Writers
from gpucost_aggregator.ingest.limits import StreamLimits

CLUSTER = AGENT.node.cluster
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


async def ending(
    guarded: Guarded, *, hello: stream_pb2.Hello | None = None, **shown: object
) -> tuple[object, str]:
    """How a stream ends whose Hello is refused."""
    async with guarded.call(**shown) as peer:  # type: ignore[arg-type]
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # Where it has ended already.
            await peer.say(hello=hello or a_hello())
        return await peer.end()


async def refusal(guarded: Guarded, **shown: object) -> tuple[object, str]:
    """How a stream ends before its caller has said anything."""
    async with guarded.call(**shown) as peer:  # type: ignore[arg-type]
        return await peer.end()


def test_who_shows_nothing_or_nonsense_learns_nothing(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        token, _ = guarded.book.join(CLUSTER, 1)
        for wrong in ("", "guessed", "gpc_", token[:-1], f"{token}x", token.swapcase(), "a.b.c", "x" * 9_000):
            code, words = await refusal(guarded, token=wrong)
            assert code is UNAUTHENTICATED, wrong
            assert CLUSTER not in words
            assert token[:16] not in words
        assert guarded.counts.callers_refused == {"unknown_caller": 8}
        assert guarded.store.rows == {}
        assert guarded.counts.batches == 0

    play_at(tmp_path, Doors(), scene)


def test_a_token_writes_its_own_cluster_and_no_other(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        token, _ = guarded.book.join(CLUSTER, 1)
        other, _ = guarded.book.join("other", 1)
        code, words = await ending(guarded, token=other)
        assert code is DENIED
        assert "its own cluster's credential" in words
        assert "other" not in words
        assert guarded.counts.callers_refused == {"not_allowed": 1}
        assert guarded.store.rows == {}
        async with guarded.call(token) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            await peer.acknowledged(1)
        assert len(guarded.store.rows) == 1

    play_at(tmp_path, Doors(always=False), scene)


def test_tokens_are_changed_one_after_the_other_and_a_revoked_one_ends_its_streams(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        old, entry = guarded.book.join(CLUSTER, 1)
        new, _ = guarded.book.join(CLUSTER, 2)
        async with guarded.call(old) as peer:
            await peer.greet()
            guarded.book.revoke(CLUSTER, entry.token_id)
            assert guarded.service.end_streams_of(f"token {entry.token_id}") == 1
            assert (await peer.end())[0] is UNAUTHENTICATED
        assert (await refusal(guarded, token=old))[0] is UNAUTHENTICATED
        async with guarded.call(new) as peer:
            await peer.greet()

    play_at(tmp_path, Doors(always=False), scene)


def test_nobody_is_asked_until_the_first_cluster_joins_and_then_for_ever(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        async with guarded.call() as peer:
            await peer.greet()
        _, entry = guarded.book.join("other", 1)
        assert (await refusal(guarded))[0] is UNAUTHENTICATED
        guarded.book.revoke("other", entry.token_id)
        assert (await refusal(guarded))[0] is UNAUTHENTICATED

    play_at(tmp_path, Doors(always=False), scene)


def test_certificates(tmp_path: Path) -> None:
    authority = Authority()
    server = authority.pair(tmp_path / "server", "", "localhost")
    doors = Doors(writers=Writers({"fleet": frozenset({CLUSTER, "b"})}), server=server, authority=server.ca)
    numbers = iter(range(100))
    at = "spiffe://x.example/gpucost/cluster"

    def pair(*names: str, expired: bool = False) -> Pair:
        return authority.pair(tmp_path / f"client-{next(numbers)}", *names, expired=expired)

    stranger = Authority().pair(tmp_path / "stranger", CLUSTER)

    async def scene(guarded: Guarded) -> None:
        for shown in (None, stranger, pair(CLUSTER, expired=True)):
            code, _ = await ending(guarded, pair=shown, ca=server.ca)
            assert code is grpc.StatusCode.UNAVAILABLE
        # The handshake failed, so nothing of these was ever a call.
        assert guarded.counts.callers_refused == {}
        for shown in (
            pair("other"),
            pair("", f"{at}/other"),
            pair("", f"{at}/{CLUSTER}/node/elsewhere"),
            pair("", f"{at}/{CLUSTER}/node/{AGENT.node.node}", f"{at}/{CLUSTER}/node/elsewhere"),
            pair("", f"https://x.example/cluster/{CLUSTER}"),
        ):
            assert (await ending(guarded, pair=shown))[0] is DENIED
        for shown in (
            pair(CLUSTER),
            pair("", CLUSTER),
            pair("fleet"),
            pair("", f"{at}/{CLUSTER}"),
            pair("", f"{at}/{CLUSTER}/node/{AGENT.node.node}"),
        ):
            async with guarded.call(pair=shown) as peer:
                await peer.greet()
        assert guarded.counts.callers_refused == {"not_allowed": 5}
        assert guarded.store.rows == {}

    play_at(tmp_path, doors, scene)


def test_a_name_belongs_to_the_cluster_that_had_it_first(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        async with guarded.call() as peer:
            await peer.greet(a_hello(cluster_uid="uid-1"))
        async with guarded.call() as peer:
            await peer.greet(a_hello(cluster_uid="uid-1"))
        code, words = await ending(guarded, hello=a_hello(cluster_uid="uid-2"))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "uid-1" in words
        assert "uid-2" in words
        assert "--unbind" in words
        assert guarded.counts.callers_refused == {"other_cluster": 1}
        async with guarded.call() as peer:
            await peer.greet(a_hello())
        assert guarded.counts.hellos_unbound == 1
        guarded.book.unbind(CLUSTER)
        async with guarded.call() as peer:
            await peer.greet(a_hello(cluster_uid="uid-2"))

    play_at(tmp_path, Doors(always=False), scene)


def test_a_huge_message_is_not_read(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        async with guarded.call() as peer:
            await peer.greet()
            batch = stream_pb2.Batch(sequence_number=1, price_book_version="x" * (17 << 20))
            await peer.say(batch=batch)
            assert (await peer.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        code, words = await ending(guarded, hello=a_hello(version="x" * 600))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "version has more than" in words
        assert guarded.counts.batches == 0

    play_at(tmp_path, Doors(always=False), scene)


def test_too_many_streams_are_told_to_come_again(tmp_path: Path) -> None:
    limits = StreamLimits(handshakes=3, streams=4, streams_a_writer=2, hello_s=30.0)

    async def scene(guarded: Guarded) -> None:
        token, _ = guarded.book.join(CLUSTER, 1)
        other, _ = guarded.book.join("other", 1)
        async with guarded.call(token) as one, guarded.call(token) as two:
            await one.greet(a_hello(node="n1"))
            await two.greet(a_hello(node="n2"))
            code, words = await ending(guarded, hello=a_hello(node="n3"), token=token)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "this identity has too many" in words
            async with guarded.call(other) as three:
                await three.greet(a_hello(cluster="other"))
                async with guarded.call(other) as four:
                    await four.greet(a_hello(cluster="other", node="m2"))
                    code, words = await refusal(guarded, token=other)
                    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
                    assert "call again later" in words
        assert guarded.counts.callers_refused == {"too_many": 2}

    play_at(tmp_path, Doors(limits=limits), scene)


def test_who_calls_and_says_nothing_takes_a_place_for_a_while_only(tmp_path: Path) -> None:
    limits = StreamLimits(handshakes=1, hello_s=1.0)

    async def scene(guarded: Guarded) -> None:
        async with guarded.call() as one, guarded.call() as other:
            codes = {code for code, _ in await asyncio.gather(one.end(), other.end())}
        assert codes == {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
        async with guarded.call() as peer:
            await peer.greet()

    play_at(tmp_path, Doors(always=False, limits=limits), scene)


def test_who_does_not_read_is_let_go(tmp_path: Path) -> None:
    limits = StreamLimits(send_s=0.3, end_s=0.3)
    # What is refused is answered at length, so that a window of HTTP/2 is full of it soon.
    message = a_message(1, *[a_slice(200, holder=replace(POD, pod=f"p{place}")) for place in range(300)])

    async def talk(peer: Peer) -> None:
        while True:
            await peer.say(batch=message)
            message.sequence_number += 1

    async def scene(guarded: Guarded) -> None:
        async with guarded.call(small=True) as peer:
            await peer.greet()
            talking = asyncio.create_task(talk(peer))
            while guarded.counts.slow_readers == 0:
                await asyncio.sleep(0.01)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            # Its place is free, and somebody else is served.
            assert guarded.counts.streams == 0
            async with guarded.call() as another:
                await another.greet()

    play_at(tmp_path, Doors(always=False, limits=limits), scene)


def test_two_agents_with_one_identity_are_told_of(tmp_path: Path) -> None:
    async def scene(guarded: Guarded) -> None:
        for turn in range(3):
            assert guarded.service.duplicate_agents() == ()
            assert guarded.counts.duplicate_agents == 0
            async with guarded.call() as older, guarded.call() as newer:
                await older.greet()
                await newer.greet()
                assert (await older.end())[0] is grpc.StatusCode.ABORTED
            while guarded.counts.streams:
                await asyncio.sleep(0.01)
            assert guarded.counts.takeovers == turn + 1
        assert guarded.counts.duplicate_agents == 1
        assert guarded.service.duplicate_agents() == (AGENT.node,)
        guarded.clock.monotonic_ns += 601 * 10**9
        assert guarded.service.duplicate_agents() == ()

    play_at(tmp_path, Doors(always=False), scene)
