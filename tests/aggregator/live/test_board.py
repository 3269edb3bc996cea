"""The board of glimpses: one a node, of its live stream, bounded, and forgotten when it tells nothing any more."""

from dataclasses import dataclass, field

import pytest
from gpucost.clock import Instant
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpucost_aggregator.live import board as module
from gpucost_aggregator.live.board import FRESH_INTERVALS, MOST_APART_NS, MOST_BYTES, Board, Glimpse, Why
from gpucost_aggregator.live.pace import COST_NS, MOST_OF_A_CORE, SHORTEST_NS, interval_ns, nodes_lately

START = Instant(1_800_000_000_000_000_000, 50 * NS_PER_SECOND)
NODES = [NodeId("east", f"node-{number}") for number in range(3)]
ROOM = 100_000


def later(elapsed_ns: int) -> Instant:
    return Instant(START.wall_ns + elapsed_ns, START.monotonic_ns + elapsed_ns)


@pytest.mark.parametrize("streams", [0, 1, 100, 10_000, 16_326, 16_327, 100_000])
def test_all_lives_together_stay_within_their_part_of_a_core(streams: int) -> None:
    part, of = MOST_OF_A_CORE
    interval = interval_ns(streams)
    assert streams * COST_NS * of <= interval * part
    assert interval >= SHORTEST_NS
    assert interval == SHORTEST_NS or (interval - 1) * part < streams * COST_NS * of


def test_a_small_fleet_is_fresh_within_ten_seconds_and_a_big_one_pays_with_freshness() -> None:
    lag_ns = 2 * NS_PER_SECOND
    assert [interval_ns(streams) // NS_PER_SECOND for streams in (100, 10_000, 100_000)] == [8, 8, 49]
    assert interval_ns(10_000) + lag_ns <= 10 * NS_PER_SECOND


def test_nodes_that_were_gone_before_the_restart_are_not_waited_for() -> None:
    hour = 3_600 * NS_PER_SECOND
    assert nodes_lately([]) == 0
    assert nodes_lately([9 * hour, 9 * hour - 1, 8 * hour, 8 * hour - 1, 0]) == 3


def test_the_first_streams_after_a_restart_are_told_the_interval_of_the_fleet() -> None:
    board = Board()
    board.expect(100_000, START)
    assert board.enter(NODES[0], object(), START) == 49 * NS_PER_SECOND
    assert board.enter(NODES[1], object(), later(600 * NS_PER_SECOND)) == SHORTEST_NS


def test_the_interval_grows_with_the_nodes_and_not_with_their_streams() -> None:
    board = Board()
    for number in range(20_000):
        board.enter(NodeId("east", str(number)), object(), START)
    for _ in range(10_000):
        assert board.enter(NODES[0], object(), START) == interval_ns(20_001)


@pytest.mark.parametrize(
    ("apart_ns", "length", "why"),
    [
        (0, MOST_BYTES, None),
        (0, MOST_BYTES + 1, Why.TOO_LARGE),
        (MOST_APART_NS, 1, None),
        (-MOST_APART_NS, 1, None),
        (MOST_APART_NS + 1, 1, Why.CLOCK),
        (-MOST_APART_NS - 1, 1, Why.CLOCK),
    ],
)
def test_bounds_of_a_glimpse(apart_ns: int, length: int, why: Why | None) -> None:
    board, stream = Board(), object()
    board.enter(NODES[0], stream, START)
    board.put(NODES[0], stream, START.wall_ns + apart_ns, lambda: bytes(length), START)
    assert board.counts.messages == 1
    assert dict(board.counts.refused) == ({} if why is None else {why: 1})
    assert len(board.fresh(START)) == (why is None)


def test_what_is_refused_is_not_even_put_into_bytes() -> None:
    def never() -> bytes:
        raise AssertionError("it was asked for")

    board, stream = Board(), object()
    board.put(NODES[0], stream, START.wall_ns, never, START)
    board.enter(NODES[0], stream, START)
    board.put(NODES[0], stream, START.wall_ns, lambda: b"x", START)
    board.put(NODES[0], stream, START.wall_ns, never, later(SHORTEST_NS // 2 - 1))
    assert dict(board.counts.refused) == {Why.NOT_ASKED: 1, Why.TOO_SOON: 1}
    board.put(NODES[0], stream, START.wall_ns, lambda: b"y", later(SHORTEST_NS // 2))
    assert [glimpse.table for glimpse in board.fresh(START)] == [b"y"]


def test_a_glimpse_outlives_a_refused_one() -> None:
    board, stream = Board(), object()
    board.enter(NODES[0], stream, START)
    board.put(NODES[0], stream, START.wall_ns, lambda: b"x", START)
    board.put(NODES[0], stream, START.wall_ns, lambda: bytes(MOST_BYTES + 1), later(SHORTEST_NS))
    assert [glimpse.table for glimpse in board.fresh(later(SHORTEST_NS))] == [b"x"]


@dataclass
class Expected:
    """What a node has, by the laws alone: *streams* in the order in which they came; the last one is live."""

    stream: object | None = None
    said: tuple[bytes, int] | None = None
    accepted_ns: int | None = None
    over: list[object] = field(default_factory=list)


class Boards(RuleBasedStateMachine):
    """Any order of streams that come, take over, tell and go, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.elapsed_ns = self.told = 0
        self.nodes = {node: Expected() for node in NODES}
        self._whole, module.MOST_BYTES_IN_ALL = module.MOST_BYTES_IN_ALL, ROOM

    def teardown(self) -> None:
        module.MOST_BYTES_IN_ALL = self._whole

    @rule(node=st.sampled_from(NODES))
    def enter(self, node: NodeId) -> None:
        expected, stream = self.nodes[node], object()
        if expected.stream is not None:
            expected.over.append(expected.stream)
        assert self.board.enter(node, stream, later(self.elapsed_ns)) == SHORTEST_NS
        expected.stream, expected.said, expected.accepted_ns = stream, None, None

    @rule(node=st.sampled_from(NODES), data=st.data())
    def leave(self, node: NodeId, data: st.DataObject) -> None:
        expected = self.nodes[node]
        stream = data.draw(st.sampled_from([expected.stream, *expected.over]))
        self.board.leave(node, stream)
        if stream is expected.stream:
            expected.stream = expected.said = expected.accepted_ns = None

    @rule(node=st.sampled_from(NODES), length=st.integers(0, MOST_BYTES + 10), data=st.data())
    def tell(self, node: NodeId, length: int, data: st.DataObject) -> None:
        expected, now = self.nodes[node], later(self.elapsed_ns)
        stream = data.draw(st.sampled_from([expected.stream, *expected.over]))
        self.told += 1
        self.board.put(node, stream, now.wall_ns, lambda: bytes(length), now)
        if stream is not expected.stream or stream is None:
            return
        if expected.accepted_ns is not None and self.elapsed_ns - expected.accepted_ns < SHORTEST_NS / 2:
            return
        expected.accepted_ns = self.elapsed_ns
        others = sum(len(each.said[0]) for each in self.nodes.values() if each.said and each is not expected)
        if length <= MOST_BYTES and others + length <= ROOM:
            expected.said = bytes(length), self.elapsed_ns

    @rule(
        by_ns=st.sampled_from([1, SHORTEST_NS // 2 - 1, SHORTEST_NS // 2, SHORTEST_NS, 3 * SHORTEST_NS + 1])
    )
    def wait(self, by_ns: int) -> None:
        self.elapsed_ns += by_ns
        self.look()

    @precondition(lambda self: self.told)
    @invariant()
    def look(self) -> None:
        now = later(self.elapsed_ns)
        for expected in self.nodes.values():
            if expected.said and self.elapsed_ns - expected.said[1] > FRESH_INTERVALS * SHORTEST_NS:
                expected.said = None
        found = self.board.fresh(now)
        assert [(glimpse.node, glimpse.table, glimpse.received_ns) for glimpse in found] == [
            (node, expected.said[0], START.monotonic_ns + expected.said[1])
            for node, expected in self.nodes.items()
            if expected.said is not None
        ]
        assert all(isinstance(glimpse, Glimpse) for glimpse in found)
        assert self.board.held_bytes == sum(len(glimpse.table) for glimpse in found) <= ROOM
        assert self.board.counts.messages == self.told >= self.board.counts.refused.total() + len(found)


TestBoards = Boards.TestCase
TestBoards.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
