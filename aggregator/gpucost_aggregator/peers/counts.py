"""What comes of asking other aggregators; plain numbers of the event loop, shown at /metrics."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from gpucost.trouble import Retry


class Why(StrEnum):
    """Why another aggregator told nothing."""

    UNKNOWN_NAME = "unknown_name"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"


class Unanswered(Retry):
    """Another aggregator told nothing; the text says what was seen of it, and never holds a token."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why = why


@dataclass(slots=True)
class PeerCounts:
    """
    Since the program's start; *others* and *silent* are how many there were and did not answer when last asked.
    """

    calls: int = 0
    answered_here: int = 0
    others: int = 0
    silent: int = 0
    failed: Counter[Why] = field(default_factory=Counter)
