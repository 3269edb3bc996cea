"""One look at a GPU while it is made: what could not be read is named, and what is not supported is remembered."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from gpucost.clock import Instant

from gpucost_agent.sources.driver.driver_calls import DriverTrouble, Why

T = TypeVar("T")

_STEP_NS = 50_000_000
"""The wall and the monotonic clock may disagree by this much (and a thousandth, for slewing) without a step."""
_ASK_AGAIN_NS = 600_000_000_000
"""What a GPU does not support is asked again so rarely: a driver's answer may be of a state that passes."""

GPU_LOST = "gpu_lost"
CLOCK_STEPPED = "clock_stepped"
RING_GARBAGE = "ring_garbage"
USES_UNSETTLED = "uses_unsettled"
GPM_GARBAGE = "gpm_garbage"


class What(StrEnum):
    """The parts of a reading. A trouble in a reading is named part_why, or by a constant above."""

    PARTITION = "partition"
    RING = "ring"
    USES = "uses"
    PROCESSES = "processes"
    ENERGY = "energy"
    GPM = "gpm"
    ACCOUNTING = "accounting"
    RATE = "rate"


class Look:
    """
    A look that began at *began*. *unsupported* is the GPU's, from look to look.

    What says that the GPU is lost passes through: nothing of such a look stands.
    """

    def __init__(self, began: Instant, unsupported: dict[str, int]) -> None:
        self.began = began
        self.troubles: list[str] = []
        self._unsupported = unsupported

    def ask(self, what: What, call: Callable[[], T]) -> T | None:
        """The answer; None with its trouble named."""
        try:
            return self.supported(what, call)
        except DriverTrouble as trouble:
            self.name(what, trouble)
            return None

    def ask_if_there(self, what: What, call: Callable[[], T]) -> T | None:
        """The answer; None with its trouble named, but that a GPU does without is no trouble."""
        try:
            return self.supported(what, call)
        except DriverTrouble as trouble:
            if trouble.why is not Why.NOT_SUPPORTED:
                self.name(what, trouble)
            return None

    def name(self, what: What, trouble: DriverTrouble) -> None:
        """Names what went wrong."""
        if trouble.why is Why.LOST:
            raise trouble
        self.troubles.append(f"{what}_{trouble.why}")

    def supported(self, name: str, call: Callable[[], T]) -> T:
        """Calls, unless the GPU said not long ago that it does not support it."""
        if not self.may_support(name):
            raise DriverTrouble(Why.NOT_SUPPORTED, f"{name}: not supported, as this GPU said before")
        try:
            answer = call()
        except DriverTrouble as trouble:
            if trouble.why is Why.NOT_SUPPORTED:
                self._unsupported[name] = self.began.monotonic_ns + _ASK_AGAIN_NS
            raise
        self._unsupported.pop(name, None)
        return answer

    def may_support(self, name: str) -> bool:
        """Whether the GPU has not said that it does not support it."""
        return self.began.monotonic_ns >= self._unsupported.get(name, 0)


def clock_step_ns(before: Instant, now: Instant) -> int:
    """By how much the wall clock was set between two instants; 0 if it only drifted."""
    elapsed_ns = now.monotonic_ns - before.monotonic_ns
    step_ns = now.wall_ns - before.wall_ns - elapsed_ns
    return step_ns if abs(step_ns) > _STEP_NS + elapsed_ns // 1_000 else 0
