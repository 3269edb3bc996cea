"""The fleet's price book on the streams: who hears of it, when, and what one does who does not listen."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from gpucost.fleet_book import MAX_BOOK_BYTES
from gpucost.identity import NodeId
from gpucost.v1 import stream_pb2

from contracts.agent_peer import Peer, a_hello, a_message, a_peer
from contracts.guarded_streams import Doors, Guarded, play_at
from contracts.ledger_rows import AGENT, a_slice
from contracts.price_books import a_book
from contracts.serving_streams import Served
from gpucost_aggregator.ingest.limits import StreamLimits
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.store.rows import AgentId

Play = Callable[..., None]


def an_agent(number: int) -> AgentId:
    return AgentId(NodeId("east", f"n{number}"), f"epoch-{number}")


async def silent_until(peer: Peer, number: int) -> None:
    """Nothing of prices was said before the batch *number* is acknowledged."""
    await peer.say(batch=a_message(number, a_slice(number)))
    assert await peer.acknowledged(number) == []


async def heard(peer: Peer) -> tuple[str, bytes]:
    answer = await peer.hear()
    assert answer.WhichOneof("message") == "price_book"
    return answer.price_book.version, answer.price_book.yaml


def test_who_names_another_version_gets_the_book_after_its_welcome(play: Play, tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)
    shelf.put(a_book("2"), "f", 1)

    async def scene(served: Served) -> None:
        for named in ("", "1"):
            async with a_peer(served.address) as peer:
                welcome = await peer.greet(a_hello(price_book_version=named))
                assert welcome.price_book_version == "2"
                assert await heard(peer) == ("2", a_book("2"))
        async with a_peer(served.address) as peer:
            assert (await peer.greet(a_hello(price_book_version="2"))).price_book_version == "2"
            await silent_until(peer, 1)
        assert served.counts.price_books_sent == 2

    play(scene, prices=shelf)


def test_of_a_store_that_never_had_a_book_nobody_hears_a_word(play: Play, tmp_path: Path) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            assert (await peer.greet(a_hello(price_book_version="1"))).price_book_version == ""
            await silent_until(peer, 1)

    play(scene, prices=PriceShelf(tmp_path))
    play(scene)


def test_that_there_is_none_any_more_is_told_to_who_still_has_one(play: Play, tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)
    shelf.put(a_book("1"), "f", 1)
    shelf.clear()

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            assert (await peer.greet(a_hello(price_book_version="1"))).price_book_version == ""
            assert await heard(peer) == ("", b"")
        async with a_peer(served.address) as peer:
            await peer.greet()
            await silent_until(peer, 1)

    play(scene, prices=shelf)


def test_a_change_is_told_to_every_agent_and_to_no_watcher(play: Play, tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)

    async def scene(served: Served) -> None:
        async with (
            a_peer(served.address) as one,
            a_peer(served.address) as two,
            a_peer(served.address) as watcher,
        ):
            await one.greet(a_hello(an_agent(1)))
            await two.greet(a_hello(an_agent(2), price_book_version="own"))
            await watcher.greet(stream_pb2.Hello(role=stream_pb2.ROLE_CLUSTER_WATCHER, cluster="east"))
            shelf.put(a_book("1"), "f", 1)
            assert served.service.prices_changed() == 2
            assert [await heard(one), await heard(two)] == [("1", a_book("1"))] * 2
            # It was told, and does not go by it; nobody tells it twice.
            assert served.service.prices_changed() == 0
            shelf.clear()
            assert served.service.prices_changed() == 2
            assert [await heard(one), await heard(two)] == [("", b"")] * 2
            await watcher.hang_up()
            assert (await watcher.end())[1] == ""
        assert served.counts.price_books_sent == 4

    play(scene, prices=shelf)


def test_changes_in_a_row_end_with_the_last_one(play: Play, tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            for version in range(20):
                shelf.put(a_book(f"{version}"), "f", 1)
                served.service.prices_changed()
            last = ""
            while last != "19":
                last, _ = await heard(peer)
            await silent_until(peer, 1)

    play(scene, prices=shelf)


def test_which_book_an_agent_goes_by_is_what_it_said_last(play: Play, tmp_path: Path) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet(a_hello(price_book_version="1"))
            assert served.service.books_named() == ((AGENT.node, "1"),)
            await peer.say(batch=a_message(1, a_slice(1), price_book_version="2"))
            await peer.acknowledged(1)
            assert served.service.books_named() == ((AGENT.node, "2"),)
            unreadable = a_message(2, a_slice(2), price_book_version="3" * 513)
            await peer.say(batch=unreadable)
            await peer.acknowledged(2)
            assert served.service.books_named() == ((AGENT.node, "2"),)
            async with a_peer(served.address) as watcher:
                await watcher.greet(stream_pb2.Hello(role=stream_pb2.ROLE_CLUSTER_WATCHER, cluster="east"))
                assert served.service.books_named() == ((AGENT.node, "2"),)

    play(scene, prices=PriceShelf(tmp_path))


def test_one_that_does_not_read_waits_for_itself_alone_and_is_ended(tmp_path: Path) -> None:
    small = a_book("0")
    largest = small + b"#" * (MAX_BOOK_BYTES - len(small))

    async def scene(guarded: Guarded) -> None:
        guarded.prices.put(a_book("first"), "f", 1)
        guarded.service.prices_changed()
        async with guarded.call(small=True) as deaf, guarded.call() as other:
            for number, peer in enumerate((deaf, other)):
                await peer.greet(a_hello(an_agent(number), price_book_version="first"))
            guarded.prices.put(largest, "f", 1)
            assert guarded.service.prices_changed() == 2
            assert await heard(other) == ("0", largest)
            assert guarded.counts.streams == 2
            while guarded.counts.slow_readers == 0:
                await silent_round(guarded, other)
            assert guarded.counts.streams == 1

    async def silent_round(guarded: Guarded, peer: Peer) -> None:
        """Whoever reads is told of each change meanwhile."""
        version = f"v{guarded.counts.price_books_sent}"
        guarded.prices.put(a_book(version), "f", 1)
        guarded.service.prices_changed()
        assert (await heard(peer))[0] == version
        await asyncio.sleep(0.05)

    play_at(tmp_path, Doors(always=False, limits=StreamLimits(send_s=5.0, end_s=0.5)), scene)
