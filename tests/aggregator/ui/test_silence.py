"""One calm sentence where an aggregator did not answer, and none where all did, or where the page is not about now."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from gpucost.identity import NodeId
from gpucost.yaml_marks import parse_yaml

from contracts.agent_process import free_port
from contracts.ledger_rows import AGENT, MINUTE_NS, NODE, START_NS, a_batch, a_slice
from contracts.live_glimpses import seen, tell
from contracts.replica_stage import HostPort, Replica, Wish, play, replicas
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.store.rows import AgentId
from gpucost_aggregator.ui.replicas import Replicas, silence

NOW_NS = START_NS + MINUTE_NS
AWAY = NodeId("east", "node-2")
SOMEBODY = HostPort("127.0.0.1", free_port())
READERS = "readers: [{name: a, token: the-token-of-a-researcher, namespaces: [research]}]"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Replicas(), ""),
        (Replicas(3, 0, ()), ""),
        (
            Replicas(3, 1, ["a:1"]),
            "1 of 3 aggregators did not answer (a:1): what its nodes do now is not shown.",
        ),
        (
            Replicas(4, 2, ["a:1", "b:1"]),
            "2 of 4 aggregators did not answer (a:1, b:1): what their nodes do now is not shown.",
        ),
        (
            Replicas(9, 5, [f"{letter}:1" for letter in "abcde"]),
            "5 of 9 aggregators did not answer (a:1, b:1, c:1, 2 more): what their nodes do now is not shown.",
        ),
        (Replicas(3, 1, None), "1 of 3 aggregators did not answer: what its nodes do now is not shown."),
    ],
)
def test_the_sentence(found: Replicas, sentence: str) -> None:
    assert silence(found) == sentence


async def page(replica: Replica, query: str = "window=1h", **headers: str) -> str:
    status, _, body = await replica.get(f"/idle?{query}", Accept="text/html", **headers)
    assert status == 200, body
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body.decode().split("<main", 1)[1])))


def keep(replica: Replica, *nodes: NodeId) -> None:
    for node in nodes:
        closed = {"closed_through_ns": NOW_NS, "received_at_ns": NOW_NS}
        idle = a_slice(node=node, used_ns=0)
        replica.store.commit([a_batch(1, idle, agent=AgentId(node, AGENT.epoch), **closed)])


def told(also: tuple[HostPort, ...], scene: Callable[[str, str, str], None]) -> None:
    """The page of one of two aggregators, as everybody and a reader of a namespace see it, and that of an old time."""

    async def whole() -> None:
        async with replicas(NOW_NS, Wish(also=also), Wish()) as (one, two):
            keep(one, NODE, AWAY)
            tell(one.board, NODE, one.clock.now(), seen())
            tell(two.board, AWAY, two.clock.now(), seen(a_slice(node=AWAY), used=6))
            old = await page(one, "window=2026-02-02T02:00:00Z,2026-02-02T02:40:00Z")
            scene(await page(one), old, await page(two))

    play(whole())


def test_the_page_shows_what_all_of_them_tell() -> None:
    def look(now: str, old: str, _: str) -> None:
        assert "Live, 2 s ago" in now
        # One of the two that were idle is in use, which another aggregator knows.
        assert "1 workload holds 1 GPU and does nothing." in now
        assert "in use since a moment, 2 s ago" in now
        assert "aggregators" not in now
        assert "aggregators" not in old

    told((), look)


def test_the_page_says_who_did_not_answer() -> None:
    sentence = f"1 of 3 aggregators did not answer ({SOMEBODY}): what its nodes do now is not shown."

    def look(now: str, old: str, others: str) -> None:
        assert sentence in now
        assert "Live, 2 s ago" in now
        assert "aggregators" not in old
        assert "aggregators" not in others

    told((SOMEBODY,), look)


def test_a_reader_of_a_namespace_is_not_told_where_they_are() -> None:
    access = ReaderAccess(lambda: parse_readers(parse_yaml(READERS, "readers.yaml")))

    async def scene() -> None:
        async with replicas(NOW_NS, Wish(also=(SOMEBODY,), access=access)) as (one,):
            keep(one, NODE)
            text = await page(one, Authorization="Bearer the-token-of-a-researcher")
            assert "1 of 2 aggregators did not answer: what its nodes do now is not shown." in text
            assert str(SOMEBODY.port) not in text

    play(scene())
