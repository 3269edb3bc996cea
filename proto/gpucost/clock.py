"""Time as a parameter: what a loop may ask of its clock. The real one is in system_clock.py."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: wall nanoseconds since 1970 UTC, and monotonic nanoseconds."""

    wall_ns: int
    monotonic_ns: int


class Clock(Protocol):
    """Neither blocks nor raises."""

    def now(self) -> Instant:
        """This moment."""
        ...
