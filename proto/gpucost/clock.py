"""Time as a parameter: what a loop may ask of its clock. Only the programs' app.py builds the real one."""

import time
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


class SystemClock:
    """This machine's two clocks."""

    def now(self) -> Instant:
        """This moment."""
        return Instant(time.time_ns(), time.monotonic_ns())
