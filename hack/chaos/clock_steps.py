"""What steps of the clock leave unknown about a GPU's windows."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.labels import SEEN_NS, LabelledWindow
from chaos.log_book import LogBook

RING_NS = 16 * 10**9
"""A clock that was set back makes stamps twice until the driver's ring has turned over, and nobody reads it by then."""


@dataclass(frozen=True, slots=True)
class ClockSteps:
    """Of one GPU, by the harness's log."""

    book: LogBook
    cluster: str
    gpu_uuid: str
    window_ns: int

    def slack_ns(self, window: LabelledWindow) -> int:
        """
        By how much the window's length may differ from what the log of steps says; 0 where it is known.

        A step that comes while the agent is away lies somewhere in that time.
        """
        slack_ns, sizes = SEEN_NS if window.is_stepped else 0, self._sizes()
        for span in self.book.spans:
            if span.gpu_uuid != self.gpu_uuid or not sizes:
                continue
            end_ns = (window.end_ns if span.end_ns is None else span.end_ns) + SEEN_NS
            # A step just before its end may not be in what it left.
            unseen = [size for at, size in sizes if span.begin_ns - self.window_ns <= at <= end_ns]
            near_ns = sum(unseen) + SEEN_NS
            if unseen and span.begin_ns - near_ns < window.end_ns and window.begin_ns < end_ns + near_ns:
                slack_ns = max(slack_ns, near_ns)
        return slack_ns

    def jumps(self, begin_ns: int, end_ns: int) -> int:
        """How often the clock jumped between two instants, also by a day."""
        return sum(
            cluster == self.cluster and begin_ns < at_ns < end_ns for cluster, at_ns in self.book.jumps
        )

    def _sizes(self) -> list[tuple[int, int]]:
        """When it was stepped, and by how much."""
        steps = [step for step in self.book.steps if step.cluster == self.cluster]
        before = [0, *(step.ahead_ns for step in steps)]
        return [(step.at_ns, abs(step.ahead_ns - ahead)) for step, ahead in zip(steps, before, strict=False)]
