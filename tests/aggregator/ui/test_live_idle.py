"""The Idle page tells what is true now where nodes tell it, and how fresh that is; with a script and without."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from gpucost.cost_slice import CostSlice
from gpucost.identity import UNATTRIBUTED, Device, NodeId

from contracts.asking import Web
from contracts.hand_clock import HandClock
from contracts.ledger_rows import AGENT, MINUTE_NS, NODE, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.live_glimpses import seen, tell
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import MINER
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.store.rows import AgentId
from gpucost_aggregator.ui import sight
from gpucost_aggregator.ui.pages import static_file, static_link
from gpucost_aggregator.ui.replicas import Replicas, silence

OTHER = Device("GPU-00000000-0000-0000-0000-000000000003")
AWAY = NodeId("east", "node-2")
NOW_NS = START_NS + MINUTE_NS
IDLE, BUSY, FREE = a_slice(used_ns=0), a_slice(used_ns=MINUTE_NS // 2), a_free_slice(device=OTHER)
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def web_of(slices: Sequence[CostSlice], *now: CostSlice, nodes: Sequence[NodeId] = (NODE,)) -> Web:
    """The books of *slices*, and what their node tells *now*."""
    store, board = MemoryStore(), Board()
    for node in nodes:
        own = [row for row in slices if row.key.node == node]
        closed = {"closed_through_ns": NOW_NS, "received_at_ns": NOW_NS}
        store.commit([a_batch(1, *own, agent=AgentId(node, AGENT.epoch), **closed)])
    if now:
        tell(board, NODE, HandClock(NOW_NS).now(), *now)
    return Web(store, NOW_NS, board=board)


def words(html: str) -> str:
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html.split("<main", 1)[1].split("</main>", 1)[0]))
    )


def text_of(web: Web, query: str = "window=1h") -> str:
    return words(web.get(f"/idle?{query}").text)


def test_what_is_used_now_is_not_called_idle_now() -> None:
    text = text_of(web_of([IDLE], seen(used=1)))
    assert "Nothing that is held is idle now." in text
    assert "in use since a moment, 2 s ago" in text[text.index("Idle in part") :]
    assert "kubectl" not in text
    assert "Live, 2 s ago" in text


def test_what_is_still_idle_is_called_so() -> None:
    for now in ([], [seen()], [seen(unmeasured=6)]):
        text = text_of(web_of([IDLE], *now))
        assert "1 workload holds 1 GPU and does nothing." in text
        assert "kubectl" in text
        assert "since a moment" not in text


def test_use_that_no_process_accounts_for_may_be_the_holders() -> None:
    stray = seen(a_slice(holder=UNATTRIBUTED), used=2, reserved=0)
    assert "Nothing that is held is idle now." in text_of(web_of([IDLE], seen(reserved=6, used=0), stray))


def test_use_by_somebody_else_makes_nobody_else_busy() -> None:
    miner = seen(a_slice(holder=MINER), used=2, reserved=0)
    assert "1 workload holds 1 GPU and does nothing." in text_of(web_of([IDLE], seen(used=0), miner))


def test_the_other_way_it_is_only_quiet() -> None:
    text = text_of(web_of([BUSY], seen()))
    assert "quiet now" in text[text.index("Idle in part") :]
    assert "Nothing that is held is idle now." in text
    assert "quiet now" not in text_of(web_of([BUSY], seen(used=1)))
    assert "quiet now" not in text_of(web_of([BUSY], seen(unmeasured=1)))
    assert "quiet now" not in text_of(web_of([BUSY]))


@pytest.mark.parametrize(
    ("now", "state", "sentence"),
    [
        (seen(a_free_slice(device=OTHER)), "Free now", "1 GPU is free."),
        (seen(a_slice(device=OTHER)), "Taken since a moment, 2 s ago", "1 GPU was given away a moment ago."),
        (
            seen(a_slice(device=OTHER, holder=MINER), used=3, reserved=0),
            "In use since a moment, 2 s ago",
            "1 GPU is used without being given.",
        ),
    ],
)
def test_what_was_free(now: CostSlice, state: str, sentence: str) -> None:
    rest = [] if now.time.reserved_ns else [seen(a_free_slice(device=OTHER), used=0, reserved=6)]
    text = text_of(web_of([FREE], now, *rest))
    assert state in text
    assert sentence in text
    assert ("Free now" in text) == (state == "Free now")


def test_how_fresh_it_is_is_said() -> None:
    away = replace(a_slice(node=AWAY, used_ns=0), key=replace(a_slice(node=AWAY).key, device=OTHER))
    both = {"nodes": (NODE, AWAY)}
    end = r"as of the window that ended 02:41 UTC"
    assert re.search(rf"A{end[1:]}, no live data from 1 of 1 node ", text_of(web_of([IDLE])))
    some = text_of(web_of([IDLE, away], seen(), **both))
    assert re.search(rf"Live, 2 s ago; {end}, no live data from 1 of 2 nodes ", some)
    old = text_of(web_of([IDLE], seen(used=1)), "window=2026-02-02T02:00:00Z,2026-02-02T02:40:00Z")
    assert "Live" not in old
    assert "live data" not in old


def test_the_page_asks_for_the_nodes_that_it_shows() -> None:
    web = web_of([IDLE], seen())
    found = re.search(r'data-live="([^"]*)" data-every="(\d+)"', web.get("/idle?cluster=east").text)
    assert found
    assert (unescape(found[1]), found[2]) == ("/api/v1/live?cluster=east&node=node-1&limit=10000", "8")
    assert len(web.get(unescape(found[1])).json["rows"]) == 1
    nothing_idle = web_of([a_slice()], seen(used=6)).get("/idle").text
    assert 'data-live="/api/v1/live?limit=1"' in nothing_idle


def test_the_script_says_what_the_server_says() -> None:
    script = static_file("app.js").decode()
    for phrase in (
        sight.NOW_IN_USE,
        sight.NOW_TAKEN,
        sight.NOW_QUIET,
        sight.SINCE_A_MOMENT,
        "no live data from ",
    ):
        assert f'"{phrase}' in script
    said = silence(Replicas(3, 1, ["10.0.0.7:8080"]))
    for phrase in (" aggregators did not answer", ": what ", " nodes do now is not shown."):
        assert phrase in said
        assert f'"{phrase}' in script


def drawn(web: Web, answer: object, folder: Path) -> str:
    """The page some seconds later, where the API answers so; None: it does not answer."""
    html = web.get("/idle?window=1h").text
    told = (
        "Promise.reject(1)"
        if answer is None
        else f"Promise.resolve({{ok:true,json:()=>({json.dumps(answer)})}})"
    )
    scripts = f"<script>window.fetch=()=>{told}</script><script>{static_file('app.js').decode()}</script>"
    html = html.replace(f'<script src="{static_link("app.js")}" defer></script>', "")
    html = html.replace(f'<link rel="stylesheet" href="{static_link("app.css")}">', "")
    page = folder / "page.html"
    page.write_text(html.replace("</body>", f"{scripts}</body>"))
    assert BROWSER
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    return words(
        subprocess.run(
            [
                *(BROWSER, *flags.split(), f"--user-data-dir={folder / 'profile'}"),
                *("--virtual-time-budget=9000", "--dump-dom", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
    )


@pytest.mark.browser
def test_the_script_shows_what_changed_without_a_reload(tmp_path: Path) -> None:
    busy_pod = replace(POD, pod="busy-0", pod_uid="uid-b")
    third = replace(OTHER, gpu_uuid="GPU-00000000-0000-0000-0000-000000000004")
    half = a_slice(device=third, holder=busy_pod, used_ns=MINUTE_NS // 2)
    books = [IDLE, FREE, half]
    before = web_of(books, seen(), seen(FREE), seen(half, used=3))
    after = web_of(books, seen(used=1), seen(a_slice(device=OTHER)), seen(half))
    answer = after.get("/api/v1/live").json
    assert "Never used for 1 min" in text_of(before)
    text = drawn(before, answer, tmp_path)
    assert "In use since a moment, 2 s ago" in text
    assert "Taken since a moment, 2 s ago" in text
    assert "quiet now" in text
    assert "Free now" not in text
    assert "Live, 2 s ago · 2 below have changed since then: load again for the sums" in text
    same = drawn(before, before.get("/api/v1/live").json, tmp_path)
    assert "below" not in same
    assert "Free now" in same
    for replicas in (Replicas(3, 1, ["10.0.0.7:8080"]), Replicas(9, 5, [f"10.0.0.{n}:1" for n in range(5)])):
        told = {
            "asked": replicas.asked,
            "answered": replicas.asked - replicas.silent,
            "silent": replicas.named,
        }
        assert silence(replicas) in drawn(before, answer | {"replicas": told}, tmp_path)
    assert "aggregators" not in text
    gone = drawn(before, None, tmp_path)
    assert "As of the window that ended 02:41 UTC, no live data" in gone
