"""What a slice may say to be kept, each bound with the numbers on both sides and what to do about it. Pure."""

from dataclasses import dataclass

from gpucost.cost_slice import CostSlice, breaches
from gpucost.identity import NodeId
from gpucost.units import NS_PER_DAY, NS_PER_SECOND
from gpucost.window import to_rfc3339

FUTURE_NS = 300 * NS_PER_SECOND
"""How far a clock may be ahead: five minutes, the bound past which an agent distrusts its own."""

RETENTION_NS = 400 * NS_PER_DAY
"""
How old a window may be: as long as hours are kept by default.

Raw windows are kept for 15 days only, but an older one still counts in its hour; the bound of the longer tier
refuses nothing that a report could ever show.
"""

_INT64_MAX = (1 << 63) - 1

_BUG = (
    "The agent sent what it never may: report it with these fields and the agent's version. After an upgrade of"
    " the aggregator that knows better, replay it."
)


@dataclass(frozen=True, slots=True)
class Breach:
    """
    One bound or law that a slice breaks, in *words*.

    *said* is what the slice says and *bound* what it is held against; both empty where *words* hold the numbers.
    *is_law*: it is one of the ledger's laws, which no clock and no setting moves.
    """

    words: str
    said: str = ""
    bound: str = ""
    advice: str = _BUG
    is_law: bool = False


def slice_breaches(row: CostSlice, node: NodeId, now_ns: int) -> list[Breach]:
    """Why *row*, which *node* sent, can not be kept at *now_ns*; empty if it can."""
    return _out_of_bounds(row, node, now_ns) or [Breach(words, is_law=True) for words in breaches(row)]


def _out_of_bounds(row: CostSlice, node: NodeId, now_ns: int) -> list[Breach]:
    key, found = row.key, []
    start_ns = key.window_start_ns
    if key.node != node:
        found.append(Breach("is of another node than its stream", f"{key.node}", f"{node}"))
    if start_ns > now_ns + FUTURE_NS:
        found.append(
            Breach(
                "is from the future",
                f"window_start {_time(start_ns)}",
                f"now {_time(now_ns)} + {FUTURE_NS // NS_PER_SECOND} s",
                "The node's clock was ahead: set it right (NTP). Once its window has passed, replay the slice.",
            )
        )
    if start_ns < 0:
        found.append(Breach("is from before 1970", f"window_start_ns {start_ns}", "0"))
    elif start_ns < now_ns - RETENTION_NS:
        found.append(
            Breach(
                "is older than retention",
                f"window_start {_time(start_ns)}",
                f"now {_time(now_ns)} - {RETENTION_NS // NS_PER_DAY} days",
                "No report shows a time so long ago any more, so there is nothing to do. Where a clock was wrong, "
                "set it right (NTP).",
            )
        )
    if not row.length_ns:
        found.append(Breach("has no length", "length_ns 0", "1 or more"))
    if bad := [flag for flag in row.flags if not flag or " " in flag]:
        found.append(Breach("has a flag that is no word", repr(bad[0]), "one word"))
    most = max(row.time.charged_ns, row.cost.nanodollars, start_ns + row.length_ns)
    if most > _INT64_MAX:
        found.append(Breach("has a sum that passes 64 bits", f"{most}", f"{_INT64_MAX}"))
    return found


def _time(ns: int) -> str:
    try:
        return to_rfc3339(ns)
    except (ValueError, OverflowError):
        return f"{ns} ns"
