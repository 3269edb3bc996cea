"""The law that nothing of a Live stays: green as it is, red where one is stored, or answered in any way."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gpucost.clock import Instant
from gpucost.identity import NodeId
from gpucost.v1 import stream_pb2

from contracts.ledger_rows import a_batch, a_slice
from contracts.live_scenes import a_live_leaves_nothing
from contracts.serving_streams import GatedStore, play
from gpucost_aggregator.ingest.sessions import Pending, Session
from gpucost_aggregator.live.board import Board

__all__ = ["play"]

Break = Callable[[GatedStore, Session], None]


def stored(store: GatedStore, _: Session) -> None:
    store.commit([a_batch(0, a_slice(7))])


def stored_under_a_number(store: GatedStore, session: Session) -> None:
    store.commit([a_batch(1)])
    session.durable = 1


def acknowledged(_: GatedStore, session: Session) -> None:
    ack = stream_pb2.FromAggregator(ack=stream_pb2.Ack(sequence_number=session.durable))
    session.keeping = asyncio.create_task(session.send(ack))  # type: ignore[attr-defined]


def answered_as_a_resent_batch(_: GatedStore, session: Session) -> None:
    session.pending.put_nowait(Pending(session.durable))


class BrokenBoard(Board):
    """Does something with what it is told, beside showing it."""

    def __init__(self, store: GatedStore, how: Break) -> None:
        super().__init__()
        self._store, self._how = store, how

    def put(
        self, node: NodeId, stream: Any, taken_at_ns: int, table: Callable[[], bytes], now: Instant
    ) -> None:
        super().put(node, stream, taken_at_ns, table, now)
        self._how(self._store, stream)


def test_as_it_is_it_is_green(play: Callable[..., None]) -> None:
    store = GatedStore()
    play(a_live_leaves_nothing, store, board=BrokenBoard(store, lambda *_: None))


@pytest.mark.parametrize("how", [stored, stored_under_a_number, acknowledged, answered_as_a_resent_batch])
def test_every_trace_turns_it_red(play: Callable[..., None], how: Break) -> None:
    store = GatedStore()
    with pytest.raises((AssertionError, TimeoutError)):
        play(a_live_leaves_nothing, store, board=BrokenBoard(store, how))
