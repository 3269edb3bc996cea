"""What a Lease object of Kubernetes says of its holder, and what it says once somebody takes or leaves it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

DURATION_NS = 15 * NS_PER_SECOND
"""So long nobody else takes a lease after its holder was seen to renew it: client-go's default."""

_RELEASED_S = 1
_LONGEST_S = 86_400
"""Whoever writes a longer time into it keeps everybody out for a day, and no longer."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """
    One state of the object. *spec* and *metadata* are kept whole, so that nothing that others wrote is lost.

    *holder* is empty where nobody has it.
    """

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    holder: str
    duration_ns: int
    transitions: int

    def taken(self, holder: str, wall_ns: int) -> dict[str, Any]:
        """The spec in which *holder* has it: renewed where it had it before, taken where not."""
        now = _micro_time(wall_ns)
        spec = dict(self.spec) | {"leaseDurationSeconds": DURATION_NS // NS_PER_SECOND, "renewTime": now}
        if self.holder != holder:
            # Counted as client-go does: whoever makes the object is no transition.
            spec |= {"holderIdentity": holder, "acquireTime": now, "leaseTransitions": self.transitions + 1}
        return spec

    def left(self, wall_ns: int) -> dict[str, Any]:
        """The spec in which nobody has it."""
        now = _micro_time(wall_ns)
        gone = {
            "holderIdentity": "",
            "leaseDurationSeconds": _RELEASED_S,
            "renewTime": now,
            "acquireTime": now,
        }
        return dict(self.spec) | gone


def first_spec(holder: str, wall_ns: int) -> dict[str, Any]:
    """The spec of an object that *holder* makes."""
    now = _micro_time(wall_ns)
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": DURATION_NS // NS_PER_SECOND,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": 0,
    }


def parse_lease(found: Mapping[str, Any]) -> LeaseRecord:
    """
    What the object *found* says; times in it are another machine's, and nothing is concluded from them.

    Raises:
        Retry: It is none, or says what can not be.
    """
    metadata, spec = found.get("metadata"), found.get("spec") or {}
    if not isinstance(metadata, dict) or not isinstance(spec, dict) or not metadata.get("resourceVersion"):
        raise Retry("what the API server answers is no Lease")
    holder, seconds = spec.get("holderIdentity") or "", spec.get("leaseDurationSeconds")
    transitions = spec.get("leaseTransitions") or 0
    seconds = DURATION_NS // NS_PER_SECOND if seconds is None else seconds
    if not _is_text(holder) or not _is_count(seconds) or not _is_count(transitions):
        raise Retry("the Lease says of its holder what can not be")
    return LeaseRecord(metadata, spec, holder, min(seconds, _LONGEST_S) * NS_PER_SECOND, transitions)


def _is_text(value: object) -> bool:
    # JSON can spell half a character, which no log takes.
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _micro_time(wall_ns: int) -> str:
    """As Kubernetes writes a MicroTime: six digits, no more and no less, or it takes none of it."""
    at = datetime.fromtimestamp(wall_ns // NS_PER_SECOND, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{wall_ns % NS_PER_SECOND // 1_000:06d}Z"
