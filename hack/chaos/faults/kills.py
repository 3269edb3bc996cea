"""Kill -9 in the middle of something: what is aimed at was seen to be under way when the signal was sent."""

from __future__ import annotations

import signal
import time

from chaos.faults.fault import AIM_S, Fault, SharedFault, Steps, until
from chaos.mapped import Disk
from chaos.wish import WINDOW_S

_NS = 10**9
_SLOW_NS = 600_000_000
"""A sync lasts so long while one is aimed at."""

_CLOSING_S = 1.5
"""Windows are closed within this time after their turn; an acknowledgement of one comes later or after a send."""

AGGREGATOR = frozenset({"aggregator", "disk of the aggregator"})


class Aim:
    """Syncs of a process last longer from now on, so that it can be hit inside of one that begins from now on."""

    def __init__(self, disk: Disk) -> None:
        self._disk, self._before = disk, disk.syncs
        disk.slow(_SLOW_NS)

    @property
    def is_hit(self) -> bool:
        """Whether it is inside of such a sync."""
        return self._disk.syncs > self._before and self._disk.is_syncing


class KillAgentDuringSend(Fault):
    """Half of its batch is on the way."""

    kind = "kill_agent_during_send"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "network")

    def fire(self) -> Steps:
        proxy = self.stage.proxy
        proxy.ask(self.agent, "arm", what="hold")
        held = yield from until(lambda: proxy.ask(self.agent)["held"])
        if held and self.agent.runs:
            self.agent.kill()
            self.fired = True
        proxy.ask(self.agent, "release")


class KillAgentDuringCommit(Fault):
    """The aggregator has its batch, and is inside of the sync that makes it durable: the acknowledgement is lost."""

    kind = "kill_agent_during_commit"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "network") | AGGREGATOR

    def fire(self) -> Steps:
        proxy, disk = self.stage.proxy, self.stage.aggregator.disk
        assert disk is not None
        sent = proxy.ask(self.agent)["passed"]
        aim = Aim(disk)
        hit = yield from until(lambda: aim.is_hit and proxy.ask(self.agent)["passed"] > sent)
        if hit and self.agent.runs:
            self.agent.kill()
            self.fired = True
        disk.slow(0)


class KillAgentDuringClose(Fault):
    """It closes a window: the spool is inside of the sync that keeps it."""

    kind = "kill_agent_during_close"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "disk")

    def fire(self) -> Steps:
        disk = self.agent.disk
        assert disk is not None
        yield from until(lambda: not self._is_closing)
        aim = Aim(disk)
        hit = yield from until(lambda: aim.is_hit and self._is_closing)
        if hit and self.agent.runs:
            self.agent.kill()
            self.fired = True
        disk.slow(0)

    @property
    def _is_closing(self) -> bool:
        shown_ns = time.time_ns() + self.stage.clocks[self.agent.cluster].ahead_ns
        return shown_ns % (WINDOW_S * _NS) < _CLOSING_S * _NS


class KillAggregatorDuringSend(Fault):
    """Half of a batch has come."""

    kind = "kill_aggregator_during_send"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("network") | AGGREGATOR

    def fire(self) -> Steps:
        proxy = self.stage.proxy
        proxy.ask(self.agent, "arm", what="hold")
        held = yield from until(lambda: proxy.ask(self.agent)["held"])
        if held and self.stage.aggregator.runs:
            self.stage.aggregator.kill()
            self.fired = True
        proxy.ask(self.agent, "release")


class KillAggregatorDuringCommit(SharedFault):
    """It is inside of a sync of its store."""

    kind = "kill_aggregator_during_commit"

    @property
    def needs(self) -> frozenset[str]:
        return AGGREGATOR

    def fire(self) -> Steps:
        place = self.stage.aggregator
        assert place.disk is not None
        aim = Aim(place.disk)
        if (yield from until(lambda: aim.is_hit)) and place.runs:
            place.kill()
            self.fired = True
        place.disk.slow(0)


class KillAggregatorDuringClose(SharedFault):
    """It was asked to end, and is inside of a sync while it closes its store."""

    kind = "kill_aggregator_during_close"

    @property
    def needs(self) -> frozenset[str]:
        return AGGREGATOR

    def fire(self) -> Steps:
        place = self.stage.aggregator
        disk, offset = place.disk, place.log_size
        assert disk is not None
        if not (yield from until(lambda: place.runs)):
            return
        aim = Aim(disk)
        place.ask_to_end()
        hit = yield from until(
            lambda: not place.runs or ('"stopping"' in place.said(offset) and aim.is_hit), 20
        )
        if hit and place.runs:
            place.kill()
            self.fired = place.child.exit_code() == -signal.SIGKILL
        disk.slow(0)


class RestartAgent(Fault):
    """It is asked to end, as by an upgrade: it closes its open window short, and the next one goes on."""

    kind = "agent_restarted"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "network", "disk")

    def fire(self) -> Steps:
        if self.agent.runs:
            self.agent.ask_to_end()
            self.fired = yield from until(lambda: self.agent.child.exit_code() is not None, AIM_S + 10)


KILLS: tuple[type[Fault], ...] = (
    KillAgentDuringSend,
    KillAgentDuringCommit,
    KillAgentDuringClose,
    KillAggregatorDuringSend,
    KillAggregatorDuringCommit,
    KillAggregatorDuringClose,
    RestartAgent,
)
