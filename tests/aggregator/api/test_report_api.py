import csv
import io
from collections.abc import Mapping
from typing import Any

import pytest
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.asking import Web
from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND
REPORTS = ("namespaces", "models", "idle", "shadow")
SUMS = ("reserved_ns", "used_ns", "idle_ns", "unmeasured_ns", "charged_ns", "cost_nanodollars")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, END - 12 * WINDOW, 12, WINDOW)
    return store


@pytest.fixture
def web(store: MemoryStore) -> Web:
    return Web(store, END + 15 * NS_PER_SECOND)


def lines(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    left = [line for name, line in body["remainders"].items() if name not in ("unpriced", "quarantined")]
    return [*body["rows"], *left]


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    "query", ["", "&cluster=prod-us", "&namespace=chat,search", "&limit=1", "&basis=blend"]
)
def test_rows_and_remainders_are_the_total_and_that_is_all_slices(
    web: Web, store: MemoryStore, report: str, query: str
) -> None:
    body = web.get(f"/api/v1/reports/{report}?window=1h{query}").json
    for name in (*SUMS, "billed_ns", "billed_nanodollars"):
        assert sum(int(line[name]) for line in lines(body)) == int(body["total"][name]), name
    slices = [
        row
        for row in store.rows.values()
        if ("cluster=" not in query or row.key.node.cluster == "prod-us")
        and ("namespace=" not in query or row.key.holder.namespace in ("chat", "search"))
    ]
    assert int(body["total"]["cost_nanodollars"]) == sum(row.cost.nanodollars for row in slices)
    assert int(body["total"]["charged_ns"]) == sum(row.time.charged_ns for row in slices)


def test_the_envelope_says_which_time_and_how_complete(web: Web) -> None:
    body = web.get("/api/v1/reports/namespaces?window=1h").json
    assert body["window"] == {"start": "2026-11-21T07:00:00Z", "end": "2026-11-21T08:00:00Z"}
    assert body["window_seconds"] == 10
    assert body["complete_through"] == "2026-11-21T08:00:00Z"
    assert (body["basis"], body["basis_version"], body["currency"]) == ("measured", "2026-11", "USD")
    assert list(body["remainders"]) == [
        "unallocated", "unobserved", "unattributed", "host", "unpriced", "quarantined",
    ]  # fmt: skip
    assert not body["cut_to_complete"]


def test_a_window_past_the_open_books_is_cut_and_says_so(web: Web) -> None:
    body = web.get("/api/v1/reports/models?window=2026-11-21T07:59:00Z/2026-11-21T09:00:00Z").json
    assert body["window"] == {"start": "2026-11-21T07:59:00Z", "end": "2026-11-21T08:00:00Z"}
    assert body["requested"]["end"] == "2026-11-21T09:00:00Z"
    assert body["cut_to_complete"]


def test_namespaces_are_rows_of_a_cluster_with_exact_integers_and_numbers_for_people(web: Web) -> None:
    rows = {row["namespace"]: row for row in web.get("/api/v1/reports/namespaces?window=1h").json["rows"]}
    jupyter = rows["notebooks"]
    assert jupyter["cluster"] == "prod-us"
    assert jupyter["cost_nanodollars"] == "229333334"
    assert jupyter["cost_usd"] == 0.229333334
    assert jupyter["gpu_hours"] == 120 / 3_600
    assert jupyter["efficiency"] == 0
    assert not jupyter["estimate"]
    speech = rows["speech"]
    assert speech["efficiency_is_lower_bound"]
    assert (speech["estimate"], speech["price_stale"]) == (True, True)
    assert (speech["price_sources"], speech["price_date_oldest"]) == (["catalogue"], "2026-01-02")


def test_models_say_where_their_names_come_from(web: Web) -> None:
    rows = web.get("/api/v1/reports/models?window=1h").json["rows"]
    assert {row["model"]: row["model_source"] for row in rows} == {
        "llama-3-8b": "label gpucost.dev/model",
        "bge-m3": "label model.aibrix.ai/name",
        "whisper-large-v3": "label serving.kserve.io/inferenceservice",
        "StatefulSet/jupyter-ada": "owner",
        "Job/finetune-42": "owner",
        "(pending)": "pending",
    }


def test_time_without_a_price_is_in_the_rows_and_shown_apart(web: Web) -> None:
    body = web.get("/api/v1/reports/namespaces?window=1h").json
    unpriced = body["remainders"]["unpriced"]
    assert unpriced["charged_ns"] == body["total"]["unpriced_ns"] == str(12 * WINDOW)
    assert unpriced["in_total"]
    assert not body["remainders"]["quarantined"]["in_total"]


def test_idle_names_holders_and_keeps_the_unknown_apart(web: Web) -> None:
    body = web.get("/api/v1/reports/idle?window=1h").json
    first = body["rows"][0]
    assert (first["pod"], first["idle_now"], first["idle_since"]) == (
        "jupyter-ada-0",
        True,
        "2026-11-21T07:58:00Z",
    )
    assert first["gpu_model"] == "NVIDIA H100 80GB HBM3"
    assert [row["reason"] for row in body["cannot_tell"]] == ["unmeasured", "kubelet_away"]
    costs = [int(row["cost_idle_nanodollars"]) for row in body["rows"]]
    assert costs == sorted(costs, reverse=True)


def test_what_a_limit_leaves_out_is_a_remainder(web: Web) -> None:
    body = web.get("/api/v1/reports/namespaces?window=1h&limit=2").json
    assert (len(body["rows"]), body["rows_in_all"]) == (2, 6)
    assert int(body["remainders"]["not_shown"]["cost_nanodollars"]) > 0


@pytest.mark.parametrize("report", REPORTS)
def test_csv_adds_up_too(web: Web, report: str) -> None:
    answer = web.get(f"/api/v1/reports/{report}?window=1h", accept="text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    total = next(row for row in rows if row["line"] == "total")
    for name in (*SUMS, "unpriced_ns"):
        parts = sum(int(row[name]) for row in rows if row["line"] != "total")
        assert parts == int(total[name])
    assert total["cost_usd"] == f"{int(total['cost_nanodollars']) / 1e9:.9f}"
    assert web.get(f"/api/v1/reports/{report}?window=1h&format=csv").text == answer.text


def test_lists_may_be_repeated_or_have_commas(web: Web) -> None:
    one = web.get("/api/v1/reports/namespaces?window=1h&namespace=chat&namespace=search").json
    other = web.get("/api/v1/reports/namespaces?window=1h&namespace=chat,search,chat").json
    assert one["rows"] == other["rows"]
    assert one["filter"] == {"cluster": [], "namespace": ["chat", "search"]}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("windw=1h", "windw"),
        ("window=soon", "window"),
        ("window=1h&window=2h", "window"),
        ("basis=usage", "basis"),
        ("tz=Nowhere", "tz"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=%D9%A3", "limit"),
        ("format=xml", "format"),
        ("cursor=x", "cursor"),
    ],
)
def test_what_can_not_be_read_is_told_with_a_hint(web: Web, query: str, parameter: str) -> None:
    answer = web.get(f"/api/v1/reports/namespaces?{query}", accept="text/html")
    assert answer.status == 400
    assert answer.json["parameter"] == parameter
    assert answer.json["error"]
    assert answer.json["hint"]


def test_an_unknown_parameter_is_answered_with_the_known_ones(web: Web) -> None:
    hint = web.get("/api/v1/reports/idle?windw=1h").json["hint"]
    assert hint == "known here are window, cluster, namespace, basis, tz, format, limit"


def test_a_fleet_that_never_reported_has_empty_reports() -> None:
    web = Web(MemoryStore(), END)
    for report in REPORTS:
        body = web.get(f"/api/v1/reports/{report}").json
        assert (body["rows"], body["complete_through"], body["window_seconds"]) == ([], None, None)
        assert body["total"]["cost_nanodollars"] == "0"
        assert body["total"]["efficiency"] is None


@pytest.mark.parametrize("path", ["/api/v1/reports/models", "/api/v1/slices"])
def test_a_name_that_never_reported_is_no_silent_zero(web: Web, path: str) -> None:
    assert web.get(f"{path}?cluster=prod-us&namespace=chat").json["hints"] == []
    hints = web.get(f"{path}?cluster=nope,lab-eu").json["hints"]
    assert hints == ["no cluster named nope has reported: lab-eu, prod-us have"]
    hints = web.get(f"{path}?cluster=lab-eu&namespace=chat").json["hints"]
    assert hints == ["no namespace named chat has held a GPU: sandbox, speech have"]
    assert len(web.get(f"{path}?cluster=nope&namespace=chat").json["hints"]) == 1


def test_a_namespace_of_another_time_is_known(web: Web) -> None:
    body = web.get("/api/v1/reports/models?window=1m&namespace=training").json
    assert (body["rows"], body["hints"]) == ([], [])


def test_before_anybody_reported_every_name_is_unknown() -> None:
    hints = Web(MemoryStore(), END).get("/api/v1/reports/idle?cluster=nope").json["hints"]
    assert hints == ["no cluster has reported yet"]


def test_a_plus_that_came_as_a_space_is_recognised(web: Web) -> None:
    path = "/api/v1/reports/models?window=2026-11-21T07:00:00+01:00,2026-11-21T09:00:00+01:00"
    answer = web.get(path)
    assert answer.status == 400
    assert answer.json["hint"].startswith("in an address write + as %2B")
    assert web.get(path.replace("+", "%2B")).json["requested"]["start"] == "2026-11-21T06:00:00Z"
    assert "%2B" not in web.get("/api/v1/reports/models?window=soon").json["hint"]
