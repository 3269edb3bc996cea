"""Where a page of slices ends: an opaque cursor for the last key, whatever is written meanwhile."""

import base64
import binascii
import json
import re

from gpucost.cost_slice import SliceKey
from gpucost.identity import HolderKind
from gpucost.trouble import Reject

ORDER = (
    ("window_start_ns", int),
    ("cluster", str),
    ("node", str),
    ("gpu_uuid", str),
    ("profile = 'remainder'", bool),
    ("coalesce(gi, -1)", int),
    ("ci IS NULL", bool),
    ("coalesce(ci, -1)", int),
    ("profile", str),
    ("coalesce(placement, -1)", int),
    ("resource", str),
    (
        "CASE holder_kind "
        + " ".join(f"WHEN '{kind.value}' THEN {place}" for place, kind in enumerate(HolderKind))
        + " END",
        int,
    ),
    ("namespace", str),
    ("pod", str),
    ("pod_uid", str),
    ("container", str),
    ("reason", str),
)
"""What slices are sorted by, as SQL with the type of each: the ledger's order; no part of it is ever NULL."""

Place = tuple[int | str | bool, ...]

_KINDS = {kind: place for place, kind in enumerate(HolderKind)}
_VERSION = "1"
_ADJUSTMENT = "a1-"
_INT64 = 1 << 63


def place_of(key: SliceKey) -> Place:
    """Where *key* stands in the order."""
    holder = key.holder
    return (
        key.window_start_ns,
        key.node.cluster,
        key.node.node,
        *key.device.order,
        key.resource,
        _KINDS[holder.kind],
        holder.namespace,
        holder.pod,
        holder.pod_uid,
        holder.container,
        holder.reason,
    )


def cursor_after(key: SliceKey) -> str:
    """The cursor of the page that begins after *key*."""
    return base64.urlsafe_b64encode(json.dumps([_VERSION, *place_of(key)]).encode()).decode()


def cursor_after_number(number: int) -> str:
    """The cursor of the page of adjustments that begins after *number*."""
    return f"{_ADJUSTMENT}{number}"


def number_from_cursor(cursor: str) -> int:
    """
    The number after which the page of *cursor* begins.

    Raises:
        Reject: It is none that this store gave out.
    """
    number = cursor.removeprefix(_ADJUSTMENT)
    if number == cursor or not re.fullmatch(r"[0-9]{1,18}", number):
        raise Reject("this cursor is none of this store's: begin without one")
    return int(number)


def place_from_cursor(cursor: str) -> Place:
    """
    The place after which the page of *cursor* begins.

    Raises:
        Reject: It is none that this store gave out.
    """
    try:
        version, *place = json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise Reject("this cursor is none of this store's: begin without one") from None
    good = version == _VERSION and len(place) == len(ORDER)
    if not good or not all(_is_a(part, kind) for part, (_, kind) in zip(place, ORDER, strict=True)):
        raise Reject("this cursor is of another version of the store: begin without one")
    return tuple(place)


def _is_a(part: object, kind: type) -> bool:
    # A bool is an int to isinstance; numbers past 64 bits and half characters are nothing to the database.
    if isinstance(part, str):
        return kind is str and not any("\ud800" <= sign <= "\udfff" for sign in part)
    return type(part) is kind and (not isinstance(part, int) or -_INT64 <= part < _INT64)
