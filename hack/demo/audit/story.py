"""What was done to the nodes from outside, as whoever did it wrote it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from demo.audit.scenario import NEVER, NS, Gpu, Hold

STARTING_NS = 20 * NS
"""An agent that was started looks at its GPUs within this time, on a busy machine too."""

JOURNAL_NS = 3 * NS
"""So much dies with an agent: readings are a second old when they are read, and are written down each second."""

CHANGE_NS = 1 * NS
"""A change of holders is seen to the second, as the kubelet is asked every second."""

AWAY_NS = 3 * NS
"""When a kubelet went away or came back is seen to three seconds: the question before, and two dials after."""


@dataclass(slots=True)
class Span:
    """From one instant to another, which may not have come yet."""

    start_ns: int
    end_ns: int = NEVER


@dataclass(slots=True)
class NodeStory:
    """
    Of one node: when its first agent was started, when it had none, when its kubelet was stopped.

    *grace_ns* is for how long the last holders hold without a kubelet.
    """

    started_ns: int
    grace_ns: int
    without_agent: list[Span] = field(default_factory=list)
    without_kubelet: list[Span] = field(default_factory=list)

    def may_be_gap(self, start_ns: int, end_ns: int) -> bool:
        """Whether an agent's death can have touched a window."""
        return any(
            gone.start_ns - JOURNAL_NS < end_ns
            and start_ns < min(gone.end_ns, NEVER - STARTING_NS) + STARTING_NS
            for gone in self.without_agent
        )

    def may_lack_the_last(self, start_ns: int, end_ns: int) -> bool:
        """Whether an agent died in a window or just after it: what it had not written down is gone with it."""
        return any(
            start_ns < gone.start_ns + JOURNAL_NS and gone.start_ns - JOURNAL_NS < end_ns
            for gone in self.without_agent
        )

    def away(self) -> list[Span]:
        """When nobody could say who holds what."""
        return [
            Span(gone.start_ns + self.grace_ns, gone.end_ns)
            for gone in self.without_kubelet
            if gone.start_ns + self.grace_ns < gone.end_ns
        ]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of an interval in which the same containers hold a GPU; nobody can say who where *is_away*."""

    start_ns: int
    end_ns: int
    holds: tuple[Hold, ...]
    is_away: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """Who should hold a GPU in an interval; *slack_ns* is how far the seen changes may lie from the true ones."""

    stretches: tuple[Stretch, ...]
    slack_ns: int


def holding(gpu: Gpu, story: NodeStory, start_ns: int, end_ns: int) -> Holding:
    """An interval cut where holders change; changes just outside may be seen inside."""
    changes = [(at, CHANGE_NS) for hold in gpu.holds for at in (hold.start_ns, hold.end_ns)]
    away = story.away()
    changes += [(at, AWAY_NS) for span in away for at in (span.start_ns, span.end_ns)]
    # Two containers that come together are one change.
    near = {at: slack for at, slack in changes if start_ns - slack < at < end_ns + slack}
    # What was there from the beginning is no change: nobody looked before.
    near = {at: slack for at, slack in near.items() if at > story.started_ns}
    cuts = [start_ns, *sorted(at for at in near if start_ns < at < end_ns), end_ns]
    stretches = []
    for begin, end in pairwise(cuts):
        holds = tuple(hold for hold in gpu.holds if hold.start_ns <= begin < hold.end_ns)
        stretches.append(
            Stretch(begin, end, holds, any(span.start_ns <= begin < span.end_ns for span in away))
        )
    return Holding(tuple(stretches), sum(near.values()))
