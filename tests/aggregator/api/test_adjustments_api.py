"""Adjustments over HTTP: pages as JSON and CSV, and reports that close with them."""

import csv
import io

from gpucost.cost_slice import COLUMNS
from gpucost.window import Interval, to_rfc3339

from contracts.asking import Web
from contracts.ledger_rows import GPU, MINUTE_NS, NODE, PRICE, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.store.lost_time import STORE_LOST, lost_slices

_WINDOW = f"window={to_rfc3339(START_NS)},{to_rfc3339(START_NS + 4 * MINUTE_NS)}"


def a_web() -> Web:
    store = MemoryStore()
    lost = Interval(START_NS, START_NS + 4 * MINUTE_NS)
    rows = lost_slices(NODE, {GPU.gpu_uuid: PRICE}, lost, MINUTE_NS, STORE_LOST)
    store.commit([a_batch(4, *rows)])
    store.commit([a_batch(2, a_slice(1, used_ns=1), a_slice(2))])
    return Web(store, START_NS + 5 * MINUTE_NS)


def test_pages_as_json() -> None:
    web = a_web()
    first = web.get(f"/api/v1/adjustments?{_WINDOW}&limit=3")
    assert first.status == 200, first.text
    rest = web.get(f"/api/v1/adjustments?{_WINDOW}&limit=3&cursor={first.json['next_cursor']}").json
    rows = [*first.json["adjustments"], *rest["adjustments"]]
    assert [row["adjustment_reason"] for row in rows] == ["late", "late", "replaced", "replaced"]
    assert rest["next_cursor"] is None
    assert sum(int(row["length_ns"]) for row in rows) == 0
    assert all(row["made_at_ns"] for row in rows)
    assert web.get("/api/v1/adjustments?cursor=x").status == 400


def test_as_csv() -> None:
    answer = a_web().get(f"/api/v1/adjustments?{_WINDOW}&format=csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == [*COLUMNS, "adjustment_reason", "made_at_ns"]
    assert len(rows) == 4


def test_slices_and_adjustments_make_the_report() -> None:
    web = a_web()
    slices = web.get(f"/api/v1/slices?{_WINDOW}").json["slices"]
    assert len(slices) == 4
    adjustments = web.get(f"/api/v1/adjustments?{_WINDOW}").json["adjustments"]
    report = web.get(f"/api/v1/reports/namespaces?{_WINDOW}").json
    for name in ("cost_nanodollars", "used_ns", "idle_ns", "unmeasured_ns", "reserved_ns"):
        assert sum(int(row[name]) for row in [*slices, *adjustments]) == int(report["total"][name])
    assert int(report["total"]["charged_ns"]) == 4 * MINUTE_NS
