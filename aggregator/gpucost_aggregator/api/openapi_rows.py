"""What the rows of each report say of their subject, in OpenAPI 3.1: the words that the description is made of."""

from typing import Any

from gpucost_aggregator.reports.reasons import REASONS
from gpucost_aggregator.reports.shadow import MOST_HOLDERS

Json = dict[str, Any]

INTEGER: Json = {"type": "string", "pattern": "^-?[0-9]+$"}
TEXT: Json = {"type": "string"}
TEXT_OR_NULL: Json = {"type": ["string", "null"]}
TIME: Json = {"type": "string", "format": "date-time"}
WORDS: Json = {"type": "array", "items": TEXT}
FOR_PEOPLE: Json = {"type": "number", "description": "For people, never to be added up."}


def an_object(**fields: Json) -> Json:
    """An object with these fields."""
    return {"type": "object", "properties": fields}


_HELD = dict.fromkeys(
    (
        *("cluster", "node", "gpu_uuid", "gi", "ci", "profile", "placement"),
        *("holder_kind", "reason", "namespace", "pod", "pod_uid", "container"),
    ),
    TEXT_OR_NULL,
) | {
    "device_name": TEXT | {"description": "The device in short: GPU-5a5a71, MIG 3g.40gb · GPU-5a5a71."},
    "can_be_held": {
        "type": "boolean",
        "description": "False for the rest of a GPU or of an instance in MIG mode: nothing can run there.",
    },
}
MODEL = an_object(
    model=TEXT,
    model_source={
        "type": "string",
        "description": "Who says so: an annotation, a label, owner, pod or pending.",
    },
    model_sources=WORDS,
    stacks=WORDS,
    clusters=WORDS,
    namespaces=WORDS,
    pods={"type": "integer"},
)
IDLE = an_object(
    **_HELD,
    **dict.fromkeys(("gpu_model", "model", "model_source", "owner_kind", "owner_name"), TEXT_OR_NULL),
    idle_since={
        "type": ["string", "null"],
        "format": "date-time",
        "description": "End of the last window with use, or start of the first; null if used to the end.",
    },
    idle_since_or_earlier={
        "type": "boolean",
        "description": "It was idle when the window began, so that it may be idle for longer.",
    },
    idle_now={
        "type": "boolean",
        "description": "The latest complete window was watched and idle as a whole.",
    },
    shadow_now={
        "type": "boolean",
        "description": "Somebody who does not hold it used it in the latest complete window: it is free, and not "
        "idle; it has a row even without idle time. The report shadow names who that is.",
    },
    never_used={
        "type": "boolean",
        "description": "Its holder was not seen using it in the whole window, or while it was free, nobody was.",
    },
    idle_ignored={"type": "boolean", "description": "Its pod is annotated gpucost.dev/idle-ignore."},
    pace_nanodollars_per_hour=INTEGER | {"description": "What the idle time of the latest window costs."},
    pace_usd_per_hour=FOR_PEOPLE,
)
_WHY = "; ".join(f"{reason} ({words})" for reason, words in REASONS.items())
CANNOT_TELL: Json = {
    "type": "array",
    "description": "Time of which nobody knows whether it was idle; it is in remainders or rows already.",
    "items": an_object(
        **_HELD | {"reason": TEXT | {"description": f"Why nobody knows: {_WHY}."}},
        gpu_model=TEXT_OR_NULL,
        unknown_ns=INTEGER | {"description": "How long nobody knows about."},
        unknown_gpu_hours=FOR_PEOPLE,
        cost_unknown_nanodollars=INTEGER | {"description": "What that time costs."},
        cost_unknown_usd=FOR_PEOPLE,
    ),
}
ABOUT_SHADOW = (
    "Rows are containers on devices of which neither they nor another container of their pod held anything, "
    "and the host's processes. They reserved nothing and pay for what they used. By exactly so much less is "
    "charged to those who had been given the device, or to unallocated or unobserved where nobody is known to "
    "have it; for so long it did not work for its holders either, which no bill gives back. A window in which "
    "a container was given the device too is in given as a whole. Not being given a GPU is no proof of intent: "
    "an image or a node's runtime may hand all GPUs to a container."
)
SHADOW = an_object(
    **_HELD,
    **dict.fromkeys(("gpu_model", "owner_kind", "owner_name"), TEXT_OR_NULL),
    first_use=TIME | {"description": "Start of the first window with such use."},
    last_use=TIME | {"description": "End of the last window with such use."},
    holders=WORDS
    | {
        "description": "Pods of any namespace to which the device was given at some time from first_use to "
        f"last_use, as namespace/pod, at most {MOST_HOLDERS}; empty where it was nobody's.",
    },
    holders_in_all={"type": "integer", "description": "How many such pods there were."},
    holders_unknown=WORDS
    | {
        "description": "Why it is not known, for some of that time, who held it, as in cannot_tell; mostly empty."
    },
)
