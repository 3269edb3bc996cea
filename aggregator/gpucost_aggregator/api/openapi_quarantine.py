"""The quarantine, in OpenAPI 3.1."""

from gpucost.cost_slice import COLUMNS

from gpucost_aggregator.api.openapi_rows import INTEGER, TEXT, TEXT_OR_NULL, TIME, WORDS, Json, an_object

QUARANTINE_FILTERS: dict[str, Json] = {
    "node": {
        "description": "Only these nodes; repeat it, or separate with commas.",
        "schema": {"type": "array", "items": {"type": "string"}},
        "explode": True,
    },
    "reason": {
        "description": "Only with these words in the reason; case does not matter.",
        "schema": {"type": "string"},
    },
    "since": {
        "description": "Only what was set aside at that time or later, RFC 3339.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "until": {
        "description": "Only what was set aside before that time, RFC 3339.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "replayed": {
        "description": "Also what was replayed already, and counts since then.",
        "schema": {"type": "boolean", "default": False},
    },
}

ABOUT_QUARANTINE = (
    "Slices that break a bound or a law, and batches of which something can not be read, the oldest first. They are"
    " in no number but the remainder quarantined. An operator explains and replays them with `gpucost-aggregator"
    " quarantine`. The Link header leads to the next page."
)

_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}
_SLICE = an_object(**(dict.fromkeys(COLUMNS, TEXT_OR_NULL) | {"flags": WORDS})) | {
    "type": ["object", "null"],
    "description": "The slice as it came; null for a batch.",
}
_ENTRY = an_object(
    id=TEXT | {"description": "What operators call it by: s17, b3."},
    kind={"type": "string", "enum": ["slice", "batch"]},
    agent_cluster=TEXT | {"description": "Whose agent sent it."},
    agent_node=TEXT,
    epoch=TEXT | {"description": "Of the agent's spool."},
    sequence_number=INTEGER | {"description": "The batch that brought it."},
    set_aside=TIME,
    refused_because=TEXT | {"description": "The latest reason."},
    tried=_TIME_OR_NULL | {"description": "When it was last replayed in vain."},
    replayed=_TIME_OR_NULL | {"description": "When it was accepted after all."},
    message_bytes={"type": ["integer", "null"], "description": "The length of a batch; null for a slice."},
    slice=_SLICE,
)
QUARANTINE = an_object(
    filter=an_object(cluster=WORDS, node=WORDS, reason=TEXT_OR_NULL, replayed={"type": "boolean"}),
    entries={"type": "array", "items": _ENTRY},
    next_cursor=TEXT_OR_NULL,
)
