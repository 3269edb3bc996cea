"""Live over a real gRPC server: when it is asked for, where it ends up, and that nothing of it stays."""

from collections.abc import Callable

import grpc
from gpucost.clock import Instant
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import ledger_pb2, stream_pb2

from contracts.agent_peer import a_hello, a_message, a_peer
from contracts.hand_clock import HandClock
from contracts.ledger_rows import NODE, a_batch, a_slice
from contracts.live_glimpses import a_live, seen
from contracts.live_scenes import a_live_leaves_nothing, tell, until
from contracts.memory_store import MemoryStore
from contracts.serving_streams import NOW_NS, GatedStore, Served
from gpucost_aggregator.live.board import MOST_BYTES, Board, Why
from gpucost_aggregator.live.pace import SHORTEST_NS, interval_ns
from gpucost_aggregator.live.reading import Wanted, read
from gpucost_aggregator.store.rows import AgentId

STANDING = Instant(NOW_NS, 0)


def board_of(served: Served) -> Board:
    assert served.board is not None
    return served.board


def used_now(board: Board, now: Instant = STANDING) -> list[float | None]:
    return [row.used_ratio for row in read(board.fresh(now), Wanted(), now.monotonic_ns).rows]


def test_a_live_is_neither_stored_nor_acknowledged(play: Callable[..., None]) -> None:
    play(a_live_leaves_nothing, board=Board())


def test_agents_are_asked_for_it_and_watchers_are_not(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            assert (await peer.greet()).live_interval_ns == SHORTEST_NS
            await tell(served, peer)
            assert used_now(board_of(served)) == [0.5]
        async with a_peer(served.address) as peer:
            watcher = a_hello(role=stream_pb2.ROLE_CLUSTER_WATCHER, node="", epoch="", window_ns=0)
            assert (await peer.greet(watcher)).live_interval_ns == 0
            await tell(served, peer)
        assert dict(served.lives.refused) == {Why.NOT_ASKED: 1}

    play(scene, board=Board())


def test_without_a_board_nobody_is_asked_and_who_tells_all_the_same_is_left_alone(
    play: Callable[..., None],
) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            assert (await peer.greet()).live_interval_ns == 0
            await peer.say(live=a_live(NOW_NS, [seen()]))
            await peer.say(batch=a_message(1, a_slice()))
            assert await peer.acknowledged(1) == []

    play(scene)


def test_a_big_fleet_that_comes_back_is_asked_less_often(play: Callable[..., None]) -> None:
    class Fleet(GatedStore):
        def progress(self) -> list[object]:  # type: ignore[override]
            return super().progress() * 100_000

    store = Fleet()
    MemoryStore.commit(store, [a_batch(1, a_slice(), agent=AgentId(NodeId("east", "other"), "e"))])

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            assert (await peer.greet()).live_interval_ns == interval_ns(100_000) == 49 * NS_PER_SECOND

    play(scene, store, board=Board())


def test_it_is_gone_with_its_stream_and_a_newer_stream_keeps_its_own(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        board = board_of(served)
        async with a_peer(served.address) as older, a_peer(served.address) as newer:
            await older.greet()
            await tell(served, older, used=6)
            await newer.greet()
            assert used_now(board) == []
            await tell(served, newer)
            assert (await older.end())[0] is grpc.StatusCode.ABORTED
            assert used_now(board) == [0.5]
            await newer.say(goodbye=stream_pb2.Goodbye(reason="over"))
            await newer.end()
            await until(lambda: not served.counts.streams)
        assert used_now(board) == []

    play(scene, board=Board())


def test_who_tells_too_often_or_too_much_is_not_shown_and_goes_on(play: Callable[..., None]) -> None:
    clock = HandClock(NOW_NS)

    async def scene(served: Served) -> None:
        board = board_of(served)
        async with a_peer(served.address) as peer:
            await peer.greet()
            await tell(served, peer, used=1)
            await tell(served, peer, used=6)
            assert used_now(board, clock.now()) == [1 / 6]
            clock.pass_ns(SHORTEST_NS)
            names = [f"{number:0500}" for number in range(MOST_BYTES // 500)]
            large = stream_pb2.Live(taken_at_ns=clock.now().wall_ns, table=ledger_pb2.Table(names=names))
            await peer.say(live=large)
            await until(lambda: served.lives.messages == 3)
            clock.pass_ns(SHORTEST_NS)
            await tell(served, peer, clock.now().wall_ns, used=6)
            assert used_now(board, clock.now()) == [1.0]
            await peer.say(batch=a_message(1, a_slice()))
            assert await peer.acknowledged(1) == []
        assert dict(served.lives.refused) == {Why.TOO_SOON: 1, Why.TOO_LARGE: 1}

    play(scene, board=Board(), clock=clock)


def test_nobody_tells_of_another_node(play: Callable[..., None]) -> None:
    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet()
            await peer.say(live=a_live(NOW_NS, [seen(a_slice(node=NodeId("west", "node-9")))]))
            await until(lambda: served.lives.messages)
            rows = read(board_of(served).fresh(STANDING), Wanted(), 0).rows
            assert [row.slice.key.node for row in rows] == [NODE]

    play(scene, board=Board())
