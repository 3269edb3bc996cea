from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from gpucost.trouble import Retry, Stop
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.asking import Web
from contracts.hand_clock import HandClock
from contracts.memory_store import MemoryStore
from gpucost_aggregator.api import Parts, make_app
from gpucost_aggregator.api.ask import REPORT_PARAMETERS, SLICE_PARAMETERS
from gpucost_aggregator.api.openapi import description
from gpucost_aggregator.store.rows import NodeProgress

NOW = from_rfc3339("2026-11-21T08:00:00Z") + NS_PER_SECOND
PAGES = ("/", "/namespaces", "/models", "/idle")
ALWAYS_THERE = {"/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/live/glimpses"}


class BrokenStore(MemoryStore):
    def __init__(self, trouble: Exception) -> None:
        super().__init__()
        self.trouble = trouble

    def progress(self) -> list[NodeProgress]:
        raise self.trouble


@pytest.fixture
def web() -> Web:
    return Web(MemoryStore(), NOW)


def routes() -> Sequence[str]:
    with ThreadPoolExecutor(1) as readers:
        parts = Parts(MemoryStore(), HandClock(), readers, lambda: b"", lambda: (True, ""), "1")
        resources = make_app(parts).router.resources()
        return [resource.canonical for resource in resources]


def test_the_description_has_every_route_but_the_pages() -> None:
    pages = {*PAGES, "/static/{version}/{name}"}
    assert sorted(description("1")["paths"]) == sorted(set(routes()) - pages)


def test_the_description_has_every_parameter() -> None:
    document = description("1")
    for path, known in (("/api/v1/reports/idle", REPORT_PARAMETERS), ("/api/v1/slices", SLICE_PARAMETERS)):
        names = [each["$ref"].rsplit("/", 1)[1] for each in document["paths"][path]["get"]["parameters"]]
        assert tuple(names) == known
        assert set(names) <= set(document["components"]["parameters"])


def test_the_description_has_every_status_and_says_what_every_object_holds() -> None:
    document = description("1")
    for path, said in document["paths"].items():
        known = set(said["get"]["responses"])
        assert "405" in known
        assert {"400", "404", "503"} <= known or path in ALWAYS_THERE
    report = document["components"]["schemas"]["Report"]["properties"]["remainders"]["properties"]
    cannot_tell = document["paths"]["/api/v1/reports/idle"]["get"]["responses"]["200"]["content"]
    own = cannot_tell["application/json"]["schema"]["allOf"][2]["properties"]
    for each in (report["quarantined"], report["unpriced"], own["cannot_tell"]["items"]):
        assert each["properties"]
    body = Web(MemoryStore(), NOW).get("/api/v1/reports/idle").json["remainders"]
    for name in ("quarantined", "unpriced"):
        assert set(body[name]) == set(report[name]["properties"])


def test_the_description_is_served_with_the_version(web: Web) -> None:
    assert web.get("/api/v1/openapi.json").json["info"]["version"] == "1.2.3"


def test_health_readiness_and_metrics(web: Web) -> None:
    assert web.get("/healthz").text == "ok\n"
    assert web.get("/readyz").status == 200
    late = Web(web.store, NOW, ready=(False, "the store is being restored")).get("/readyz")
    assert (late.status, late.text) == (503, "the store is being restored\n")
    metrics = web.get("/metrics")
    assert metrics.text == "gpucost_conflicts_total 0\n"
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/reports/models", "/healthz", "/nowhere", "/api/nowhere"])
def test_every_answer_is_safe_and_kept_by_nobody(web: Web, path: str) -> None:
    headers = web.get(path, accept="text/html").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "gpucost"


def test_nothing_is_said_in_the_language_of_who_asked(web: Web) -> None:
    page = web.get("/nowhere", accept="text/html,*/*")
    assert page.status == 404
    assert "<h1>There is nothing here</h1>" in page.text
    assert "/api/" not in page.text
    for path in PAGES:
        assert f'<a href="{path}">' in page.text
    elsewhere = web.get("/nowhere").json
    assert elsewhere["error"] == "there is nothing at /nowhere"
    assert elsewhere["hint"] == "the pages are /, /namespaces, /models, /idle"
    assert web.get("/api/v1/nowhere", accept="text/html").json["hint"].startswith("/api/v1/openapi.json")


@pytest.mark.parametrize("path", ["/namespaces", "/api/v1/reports/idle"])
def test_a_slash_at_the_end_leads_to_the_page_without(web: Web, path: str) -> None:
    for query in ("", "?window=7d&tz=Asia/Tokyo"):
        answer = web.request("GET", f"{path}/{query}", follow=False)
        assert (answer.status, answer.headers["Location"]) == (308, path + query)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert web.request("GET", "/nowhere/", follow=False).status == 404


def test_only_reading_is_possible(web: Web) -> None:
    answer = web.request("POST", "/api/v1/slices")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert web.request("HEAD", "/").status == 200


def test_a_busy_store_is_asked_again_later_and_a_broken_one_is_told() -> None:
    busy = Web(BrokenStore(Retry("the disk is full")), NOW).get("/api/v1/reports/models")
    assert (busy.status, busy.headers["Retry-After"]) == (503, "5")
    assert "the disk is full" in busy.json["error"]
    broken = Web(BrokenStore(Stop("newer schema", 5)), NOW).get("/", accept="text/html")
    assert broken.status == 503
    assert "newer schema" in broken.text
