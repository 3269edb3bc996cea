"""Several who want one Lease of Kubernetes, over real HTTP, under clocks that a test moves."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import structlog
from gpucost.units import NS_PER_SECOND

from contracts.hand_clock import HandClock
from contracts.lease_api import OWN_TOKEN, LeaseApi, lease_api
from gpucost_aggregator.leases.kube_lease import KubeLease, KubeLeaseParts, LeaseCounts
from gpucost_aggregator.leases.lease_object import LeaseObject

STEP_NS = 2 * NS_PER_SECOND


class Rival(KubeLease):
    """One of them, with a clock and a token of its own."""

    def __init__(self, parts: KubeLeaseParts, clock: HandClock, token: str) -> None:
        super().__init__(parts)
        self.clock, self.counts, self.token = clock, parts.counts, token
        self.name = parts.holder
        self.is_over = False

    def end(self) -> None:
        self.is_over = True
        self.leave()

    def die(self) -> None:
        """Nobody tries for it any more, and nobody gives it back; what it believes does not matter."""
        self.is_over = True


class Rivals:
    """All of them; `pass_s` moves all clocks, and whoever is alive tries every two seconds."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self.api: LeaseApi
        self.api, self._server = self._stack.enter_context(lease_api(folder))
        self.all: list[Rival] = []

    def join(self, wall_off_s: float = 0, monotonic_s: float = 50) -> Rival:
        clock = HandClock(monotonic_ns=int(monotonic_s * NS_PER_SECOND))
        clock.set_wall_ns(int(wall_off_s * NS_PER_SECOND))
        name, token = f"rival-{len(self.all)}", f"{OWN_TOKEN}{len(self.all)}"
        (self._folder / name).write_text(token)
        server = replace(self._server, token=self._folder / name)
        found = LeaseObject("gpucost", "aggregator", server, patience_s=5.0)
        parts = KubeLeaseParts(name, found, clock, LeaseCounts(), structlog.get_logger())
        self.all.append(Rival(parts, clock, token))
        return self.all[-1]

    def holders(self) -> list[str]:
        """Who says so, at this instant."""
        return [each.name for each in self.all if not each.is_over and each.is_held()]

    def step(self) -> None:
        """Each one alive tries once; at no instant between two tries is there more than one."""
        for each in self.all:
            if not each.is_over:
                each.step()
                assert len(self.holders()) <= 1

    def pass_s(self, seconds: float) -> None:
        """Time passes, in steps of two seconds at most."""
        left_ns = int(seconds * NS_PER_SECOND)
        while left_ns > 0:
            passed_ns = min(left_ns, STEP_NS)
            for each in self.all:
                each.clock.pass_ns(passed_ns)
            assert len(self.holders()) <= 1
            left_ns -= passed_ns
            self.step()

    def go_on(self) -> None:
        self.step()
        self.pass_s(40)

    def cut(self) -> None:
        self.api.status = 503

    def close(self) -> None:
        self._stack.close()
