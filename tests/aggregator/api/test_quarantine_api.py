"""The quarantine over HTTP: pages, filters, faces; and what reports say of it."""

import csv
import io
from urllib.parse import quote

import pytest
from gpucost.cost_slice import COLUMNS

from contracts.asking import Web
from contracts.ledger_rows import AGENT, MINUTE_NS, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.api.quarantine_routes import ABOUT
from gpucost_aggregator.store.quarantine_rows import QuarantineId, Replay
from gpucost_aggregator.store.rows import Malformed, Refused

PATH = "/api/v1/quarantine"
NOW_NS = START_NS + 30 * MINUTE_NS


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    refused = (Refused(a_slice(1), "is from the future"), Refused(a_slice(2), "=breaks a law"))
    store.commit([a_batch(1, a_slice(0), refused=refused)])
    store.commit([a_batch(9, malformed=Malformed(b"\x00\xff", "no table"))])
    return Web(store, NOW_NS)


def ids(web: Web, query: str = "") -> list[str]:
    return [entry["id"] for entry in web.get(f"{PATH}{query}").json["entries"]]


def test_what_an_entry_says(web: Web) -> None:
    slice_, _, batch = web.get(PATH).json["entries"]
    assert set(slice_) == set(batch) == {*ABOUT, "slice"}
    assert (slice_["kind"], slice_["refused_because"], slice_["epoch"]) == (
        "slice", "is from the future", AGENT.epoch,
    )  # fmt: skip
    assert set(slice_["slice"]) == set(COLUMNS)
    assert slice_["slice"]["window_start_ns"] == str(START_NS + MINUTE_NS)
    assert (batch["kind"], batch["slice"], batch["message_bytes"]) == ("batch", None, 2)


def test_filters(web: Web) -> None:
    assert ids(web) == ["s1", "s2", "b1"]
    assert ids(web, "?cluster=west") == []
    assert ids(web, "?cluster=east,west&node=node-1") == ["s1", "s2", "b1"]
    assert ids(web, "?reason=LAW") == ["s2"]
    assert ids(web, "?since=2026-02-02T02:45:00Z") == ["b1"]
    assert ids(web, "?until=2026-02-02T02:45:00Z") == ["s1", "s2"]


def test_pages(web: Web) -> None:
    first = web.get(f"{PATH}?limit=2")
    cursor = first.json["next_cursor"]
    assert first.headers["X-Next-Cursor"] == cursor
    assert 'rel="next"' in first.headers["Link"]
    second = web.get(f"{PATH}?limit=2&cursor={quote(cursor)}")
    assert [entry["id"] for entry in second.json["entries"]] == ["b1"]
    assert second.json["next_cursor"] is None


def test_csv_is_the_same(web: Web) -> None:
    answer = web.get(f"{PATH}?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert list(rows[0]) == [*ABOUT, *COLUMNS]
    assert [row["id"] for row in rows] == ["s1", "s2", "b1"]
    assert rows[1]["refused_because"] == "'=breaks a law"
    assert rows[0]["pod"] == "train-0"
    assert (rows[2]["pod"], rows[2]["message_bytes"]) == ("", "2")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?since=yesterday", "since"),
        ("?until=1960-01-01T00:00:00Z", "until"),
        ("?replayed=perhaps", "replayed"),
        ("?cursor=x", "cursor"),
        ("?limit=0", "limit"),
        ("?window=1h", "window"),
        ("?reason=a&reason=b", "reason"),
    ],
)
def test_what_can_not_be_read_is_refused(web: Web, query: str, parameter: str) -> None:
    answer = web.get(f"{PATH}{query}")
    assert answer.status == 400
    assert answer.json["parameter"] == parameter


def test_reports_show_it_until_it_is_replayed(web: Web) -> None:
    def told() -> tuple[int, int, str, str]:
        body = web.get("/api/v1/reports/namespaces?window=2026-02-02T02:40:00Z,2026-02-02T03:00:00Z").json
        held = body["remainders"]["quarantined"]
        return held["slices"], held["batches"], held["charged_ns"], body["total"]["charged_ns"]

    assert told() == (2, 1, str(2 * MINUTE_NS), str(MINUTE_NS))
    slice_, batch = QuarantineId(False, 1), QuarantineId(True, 1)
    web.store.replay([Replay(slice_, a_batch(1, a_slice(1))), Replay(batch, a_batch(9))], NOW_NS)
    assert told() == (1, 0, str(MINUTE_NS), str(2 * MINUTE_NS))
    assert ids(web) == ["s2"]
    assert ids(web, "?replayed=true") == ["s1", "s2", "b1"]
