"""What is true now, in OpenAPI 3.1."""

from gpucost_aggregator.api.live_routes import MEASURED, WHO
from gpucost_aggregator.api.openapi_rows import INTEGER, TEXT_OR_NULL, TIME, WORDS, Json, an_object

ABOUT_LIVE = (
    "The last few seconds of each device, as its node told them a moment ago: for pages, never for bills. They are"
    " stored nowhere, and what a node does not tell again within three intervals is gone. The rows of all holders of"
    " a device make the whole of its time; they stand in the order of cluster, node, device and holder. Where there"
    " are several aggregators (--peers), the one that is asked asks the others."
)

ABOUT_GLIMPSES = (
    "Internal: aggregators ask each other by it, and nobody else is answered, whatever they may read. The latest"
    " glimpse of each node whose stream ends here, as protobuf (gpucost.v1.Glimpses, proto/gpucost/v1/peers.proto); it"
    " may change with any version."
)

_RATIO: Json = {"type": "number"}
_RATIO_OR_NULL: Json = {"type": ["number", "null"]}
_SAID: dict[str, Json] = {
    "reserved_ratio": _RATIO | {"description": "The part of the device that the holder blocks."},
    "used_ratio": _RATIO_OR_NULL
    | {
        "description": "The part of the device's time in which the holder used it; null where nobody measured it,"
        " and at least so much where unmeasured_ratio is not 0."
    },
    "unmeasured_ratio": _RATIO
    | {"description": "The part that it pays for without anybody knowing its use."},
    "sm_active_ratio": _RATIO_OR_NULL,
    "tensor_active_ratio": _RATIO_OR_NULL,
    "dram_active_ratio": _RATIO_OR_NULL,
    "memory_held_bytes": INTEGER | {"type": ["string", "null"]},
    "method": TEXT_OR_NULL | {"description": "How its use was measured."},
    "age_seconds": _RATIO | {"description": "How long ago the seconds ended that it tells of."},
    "flags": WORDS | {"description": "Among them shadow: nobody gave it the device."},
}
_ROW = an_object(**dict.fromkeys(WHO, TEXT_OR_NULL), **{name: _SAID[name] for name in MEASURED})
_COUNT: Json = {"type": ["integer", "null"]}
_COUNT_OF: Json = {"type": "integer"}
LIVE = an_object(
    taken_at=an_object(first=TIME, last=TIME)
    | {
        "type": ["object", "null"],
        "description": "When the nodes of the rows spoke, the first and the last, by their clocks; null without rows.",
    },
    interval_seconds={
        "type": "number",
        "description": "How often a node is asked to tell; asking more often tells nothing new.",
    },
    nodes=an_object(
        heard=_COUNT | {"description": "Nodes of these clusters that tell what they do now."},
        expected=_COUNT
        | {"description": "Nodes whose books are open. Both are null where they are not yours."},
    ),
    replicas=an_object(
        asked=_COUNT_OF | {"description": "Aggregators that were asked, the one that answers among them."},
        answered=_COUNT_OF
        | {"description": "Those of them that told something; what the others know is missing."},
        silent={"type": ["array", "null"], "items": {"type": "string"}}
        | {"description": "Addresses of those that did not; null where that is not yours."},
    ),
    filter=an_object(cluster=WORDS, namespace=WORDS, node=WORDS),
    rows={"type": "array", "items": _ROW},
    cut={"type": "boolean", "description": "There are more rows than limit."},
    unreadable={"type": "integer", "description": "Parts of what nodes told that could not be read."},
)
