"""The HTTP API described in OpenAPI 3.1, by hand; a test holds it against the routes."""

from typing import Any

from gpucost.cost_slice import COLUMNS

from gpucost_aggregator.api.as_fields import EXACT, FOR_PEOPLE
from gpucost_aggregator.api.as_json import QUARANTINED_NOTE, UNPRICED_NOTE
from gpucost_aggregator.api.ask import DEFAULT_LIMIT, MOST_ROWS, REPORT_PARAMETERS, SLICE_PARAMETERS
from gpucost_aggregator.reports import basis, period

Json = dict[str, Any]

_PARAMETERS: dict[str, Json] = {
    "window": {
        "description": f"Which time, its end left out; only complete windows are answered: {period.HINT}.",
        "schema": {"type": "string", "default": "24h"},
    },
    "cluster": {
        "description": "Only these clusters; repeat it, or separate with commas.",
        "schema": {"type": "array", "items": {"type": "string"}},
        "explode": True,
    },
    "namespace": {
        "description": "Only these namespaces; what belongs to no namespace is then left out.",
        "schema": {"type": "array", "items": {"type": "string"}},
        "explode": True,
    },
    "basis": {
        "description": f"What is billed, in billed_ns and billed_nanodollars: {basis.HINT}.",
        "schema": {"type": "string", "default": "measured"},
    },
    "tz": {"description": "IANA time zone of `today`.", "schema": {"type": "string", "default": "UTC"}},
    "format": {
        "description": "Instead of the Accept header.",
        "schema": {"type": "string", "enum": ["json", "csv"]},
    },
    "limit": {
        "description": "The most rows of an answer; what a report leaves out is its remainder not_shown.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT},
    },
    "cursor": {"description": "next_cursor of the page before.", "schema": {"type": "string"}},
}

_INTEGER: Json = {"type": "string", "pattern": "^-?[0-9]+$"}
_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_TIME: Json = {"type": "string", "format": "date-time"}
_WORDS: Json = {"type": "array", "items": _TEXT}


def description(version: str) -> Json:
    """The document, for this version of the program."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gpucost",
            "version": version,
            "description": "What each GPU of a fleet cost. Integers are strings, because sums pass 2^53.",
        },
        "paths": {
            "/api/v1/reports/namespaces": _report(
                "What each namespace cost", _subject(cluster=_TEXT, namespace=_TEXT)
            ),
            "/api/v1/reports/models": _report("What each model cost, over all clusters", _MODEL),
            "/api/v1/reports/idle": _report(
                "Which GPUs were idle, and who held them", _IDLE, cannot_tell=_LIST
            ),
            "/api/v1/slices": _slices(),
            "/api/v1/openapi.json": _plain("This document", "application/json"),
            "/healthz": _plain("The process answers", "text/plain"),
            "/readyz": _plain("Requests should come here", "text/plain", "503", "Not yet, or not now"),
            "/metrics": _plain("Prometheus metrics", "text/plain"),
        },
        "components": {
            "parameters": {name: {"name": name, "in": "query"} | rest for name, rest in _PARAMETERS.items()},
            "schemas": {"Line": _line(), "Problem": _subject(error=_TEXT, hint=_TEXT, parameter=_TEXT)},
        },
    }


def _subject(**fields: Json) -> Json:
    return {"type": "object", "properties": fields}


_LIST: Json = {"type": "array", "items": {"type": "object"}}
_MODEL = _subject(
    model=_TEXT,
    model_source={
        "type": "string",
        "description": "Who says so: an annotation, a label, owner, pod or pending.",
    },
    model_sources=_WORDS,
    stacks=_WORDS,
    clusters=_WORDS,
    namespaces=_WORDS,
    pods={"type": "integer"},
)
_IDLE = _subject(
    **dict.fromkeys(("cluster", "node", "gpu_uuid", "gi", "ci", "profile", "placement"), _TEXT_OR_NULL),
    **dict.fromkeys(("holder_kind", "reason", "namespace", "pod", "pod_uid", "container"), _TEXT_OR_NULL),
    **dict.fromkeys(("gpu_model", "model", "model_source", "owner_kind", "owner_name"), _TEXT_OR_NULL),
    idle_since={
        "type": ["string", "null"],
        "format": "date-time",
        "description": "End of the last window with use, or start of the first; null if used to the end.",
    },
    idle_since_or_earlier={"type": "boolean"},
    idle_now={
        "type": "boolean",
        "description": "The latest complete window was watched and idle as a whole.",
    },
    never_used={"type": "boolean"},
    idle_ignored={"type": "boolean"},
    pace_nanodollars_per_hour=_INTEGER,
    pace_usd_per_hour={"type": "number"},
)


def _line() -> Json:
    exact = dict.fromkeys(EXACT, _INTEGER)
    people = {name: {"type": ["number", "null"]} for name in FOR_PEOPLE}
    return _subject(
        **exact,
        **people,
        efficiency_is_lower_bound={"type": "boolean", "description": "Some use is unknown."},
        estimate={"type": "boolean", "description": "A list price is in it."},
        price_stale={"type": "boolean", "description": "A price older than 180 days is in it."},
        price_sources=_WORDS,
        price_date_oldest=_TEXT_OR_NULL,
        flags=_WORDS,
    )


_FRAME: Json = {
    "window": _subject(start=_TIME, end=_TIME),
    "requested": _subject(window=_TEXT, start=_TIME, end=_TIME),
    "cut_to_complete": {"type": "boolean", "description": "The answer ends before what was asked for."},
    "window_seconds": {"type": ["number", "null"]},
    "complete_through": {"type": ["string", "null"], "format": "date-time"},
    "silent_nodes": {"type": "array", "items": _subject(cluster=_TEXT, node=_TEXT)},
    "time_zone": _TEXT,
    "filter": _subject(cluster=_WORDS, namespace=_WORDS),
}


def _report(summary: str, subject: Json, **beside: Json) -> Json:
    line: Json = {"$ref": "#/components/schemas/Line"}
    names = ("unallocated", "unobserved", "unattributed", "host", "not_idle", "not_shown")
    remainders = dict.fromkeys(names, line) | {
        "unpriced": {"type": "object", "description": UNPRICED_NOTE},
        "quarantined": {"type": "object", "description": QUARANTINED_NOTE},
    }
    body = _FRAME | {
        "basis": _TEXT,
        "basis_version": _TEXT,
        "currency": {"const": "USD"},
        "rows": {"type": "array", "items": {"allOf": [subject, line]}},
        "rows_in_all": {"type": "integer"},
        "remainders": _subject(**remainders),
        "total": line,
        **beside,
    }
    about = "Rows and remainders add up to total, exactly: the sum of all slices in window and filter."
    return _get(summary, about, REPORT_PARAMETERS, body)


def _slices() -> Json:
    slice_ = _subject(**(dict.fromkeys(COLUMNS, _TEXT_OR_NULL) | {"flags": _WORDS}))
    body = _FRAME | {"slices": {"type": "array", "items": slice_}, "next_cursor": _TEXT_OR_NULL}
    about = "Ordered by window, cluster, node, device and holder. The Link header leads to the next page."
    return _get("The slices themselves", about, SLICE_PARAMETERS, body)


def _get(summary: str, about: str, parameters: tuple[str, ...], body: Json) -> Json:
    content = {
        "application/json": {"schema": {"type": "object", "properties": body}},
        "text/csv": {"schema": _TEXT},
    }
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "get": {
            "summary": summary,
            "description": about,
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
            "responses": {
                "200": {"description": summary, "content": content},
                "400": {"description": "A parameter can not be read", "content": problem},
                "503": {"description": "The store is busy; try again", "content": problem},
            },
        }
    }


def _plain(summary: str, content_type: str, other: str = "", other_words: str = "") -> Json:
    answers: Json = {"200": {"description": summary, "content": {content_type: {}}}}
    if other:
        answers[other] = {"description": other_words, "content": {content_type: {}}}
    return {"get": {"summary": summary, "responses": answers}}
