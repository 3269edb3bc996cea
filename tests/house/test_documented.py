"""Whatever the programs expose is documented, and whatever the documents name is there."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from gpucost.cost_slice import COLUMNS
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339
from prometheus_client import generate_latest

from contracts.asking import Web
from contracts.hand_clock import HandClock
from contracts.memory_store import MemoryStore
from gpucost_agent.metrics import Metrics as AgentMetrics
from gpucost_aggregator.api import Parts, make_app
from gpucost_aggregator.api.openapi import description
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.writer import Writer, WriterParts
from gpucost_aggregator.metrics import Metrics as AggregatorMetrics

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("gpucost_agent", "gpucost_aggregator")
BASE_UNITS = ("seconds", "bytes", "nanodollars")
OTHER_UNITS = re.compile(r"_(ns|us|ms|milliseconds|nanoseconds|minutes|hours|kib|mib|gib|percent)(_|$)")
PROSE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOW = from_rfc3339("2026-11-21T08:00:00Z") + NS_PER_SECOND


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def exposed() -> dict[str, str]:
    """Metrics as a scrape sees them, with their types; both programs'."""
    with ThreadPoolExecutor(1) as thread:
        counts = Counts()
        writer = Writer(WriterParts(MemoryStore(), thread, HandClock(), counts, None))  # type: ignore[arg-type]
        texts = (generate_latest(AgentMetrics().registry), AggregatorMetrics(counts, writer, "1").text())
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", "\n".join(t.decode() for t in texts), re.MULTILINE))


def routes() -> set[str]:
    with ThreadPoolExecutor(1) as readers:
        parts = Parts(MemoryStore(), HandClock(), readers, lambda: b"", lambda: (True, ""), "1")
        return {resource.canonical for resource in make_app(parts).router.resources()}


def flags() -> set[str]:
    programs = [import_module(f"{name}.settings").PROGRAM for name in PROGRAMS]
    settings = {setting.flag for program in programs for setting in program.settings}
    of_commands = {
        flag.flag for program in programs for command in program.commands for flag in command.flags
    }
    return settings | of_commands | {"--config", "--help"}


def variables() -> set[str]:
    programs = [import_module(f"{name}.settings").PROGRAM for name in PROGRAMS]
    return {setting.variable for program in programs for setting in program.settings}


def found(pattern: str) -> Iterator[tuple[str, str]]:
    """Every match in the documents, with where it stands."""
    for file in PROSE:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            for match in re.findall(pattern, line):
                yield match, f"{file.relative_to(ROOT)}:{number}"


def test_every_metric_is_documented_with_its_type() -> None:
    page = text_of("metrics.md")
    missing = [name for name, kind in exposed().items() if f"| `{name}` | {kind} |" not in page]
    assert missing == []


def test_every_route_is_documented() -> None:
    page = text_of("api.md")
    shown = set(re.findall(r"^## GET (\S+)$|^\| `(/\S*)` \|", page, re.MULTILINE))
    assert {api or html for api, html in shown} == routes()


def test_every_setting_is_documented() -> None:
    page = text_of("settings.md")
    assert [flag for flag in sorted(flags() - {"--config", "--help"}) if f"`{flag}`" not in page] == []


def test_metrics_are_named_after_the_conventions() -> None:
    for name, kind in exposed().items():
        if name.startswith("gpucost_"):
            assert (kind == "counter") == name.endswith("_total"), name
            assert not OTHER_UNITS.search(name), f"{name}: base units are {', '.join(BASE_UNITS)}"


def test_settings_that_documents_name_exist() -> None:
    assert [hit for hit in found(r"(?<![\w-])--[a-z][a-z-]*") if hit[0] not in flags()] == []
    named = variables() | {"GPUCOST_CONFIG"}
    assert [hit for hit in found(r"\bGPUCOST_[A-Z][A-Z_]*[A-Z]\b") if hit[0] not in named] == []


def test_metrics_that_documents_name_exist() -> None:
    hits = [
        hit for hit in found(r"(?<![\w/.-])gpucost_\w+") if not hit[0].startswith((*PROGRAMS, "gpucost_cli"))
    ]
    assert hits, "the documents name no metric"
    assert [hit for hit in hits if hit[0] not in exposed()] == []


def test_routes_that_documents_name_exist() -> None:
    hits = [*found(r"(?<![\w:])/(?:api/[\w/.]*\w|healthz|readyz|metrics)\b")]
    hits += found(r"pages? `(/\w*)`")
    hits += found(r"http://127\.0\.0\.1:8080(/[\w/.]*)")
    assert hits, "the documents name no route"
    assert [hit for hit in hits if hit[0] not in routes()] == []


@pytest.mark.parametrize("url", sorted({url for url, _ in found(r"curl '(http://[^']+)'")}))
def test_examples_are_answered(url: str) -> None:
    answer = Web(MemoryStore(), NOW).get(url.removeprefix("http://127.0.0.1:8080"))
    assert answer.status == 200, answer.text


@pytest.mark.parametrize("path", sorted(path for path in routes() if path.startswith("/api/v1/")))
def test_answers_have_the_fields_that_are_documented(path: str) -> None:
    answer = Web(MemoryStore(), NOW).get(path).json
    document = description("1")
    content = document["paths"][path]["get"]["responses"]["200"]["content"]
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return
    schemas = document["components"]["schemas"]
    told: set[str] = set()
    for part in schema["allOf"]:
        named = schemas[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        told |= set(named["properties"])
    assert set(answer) == told
    if total := answer.get("total"):
        assert set(total) == set(schemas["Line"]["properties"])
        sides = schemas["Report"]["properties"]["remainders"]["properties"]
        assert set(answer["remainders"]) <= set(sides)
        for name in ("unpriced", "quarantined"):
            assert set(answer["remainders"][name]) == set(sides[name]["properties"])
    if path == "/api/v1/slices":
        slices = next(part for part in schema["allOf"] if "$ref" not in part)["properties"]["slices"]
        assert set(slices["items"]["properties"]) == set(COLUMNS)
