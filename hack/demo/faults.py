"""What is done to the programs while they run, and when: parts of the time that is compared."""

from __future__ import annotations

from collections.abc import Callable

from demo.stage import Stage
from demo.wish import KILL_AGENT, KILL_AGGREGATOR, STOP_KUBELET

Deed = tuple[float, Callable[[], None]]


def deeds(stage: Stage, seconds: float) -> list[Deed]:
    """The deeds that are wished for, by seconds from the start, in their order."""
    faults = stage.wish.faults
    nodes = list(stage.stories)
    planned: list[Deed] = []
    if KILL_AGENT in faults:
        planned.append((0.5 * seconds, lambda: stage.kill_agent(nodes[0])))
    if KILL_AGGREGATOR in faults:
        planned.append((0.65 * seconds, stage.kill_aggregator))
    if STOP_KUBELET in faults:
        planned.append((0.3 * seconds, lambda: stage.kubelet(nodes[-1], is_there=False)))
        planned.append((0.8 * seconds, lambda: stage.kubelet(nodes[-1], is_there=True)))
    return sorted(planned, key=lambda deed: deed[0])
