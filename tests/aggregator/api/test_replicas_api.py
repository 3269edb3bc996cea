"""Live over several aggregators: what the one that is asked answers, to whom, and what only the others may ask."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpucost.identity import NodeId
from gpucost.peers_wire import ToldGlimpse, glimpses_from_bytes, glimpses_to_bytes
from gpucost.units import NS_PER_SECOND
from gpucost.yaml_marks import parse_yaml

from contracts.agent_process import free_port
from contracts.ledger_rows import AGENT, MINUTE_NS, NODE, POD, START_NS, a_batch, a_slice
from contracts.live_glimpses import seen, tell
from contracts.replica_stage import HostPort, Replica, Wish, a_stranger, answering, play, replicas
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.live.board import MOST_BYTES, Why
from gpucost_aggregator.peers.calling import ASKED_BY, CONTENT_TYPE, PATH
from gpucost_aggregator.peers.gathering import KEPT_NS
from gpucost_aggregator.store.rows import AgentId

NOW_NS = START_NS + 5 * MINUTE_NS
WEST = NodeId("west", "node-w")
AWAY = NodeId("east", "node-2")
CHAT = replace(POD, namespace="chat", pod="llama-0", pod_uid="uid-1")
PEERS_TOKEN = "a-token-of-the-aggregators"
TOKENS = {name: f"{name}-token-" * 3 for name in ("all", "east", "research")}
SCOPES = {"all": "", "east": ", clusters: [east]", "research": ", namespaces: [research]"}
READERS = "readers:\n" + "".join(
    f"  - {{name: {name}, token_sha256: {hashlib.sha256(TOKENS[name].encode()).hexdigest()}{scope}}}\n"
    for name, scope in SCOPES.items()
)
SOMEBODY = HostPort("127.0.0.1", free_port())


def put(replica: Replica, node: NodeId, *, used: int = 0, holder: Any = POD) -> object:
    return tell(replica.board, node, replica.clock.now(), seen(a_slice(node=node, holder=holder), used=used))


def keep(replica: Replica, *nodes: NodeId) -> None:
    """Their books are in the store of that one."""
    for node in nodes:
        replica.store.commit([a_batch(1, a_slice(node=node, used_ns=0), agent=AgentId(node, AGENT.epoch))])


async def live(replica: Replica, query: str = "", token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
    status, _, body = await replica.get(f"/api/v1/live{query}", **headers)
    assert status == 200, body
    return json.loads(body)


def who(body: Any) -> list[tuple[str, str]]:
    return [(row["node"], row["pod"]) for row in body["rows"]]


def test_the_one_that_is_asked_answers_for_all() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish(), Wish()) as (one, two, three):
            keep(one, NODE)
            put(one, NODE)
            put(two, WEST)
            put(three, AWAY)
            for replica in (one, two, three):
                body = await live(replica)
                assert who(body) == [("node-1", "train-0"), ("node-2", "train-0"), ("node-w", "train-0")]
                assert body["replicas"] == {"asked": 3, "answered": 3, "silent": []}
                assert body["nodes"] == {"heard": 3, "expected": 3}
            assert who(await live(one, "?cluster=west")) == [("node-w", "train-0")]
            assert who(await live(one, "?node=node-2")) == [("node-2", "train-0")]
            cut = await live(one, "?limit=2")
            assert (len(cut["rows"]), cut["cut"]) == (2, True)
            _, headers, csv = await one.get("/api/v1/live?format=csv")
            assert (headers["Content-Type"], csv.count(b"\n")) == ("text/csv; charset=utf-8", 4)

    play(scene())


def test_of_a_node_that_two_tell_of_the_younger_word_counts() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            put(one, NODE, used=0)
            one.clock.pass_ns(5 * NS_PER_SECOND)
            put(two, NODE, used=6)
            assert [row["used_ratio"] for row in (await live(one))["rows"]] == [1.0]
            assert (await live(one))["nodes"] == {"heard": 1, "expected": 1}
            two.clock.pass_ns(6 * NS_PER_SECOND)
            one.clock.pass_ns(KEPT_NS)
            assert [row["used_ratio"] for row in (await live(one))["rows"]] == [0.0]

    play(scene())


def test_one_that_does_not_answer_is_named_and_the_rest_is_shown() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(also=(SOMEBODY,)), Wish()) as (one, two):
            put(one, NODE)
            put(two, WEST)
            body = await live(one)
            assert len(body["rows"]) == 2
            assert body["replicas"] == {"asked": 3, "answered": 2, "silent": [str(SOMEBODY)]}
            await two.server.close()
            one.clock.pass_ns(KEPT_NS)
            body = await live(one)
            assert who(body) == [("node-1", "train-0")]
            assert (body["replicas"]["asked"], len(body["replicas"]["silent"])) == (3, 2)

    play(scene())


def test_what_was_left_out_of_an_answer_is_counted_and_the_shortest_interval_is_told() -> None:
    too_large = ToldGlimpse(WEST, 1, 1, bytes(MOST_BYTES + 1))
    head = f"HTTP/1.1 200 OK\nContent-Type: {CONTENT_TYPE}"

    async def scene() -> None:
        for interval_s, shortest in ((3, 3), (60, 8)):
            body = glimpses_to_bytes("other", interval_s * NS_PER_SECOND, [too_large])
            async with (
                a_stranger(answering(head, body)) as other,
                replicas(NOW_NS, Wish(also=(other,))) as (one,),
            ):
                assert (await live(one))["interval_seconds"] == shortest
                assert one.board.counts.refused[Why.UNREADABLE] == 1

    play(scene())


def test_what_one_of_them_can_not_read_is_counted_here() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            now, stream = two.clock.now(), object()
            two.board.enter(WEST, stream, now)
            two.board.put(WEST, stream, now.wall_ns, lambda: b"\xff", now)
            body = await live(one)
            assert (body["rows"], body["unreadable"], body["nodes"]["heard"]) == ([], 1, 1)
            assert one.board.counts.refused[Why.UNREADABLE] == 1

    play(scene())


@pytest.fixture
def guarded(tmp_path: Path) -> Wish:
    file = tmp_path / "token"
    file.write_text(PEERS_TOKEN)
    return Wish(file, access=ReaderAccess(lambda: parse_readers(parse_yaml(READERS, "readers.yaml"))))


def test_scopes_hold_where_the_answer_is_made(guarded: Wish) -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, replace(guarded, also=(SOMEBODY,)), guarded) as (one, two):
            keep(one, NODE)
            put(two, NODE)
            put(two, WEST, holder=CHAT)
            everything = await live(one, token="all")
            assert who(everything) == [("node-1", "train-0"), ("node-w", "llama-0")]
            assert everything["replicas"] == {"asked": 3, "answered": 2, "silent": [str(SOMEBODY)]}
            east = await live(one, token="east")
            assert (who(east), east["nodes"]) == ([("node-1", "train-0")], {"heard": 1, "expected": 1})
            research = await live(one, token="research")
            assert (who(research), research["nodes"]) == (
                [("node-1", "train-0")],
                {"heard": None, "expected": None},
            )
            assert research["replicas"] == {"asked": 3, "answered": 2, "silent": None}
            assert str(SOMEBODY.port) not in json.dumps(research)

    play(scene())


@pytest.mark.parametrize(
    "path", [PATH, PATH.replace("g", "%67"), f"{PATH}?x=1", f"/{PATH}", f"{PATH}/", PATH.upper()]
)
@pytest.mark.parametrize("token", ["", *TOKENS.values(), f"{PEERS_TOKEN}x"])
def test_no_reader_reaches_what_all_nodes_told(guarded: Wish, path: str, token: str) -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, guarded) as (one,):
            put(one, NODE)
            status, _, body = await one.get(path, **({"Authorization": f"Bearer {token}"} if token else {}))
            assert status in (401, 404)
            assert b"node-1" not in body
            assert b"train-0" not in body

    play(scene())


def test_other_aggregators_do_by_their_token(guarded: Wish) -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, guarded) as (one,):
            put(one, NODE)
            one.clock.pass_ns(3 * NS_PER_SECOND)
            bearer = {"Authorization": f"Bearer {PEERS_TOKEN}"}
            status, headers, body = await one.get(PATH, **bearer)
            assert (status, headers["Content-Type"]) == (200, "application/x-protobuf")
            told = glimpses_from_bytes(body)
            (glimpse,) = told.glimpses
            assert (told.replica, glimpse.node, glimpse.age_ns) == ("replica-0", NODE, 3 * NS_PER_SECOND)
            # To itself it says no more than that it is it.
            _, _, body = await one.get(PATH, **bearer, **{ASKED_BY: "replica-0"})
            assert glimpses_from_bytes(body) == replace(told, glimpses=())
            assert one.counts.answered_here == 1
            # And of all else it is no token.
            assert (await one.get("/api/v1/live", **bearer))[0] == 401
            assert (await one.get("/", **bearer))[0] == 401

    play(scene())


def test_aggregators_with_other_tokens_do_not_hear_each_other(guarded: Wish, tmp_path: Path) -> None:
    async def scene() -> None:
        other = tmp_path / "other"
        other.write_text("another-token-of-aggregators")
        async with replicas(NOW_NS, guarded, replace(guarded, token_file=other)) as (one, two):
            put(two, WEST)
            body = await live(one, token="all")
            assert (body["rows"], body["replicas"]["silent"]) == ([], [str(two.address)])
            (refused,) = two.refused
            assert "a token that is not that of the aggregators" in refused.detail

    play(scene())


def test_a_token_file_that_is_gone_shows_nothing_and_lets_nobody_in(guarded: Wish) -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, guarded, guarded) as (one, two):
            put(one, NODE)
            put(two, WEST)
            assert len((await live(one, token="all"))["rows"]) == 2
            one.clock.pass_ns(KEPT_NS)
            assert guarded.token_file
            guarded.token_file.unlink()
            body = await live(one, token="all")
            assert who(body) == [("node-1", "train-0")]
            assert body["replicas"] == {"asked": 2, "answered": 1, "silent": [str(two.address)]}
            assert two.counts.answered_here == 1
            assert (await one.get(PATH, Authorization=f"Bearer {PEERS_TOKEN}"))[0] == 401

    play(scene())


def test_where_there_are_no_others_nobody_is_answered() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(is_served=False)) as (one,):
            put(one, NODE)
            assert (await one.get(PATH))[0] == 401

    play(scene())
