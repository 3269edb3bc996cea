"""The HTTP API described in OpenAPI 3.1, by hand; a test holds it against the routes."""

from gpucost.cost_slice import COLUMNS

from gpucost_aggregator.api import as_fields
from gpucost_aggregator.api.as_json import QUARANTINED_NOTE, UNPRICED_NOTE
from gpucost_aggregator.api.ask import DEFAULT_LIMIT, MOST_ROWS, REPORT_PARAMETERS, SLICE_PARAMETERS
from gpucost_aggregator.api.live_routes import LIVE_PARAMETERS
from gpucost_aggregator.api.openapi_live import ABOUT_GLIMPSES, ABOUT_LIVE, LIVE
from gpucost_aggregator.api.openapi_quarantine import ABOUT_QUARANTINE, QUARANTINE, QUARANTINE_FILTERS
from gpucost_aggregator.api.openapi_rows import (
    ABOUT_SHADOW,
    CANNOT_TELL,
    FOR_PEOPLE,
    IDLE,
    INTEGER,
    MODEL,
    SHADOW,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    WORDS,
    Json,
    an_object,
)
from gpucost_aggregator.api.quarantine_routes import QUARANTINE_PARAMETERS
from gpucost_aggregator.reports import basis, period
from gpucost_aggregator.store.closed_rows import AdjustmentReason

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
    **QUARANTINE_FILTERS,
    "cursor": {"description": "next_cursor of the page before.", "schema": {"type": "string"}},
}


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
                "What each namespace cost", an_object(cluster=TEXT, namespace=TEXT)
            ),
            "/api/v1/reports/models": _report("What each model cost, over all clusters", MODEL),
            "/api/v1/reports/idle": _report(
                "Which GPUs were idle, and who held them", IDLE, cannot_tell=CANNOT_TELL
            ),
            "/api/v1/reports/shadow": _report(
                "Who used GPUs that nobody gave to them", SHADOW, more=ABOUT_SHADOW
            ),
            "/api/v1/slices": _slices(),
            "/api/v1/adjustments": _adjustments(),
            "/api/v1/quarantine": _get(
                "What is set aside as unacceptable", ABOUT_QUARANTINE, QUARANTINE_PARAMETERS, [QUARANTINE]
            ),
            "/api/v1/live": _get("What is true now", ABOUT_LIVE, LIVE_PARAMETERS, [LIVE]),
            "/api/v1/live/glimpses": _internal("What is true now, for other aggregators", ABOUT_GLIMPSES),
            "/api/v1/openapi.json": _plain("This document", "application/json"),
            "/healthz": _plain("The process answers", "text/plain"),
            "/readyz": _plain("Requests should come here", "text/plain", "503", "Not yet, or not now"),
            "/metrics": _plain("Prometheus metrics", "text/plain"),
        },
        "components": {
            "parameters": {name: {"name": name, "in": "query"} | rest for name, rest in _PARAMETERS.items()},
            "schemas": {
                "Frame": an_object(**_FRAME),
                "Report": _envelope(),
                "Line": _line(),
                "Problem": an_object(error=TEXT, hint=TEXT, parameter=TEXT),
            },
        },
    }


_UNPRICED = an_object(
    charged_ns=INTEGER | {"description": "GPU-time without a price."},
    gpu_hours=FOR_PEOPLE,
    in_total={"const": True, "description": "It is in rows, remainders and total already."},
    note={"const": UNPRICED_NOTE},
) | {"description": "No line: the part of total that has no price."}
_QUARANTINED = an_object(
    slices={"type": "integer", "description": "How many are set aside."},
    batches={
        "type": "integer",
        "description": "Batches that can not be read and came in the window or later; nobody knows what they hold.",
    },
    charged_ns=INTEGER | {"description": "Their GPU-time, as they state it."},
    gpu_hours=FOR_PEOPLE,
    cost_nanodollars=INTEGER | {"description": "Their cost, as they state it."},
    cost_usd=FOR_PEOPLE,
    reasons={
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "How many slices for each reason.",
    },
    in_total={"const": False, "description": "It is in no other number."},
    note={"const": QUARANTINED_NOTE},
) | {"description": "No line: slices that can never be accepted; they stand apart."}
_EXACT: dict[str, str] = {
    "reserved_ns": "Blocked by the holders, used or not.",
    "used_ns": "In use, as measured.",
    "idle_ns": "Charged and not in use.",
    "unmeasured_ns": "Charged; nobody knows whether it was in use.",
    "charged_ns": "used_ns + idle_ns + unmeasured_ns.",
    "unpriced_ns": "The part of charged_ns without a price; it costs 0.",
    "cost_nanodollars": "What charged_ns costs.",
    "cost_used_nanodollars": "The part of it that was in use.",
    "cost_idle_nanodollars": "The part of it that was not.",
    "cost_unmeasured_nanodollars": "The part of it that nobody knows about.",
    "cost_reserved_nanodollars": "What reserved_ns costs.",
    "billed_ns": "What the basis bills.",
    "billed_nanodollars": "What the basis bills.",
}


_FLAGS = (
    "carried (held before and after a gap of the agent, unmeasured within), oversubscribed (more was held than "
    "there is, so it was scaled), overlapping (the same of fractions), shadow (nobody gave it the device)"
)


def _line() -> Json:
    exact = {name: INTEGER | {"description": _EXACT[name]} for name in as_fields.EXACT}
    people: Json = dict.fromkeys(as_fields.FOR_PEOPLE, FOR_PEOPLE)
    people["efficiency"] = {
        "type": ["number", "null"],
        "description": "used_ns / charged_ns, 0 to 1; null where nothing was charged.",
    }
    return an_object(
        **exact,
        **people,
        efficiency_is_lower_bound={"type": "boolean", "description": "Some use is unknown."},
        estimate={"type": "boolean", "description": "A list price is in it."},
        price_stale={"type": "boolean", "description": "A price older than 180 days is in it."},
        price_sources=WORDS,
        price_date_oldest=TEXT_OR_NULL,
        flags=WORDS | {"description": f"What else is to be known of its slices: {_FLAGS}."},
    )


_FRAME: Json = {
    "window": an_object(start=TIME, end=TIME | {"description": "The first instant after it."}),
    "requested": an_object(window=TEXT | {"description": "As it was given."}, start=TIME, end=TIME),
    "cut_to_complete": {"type": "boolean", "description": "The answer ends before what was asked for."},
    "window_seconds": {"type": ["number", "null"], "description": "Length of the ledger's windows."},
    "complete_through": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "Every window before it is closed on every live node.",
    },
    "silent_nodes": {
        "type": "array",
        "description": "Nodes that were not heard for a while; complete_through does not wait for them.",
        "items": an_object(cluster=TEXT, node=TEXT),
    },
    "time_zone": TEXT,
    "filter": an_object(cluster=WORDS, namespace=WORDS),
    "hints": WORDS
    | {
        "description": "Clusters or namespaces of the filter that have never reported, and which have; mostly empty."
    },
}


_LINE: Json = {"$ref": "#/components/schemas/Line"}
_REMAINDERS: dict[str, str] = {
    "unallocated": "What no container held.",
    "unobserved": "What nobody can say who held it.",
    "unattributed": "What was used by nobody that could be told.",
    "host": "What processes outside of any container used; in the report of shadow use they are rows.",
    "not_idle": "What was not idle, or may be so unseen; in the report of idle GPUs only.",
    "given": "What containers held, or used of what was given to their pod; in the report of shadow use only.",
    "not_shown": "Rows that limit cut; only where it did.",
}


def _envelope() -> Json:
    remainders = {name: _LINE | {"description": words} for name, words in _REMAINDERS.items()}
    return an_object(
        basis=TEXT | {"description": "As it was read, for example blend:0.7."},
        basis_version=TEXT | {"description": "The version of the rules by which it was settled."},
        currency={"const": "USD"},
        rows_in_all={"type": "integer", "description": "Rows before limit cut them."},
        remainders=an_object(**remainders, unpriced=_UNPRICED, quarantined=_QUARANTINED),
        total=_LINE | {"description": "The sum of the rows and of the remainders that are lines."},
    )


def _report(summary: str, row: Json, more: str = "", **beside: Json) -> Json:
    rows: Json = {"type": "array", "items": {"allOf": [row, _LINE]}}
    about = "Rows and remainders add up to total, exactly: the sum of all slices in window and filter."
    about = f"{about} {more}".strip()
    own = an_object(rows=rows, **beside)
    return _get(summary, about, REPORT_PARAMETERS, [_named("Frame"), _named("Report"), own])


def _slices() -> Json:
    slice_ = an_object(**(dict.fromkeys(COLUMNS, TEXT_OR_NULL) | {"flags": WORDS}))
    own = an_object(slices={"type": "array", "items": slice_}, next_cursor=TEXT_OR_NULL)
    about = "Ordered by window, cluster, node, device and holder. The Link header leads to the next page."
    return _get("The slices themselves", about, SLICE_PARAMETERS, [_named("Frame"), own])


def _adjustments() -> Json:
    own_columns = {
        "adjustment_reason": {"type": "string", "enum": [each.value for each in AdjustmentReason]},
        "made_at_ns": INTEGER,
    }
    row = an_object(**(dict.fromkeys(COLUMNS, TEXT_OR_NULL) | {"flags": WORDS} | own_columns))
    own = an_object(adjustments={"type": "array", "items": row}, next_cursor=TEXT_OR_NULL)
    about = (
        "A slice never changes; an adjustment has its key and signed differences, and every report sums both. "
        "late is a slice of time that was closed as lost before it came, replaced takes that lost time away, "
        "repriced rows take a slice away at its old price and put it back at another. "
        "Ordered by when they were made. The Link header leads to the next page."
    )
    return _get("What corrects the slices", about, SLICE_PARAMETERS, [_named("Frame"), own])


def _named(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


_PROBLEM: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _get(summary: str, about: str, parameters: tuple[str, ...], body: list[Json]) -> Json:
    content = {
        "application/json": {"schema": {"allOf": body}},
        "text/csv": {"schema": TEXT},
    }
    problem = _PROBLEM
    return {
        "get": {
            "summary": summary,
            "description": about,
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
            "responses": {
                "200": {"description": summary, "content": content},
                "400": {"description": "A parameter can not be read", "content": problem},
                "401": {"description": "Nobody who is known here: send a reader's token", "content": problem},
                "403": {
                    "description": "A filter names what this reader may not see, or all is",
                    "content": problem,
                },
                "404": {
                    "description": "There is nothing at this path, as it is misspelt",
                    "content": problem,
                },
                "405": {"description": "Another method than GET or HEAD", "content": problem},
                "503": {
                    "description": "The store, or who says what you may see, is busy; try again",
                    "content": problem,
                },
            },
        }
    }


def _internal(summary: str, about: str) -> Json:
    answers: Json = {
        "200": {"description": summary, "content": {"application/x-protobuf": {}}},
        "401": {"description": "No other aggregator", "content": _PROBLEM},
        "405": {"description": "Another method than GET or HEAD", "content": _PROBLEM},
    }
    return {"get": {"summary": summary, "description": about, "responses": answers, "x-internal": True}}


def _plain(summary: str, content_type: str, other: str = "", other_words: str = "") -> Json:
    answers: Json = {"200": {"description": summary, "content": {content_type: {}}}}
    answers["405"] = {"description": "Another method than GET or HEAD", "content": _PROBLEM}
    if other:
        answers[other] = {"description": other_words, "content": {content_type: {}}}
    return {"get": {"summary": summary, "responses": answers}}
