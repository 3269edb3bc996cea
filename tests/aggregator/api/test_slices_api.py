import csv
import io

import pytest
from gpucost.cost_slice import COLUMNS
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.asking import Web
from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    fill(store, END - 12 * WINDOW, 12, WINDOW)
    return Web(store, END + 15 * NS_PER_SECOND)


def next_link(header: str) -> str:
    assert header.endswith('>; rel="next"')
    return header.removeprefix("<").removesuffix('>; rel="next"')


def test_pages_in_csv_lead_to_every_slice_once(web: Web) -> None:
    path, rows, pages = "/api/v1/slices?window=1h&limit=25", [], 0
    while path:
        answer = web.get(path, accept="text/csv")
        page = list(csv.reader(io.StringIO(answer.text)))
        assert page[0] == list(COLUMNS)
        rows += page[1:]
        pages += 1
        path = next_link(answer.headers["Link"]) if "Link" in answer.headers else ""
    store = web.store
    assert isinstance(store, MemoryStore)
    assert pages == -(-len(store.rows) // 25)
    expected = sorted([text(row) for text in COLUMNS.values()] for row in store.rows.values())
    assert sorted(rows) == expected


def test_the_next_page_is_of_the_same_window(web: Web) -> None:
    answer = web.get("/api/v1/slices?window=1h&limit=1&cluster=prod-us")
    link = next_link(answer.headers["Link"])
    assert "window=2026-11-21T07:00:00Z,2026-11-21T08:00:00Z" in link
    assert "cluster=prod-us" in link
    assert answer.json["next_cursor"] == answer.headers["X-Next-Cursor"]


def test_json_has_the_columns_with_none_for_what_is_not_known(web: Web) -> None:
    body = web.get("/api/v1/slices?window=1h&namespace=chat&limit=10000").json
    assert body["next_cursor"] is None
    assert len(body["slices"]) == 12
    first = body["slices"][0]
    assert list(first) == list(COLUMNS)
    assert (first["holder_kind"], first["gi"], first["flags"]) == ("container", None, [])
    assert first["length_ns"] == str(WINDOW)


def test_a_strange_cursor_is_told_apart(web: Web) -> None:
    answer = web.get("/api/v1/slices?cursor=made-up")
    assert (answer.status, answer.json["parameter"]) == (400, "cursor")


def test_reports_take_no_cursor_and_slices_no_basis(web: Web) -> None:
    assert web.get("/api/v1/slices?basis=measured").status == 400
