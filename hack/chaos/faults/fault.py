"""What a fault is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import ClassVar

from chaos.places import AgentPlace
from chaos.stage import Stage

Steps = Iterator[None]
Waiting = Generator[None, None, bool]
AIM_S = 28.0
"""Two windows and the spread of a send come within this time."""


class Fault(ABC):
    """
    One fault that happens to *agent*'s node, or to what all share.

    ``fire`` goes a step each time it is asked; what it holds meanwhile, no other fault touches.
    """

    kind: ClassVar[str]

    def __init__(self, stage: Stage, agent: AgentPlace, lasts_s: float) -> None:
        self.stage, self.agent, self.lasts_s = stage, agent, lasts_s
        self.fired = False

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """What no other fault may touch meanwhile."""

    @abstractmethod
    def fire(self) -> Steps:
        """Do it, and undo it; *fired* is whether it really hit."""

    def of(self, *what: str) -> frozenset[str]:
        """Parts of the agent's node."""
        return frozenset(f"{each} of {self.agent.name}" for each in what)


class SharedFault(Fault):
    """A fault of what all agents share."""


def until(condition: Callable[[], object], within_s: float = AIM_S) -> Waiting:
    """Whether it became true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        yield
    return False


def pause(seconds: float) -> Steps:
    """Nothing for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
