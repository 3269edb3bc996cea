"""What is true now over HTTP: rows, freshness, filters, faces; and only what is the reader's."""

import csv
import hashlib
import io
from dataclasses import replace
from typing import Any

import pytest
from gpucost.clock import Instant
from gpucost.cost_slice import Measures
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND
from gpucost.yaml_marks import parse_yaml

from contracts.asking import Web
from contracts.hand_clock import HandClock
from contracts.ledger_rows import AGENT, MIG, MINUTE_NS, NODE, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.live_glimpses import seen, tell
from contracts.memory_store import MemoryStore
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.api.live_routes import MEASURED, WHO
from gpucost_aggregator.live.board import Board, Why
from gpucost_aggregator.live.pace import SHORTEST_NS
from gpucost_aggregator.store.rows import AgentId

PATH = "/api/v1/live"
NOW_NS = START_NS + 5 * MINUTE_NS
WEST = NodeId("west", "node-w")
SILENT = NodeId("east", "node-2")
CHAT = replace(POD, namespace="chat", pod="llama-0", pod_uid="uid-1")
TOKENS = {name: f"{name}-token-" * 3 for name in ("east", "research", "west-chat")}
READERS = "readers:\n" + "".join(
    f"  - {{name: {name}, token_sha256: {hashlib.sha256(token.encode()).hexdigest()}, {scope}}}\n"
    for (name, token), scope in zip(
        TOKENS.items(),
        ("clusters: [east]", "namespaces: [research]", "clusters: [west], namespaces: [chat]"),
        strict=True,
    )
)


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    for node in (NODE, WEST, SILENT):
        store.commit([a_batch(1, a_slice(node=node), agent=AgentId(node, AGENT.epoch))])
    board, now = Board(), HandClock(NOW_NS).now()
    earlier = Instant(now.wall_ns - 4 * NS_PER_SECOND, now.monotonic_ns - 4 * NS_PER_SECOND)
    shared = replace(
        seen(a_slice(holder=CHAT), used=3, reserved=3),
        flags=("shadow",),
        measures=Measures(memory_held_bytes_max=2**33, sm_active_ns=3 * NS_PER_SECOND),
    )
    tell(board, NODE, now, seen(used=1, reserved=3), shared, seen(a_free_slice(device=MIG)))
    tell(board, WEST, earlier, seen(a_slice(node=WEST), unmeasured=6))
    return Web(store, NOW_NS, board=board)


def ask(web: Web, query: str = "", token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
    answer = web.get(f"{PATH}{query}", headers=headers)
    assert answer.status == 200, answer.text
    return answer.json


def who(body: Any) -> list[tuple[str, str | None]]:
    return [(row["cluster"], row["pod"]) for row in body["rows"]]


def test_what_a_row_says(web: Web) -> None:
    body = ask(web)
    assert [set(row) for row in body["rows"]] == [{*WHO, *MEASURED}] * 4
    shared, own, free, unknown = body["rows"]
    assert (shared["pod"], shared["used_ratio"], shared["reserved_ratio"]) == ("llama-0", 0.5, 0.5)
    assert (shared["flags"], shared["memory_held_bytes"], shared["sm_active_ratio"]) == (
        ["shadow"], str(2**33), 0.5,
    )  # fmt: skip
    assert (own["used_ratio"], own["reserved_ratio"]) == (0.166667, 0.5)
    assert (own["sm_active_ratio"], own["memory_held_bytes"]) == (None, None)
    assert (free["holder_kind"], free["pod"], free["gi"], free["used_ratio"]) == ("unallocated", None, "1", 0)
    assert (unknown["used_ratio"], unknown["unmeasured_ratio"]) == (None, 1)
    assert [row["age_seconds"] for row in body["rows"]] == [2, 2, 2, 6]


def test_what_it_says_of_itself(web: Web) -> None:
    body = ask(web)
    assert body["nodes"] == {"heard": 2, "expected": 3}
    assert body["interval_seconds"] == SHORTEST_NS / NS_PER_SECOND
    assert (body["taken_at"]["first"], body["taken_at"]["last"]) == (
        "2026-02-02T02:44:56Z", "2026-02-02T02:45:00Z",
    )  # fmt: skip
    assert (body["cut"], body["unreadable"]) == (False, 0)


def test_filters(web: Web) -> None:
    assert who(ask(web, "?cluster=west")) == [("west", "train-0")]
    assert ask(web, "?cluster=west")["nodes"] == {"heard": 1, "expected": 1}
    assert who(ask(web, "?node=node-w,node-x")) == [("west", "train-0")]
    assert ask(web, "?node=node-w")["nodes"] == {"heard": 2, "expected": 3}
    assert who(ask(web, "?namespace=chat")) == [("east", "llama-0")]
    cut = ask(web, "?limit=1")
    assert (who(cut), cut["cut"]) == ([("east", "llama-0")], True)
    assert ask(web, "?limit=4")["cut"] is False
    empty = ask(web, "?cluster=north")
    assert (empty["rows"], empty["taken_at"], empty["nodes"]) == ([], None, {"heard": 0, "expected": 0})


@pytest.mark.parametrize("query", ["?window=1h", "?limit=0", "?format=xml", "?limit=1&limit=2"])
def test_what_can_not_be_read_is_refused(web: Web, query: str) -> None:
    assert web.get(f"{PATH}{query}").status == 400


def test_csv_is_the_same(web: Web) -> None:
    rows = list(csv.DictReader(io.StringIO(web.get(f"{PATH}?format=csv").text)))
    assert list(rows[0]) == [*WHO, *MEASURED]
    assert [row["used_ratio"] for row in rows] == ["0.5", "0.166667", "0.0", ""]
    assert [row["flags"] for row in rows] == ["shadow", "", "", ""]


def test_what_nodes_do_not_tell_again_is_gone(web: Web) -> None:
    def rows_after(elapsed_ns: int) -> int:
        later = HandClock(NOW_NS).now()
        later = Instant(later.wall_ns + elapsed_ns, later.monotonic_ns + elapsed_ns)
        return len(web.board.fresh(later))

    assert [rows_after(seconds * NS_PER_SECOND) for seconds in (20, 21, 24, 25)] == [2, 1, 1, 0]


def test_a_node_that_reported_nothing_yet_is_expected_all_the_same() -> None:
    board = Board()
    tell(board, NODE, HandClock(NOW_NS).now(), seen())
    assert ask(Web(MemoryStore(), NOW_NS, board=board))["nodes"] == {"heard": 1, "expected": 1}


def test_what_can_not_be_read_is_counted(web: Web) -> None:
    board, now = web.board, HandClock(NOW_NS).now()
    stream = object()
    board.enter(SILENT, stream, now)
    board.put(SILENT, stream, now.wall_ns, lambda: b"\xff", now)
    assert (len(ask(web)["rows"]), ask(web)["unreadable"]) == (4, 1)
    assert board.counts.refused[Why.UNREADABLE] == 2


@pytest.fixture
def guarded(web: Web) -> Web:
    return replace(web, access=ReaderAccess(lambda: parse_readers(parse_yaml(READERS, "readers.yaml"))))


def test_a_reader_sees_no_more_than_their_part(guarded: Web) -> None:
    assert guarded.get(PATH).status == 401
    east = ask(guarded, token="east")
    assert {row["cluster"] for row in east["rows"]} == {"east"}
    assert east["nodes"] == {"heard": 1, "expected": 2}
    research = ask(guarded, token="research")
    assert who(research) == [("east", "train-0"), ("west", "train-0")]
    assert research["nodes"] == {"heard": None, "expected": None}
    nothing = ask(guarded, token="west-chat")
    assert (nothing["rows"], nothing["taken_at"], nothing["nodes"]["heard"]) == ([], None, None)


@pytest.mark.parametrize(
    ("token", "query"),
    [
        ("east", "?cluster=west"),
        ("research", "?namespace=chat"),
        ("west-chat", "?cluster=east&namespace=chat"),
    ],
)
def test_what_is_not_theirs_is_refused(guarded: Web, token: str, query: str) -> None:
    answer = guarded.get(f"{PATH}{query}", headers={"Authorization": f"Bearer {TOKENS[token]}"})
    assert answer.status == 403
