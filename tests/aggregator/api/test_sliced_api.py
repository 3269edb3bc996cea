"""A node of MIG devices, shared and taken GPUs, as JSON and CSV."""

import csv
import io
from typing import Any

import pytest
from gpucost.identity import REMAINDER
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts import sample_fleet
from contracts.asking import Web
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import MEASURES, MINER, UUIDS, fill

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND
REPORTS = ("namespaces", "models", "idle", "shadow")


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    fill(store, END - 12 * WINDOW, 12, WINDOW)
    sample_fleet.fill(store, END - 12 * WINDOW, 12, WINDOW)
    return Web(store, END + 15 * NS_PER_SECOND)


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def of_line(body: Any, name: str) -> int:
    return sum(int(row[name]) for row in body["rows"]) + sum(
        int(line[name])
        for kind, line in body["remainders"].items()
        if kind not in ("unpriced", "quarantined")
    )


@pytest.mark.parametrize("query", ["", "&cluster=prod-us", "&namespace=sandbox", "&limit=2", "&basis=blend"])
def test_every_report_of_a_period_closes_to_the_same_total(web: Web, query: str) -> None:
    totals = set()
    for report in REPORTS:
        body = web.get(f"/api/v1/reports/{report}?window=1h{query}").json
        for name in ("charged_ns", "reserved_ns", "cost_nanodollars", "billed_nanodollars"):
            assert of_line(body, name) == int(body["total"][name])
        totals.add((body["total"]["charged_ns"], body["total"]["cost_nanodollars"]))
    assert len(totals) == 1


def test_shadow_says_who_where_when_how_much_and_whose_it_was(web: Web) -> None:
    body = web.get("/api/v1/reports/shadow?window=1h&cluster=prod-us").json
    first = body["rows"][0]
    assert (first["namespace"], first["pod"], first["holder_kind"]) == ("sandbox", MINER.pod, "container")
    assert (first["cluster"], first["node"], first["gpu_uuid"]) == ("prod-us", "us-mig-0", UUIDS[1])
    assert (first["device_name"], first["gpu_model"]) == ("GPU-a00001", "NVIDIA H100 80GB HBM3")
    assert (first["first_use"], first["last_use"]) == ("2026-11-21T07:58:00Z", "2026-11-21T08:00:00Z")
    assert first["holders"] == ["search/embedder-5d9c7f-kk2pl", "training/finetune-42-z8m7c"]
    assert (first["holders_in_all"], first["holders_unknown"]) == (2, [])
    assert (first["owner_kind"], first["owner_name"]) == ("Deployment", "miner")
    assert first["used_ns"] == first["charged_ns"] == str(12 * WINDOW // 10)
    assert (first["reserved_ns"], first["flags"]) == ("0", ["shadow"])
    assert [row["holder_kind"] for row in body["rows"]].count("host") == 1
    assert body["remainders"]["host"]["charged_ns"] == "0"
    assert int(body["remainders"]["given"]["charged_ns"]) > 0


def test_shadow_as_csv_names_holders_and_adds_up(web: Web) -> None:
    rows = parsed(web.get("/api/v1/reports/shadow?window=1h&format=csv").text)
    assert rows[0]["holders"] == "search/embedder-5d9c7f-kk2pl training/finetune-42-z8m7c"
    assert [row["line"] for row in rows].count("row") == 5
    assert {row["remainder"] for row in rows if row["line"] == "remainder"} >= {"given", "host"}
    parts = sum(int(row["cost_nanodollars"]) for row in rows if row["line"] != "total")
    assert parts == int(rows[-1]["cost_nanodollars"])


def test_idle_tells_mig_devices_and_rests_apart(web: Web) -> None:
    body = web.get("/api/v1/reports/idle?window=1h&cluster=prod-us").json
    rows = {row["device_name"]: row for row in body["rows"] if row["gpu_uuid"] == UUIDS[0]}
    assert {name: (row["gi"], row["ci"], row["can_be_held"]) for name, row in rows.items()} == {
        "MIG 3g.40gb · GPU-a00000": ("1", "0", True),
        "MIG 2g.20gb · GPU-a00000": ("2", "0", True),
        "rest of MIG 2g.20gb · GPU-a00000": ("2", None, False),
        "MIG 1g.10gb · GPU-a00000": ("3", "0", True),
        "rest of GPU-a00000": (None, None, False),
    }
    assert rows["rest of GPU-a00000"]["profile"] == REMAINDER
    text = web.get("/api/v1/reports/idle?window=1h&format=csv").text
    shown = {row["device_name"]: row["can_be_held"] for row in parsed(text)}
    assert (shown["MIG 2g.20gb · GPU-a00000"], shown["rest of GPU-a00000"]) == ("true", "false")


def test_slices_keep_devices_weights_methods_flags_and_activity(web: Web) -> None:
    path = "/api/v1/slices?window=1h&limit=10000"
    slices = web.get(path).json["slices"]
    worker = next(row for row in slices if row["gpu_uuid"] == UUIDS[0] and row["namespace"] == "chat")
    assert (worker["gi"], worker["ci"], worker["profile"], worker["placement"]) == ("1", "0", "3g.40gb", "4")
    assert (worker["weight_numerator"], worker["weight_denominator"], worker["method"]) == ("1", "2", "gpm")
    assert worker["sm_active_ns"] == str(MEASURES.sm_active_ns)
    assert worker["tensor_active_ns"] == str(MEASURES.tensor_active_ns)
    assert worker["dram_active_ns"] == "0", "nothing was read: that is a measurement"
    assert {row["method"] for row in slices} == {"gpm", "memory", "equal", "ring", None}
    assert {flag for row in slices for flag in row["flags"]} == {"shadow", "carried", "oversubscribed"}
    rows = parsed(web.get(f"{path}&format=csv").text)
    assert [row["dram_active_ns"] for row in rows] == [row["dram_active_ns"] or "" for row in slices]


def test_a_filter_of_namespaces_leaves_no_holder_unnamed(web: Web) -> None:
    body = web.get("/api/v1/reports/shadow?window=1h&namespace=sandbox").json
    assert {row["namespace"] for row in body["rows"]} == {"sandbox"}
    assert body["rows"][0]["holders"] == ["search/embedder-5d9c7f-kk2pl", "training/finetune-42-z8m7c"]
