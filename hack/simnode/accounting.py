"""The driver's accounting mode: each process's part of the ring's samples, kept beyond its end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from simnode.lives import Process

DEAD = 128
"""As many ended processes are kept, as in NVIDIA's open kernel modules."""
DRAIN_NS = 1_000_000_000
"""How often the driver takes what is new in the ring into its accounts."""


@dataclass(slots=True)
class Account:
    process: Process
    end_ns: int | None = None
    samples: int = 0
    sum_centi: int = 0


class Accounts:
    """One GPU's. An account goes by its PID: one that is used again takes the place of the ended process's."""

    def __init__(self, phase_ns: int) -> None:
        self.by_pid: dict[int, Account] = {}
        self._dead: deque[Account] = deque()
        self._phase = phase_ns
        self._pending: deque[tuple[int, Account | None, int, list[Account]]] = deque()

    def born(self, process: Process) -> None:
        old = self.by_pid.pop(process.pid, None)
        if old in self._dead:
            self._dead.remove(old)
        self.by_pid[process.pid] = Account(process)

    def died(self, process: Process, now: int) -> None:
        account = self.by_pid[process.pid]
        account.end_ns = now
        self._dead.append(account)
        if len(self._dead) > DEAD:
            del self.by_pid[self._dead.popleft().process.pid]

    def note(self, stamp_ns: int, pid: int, util_centi: int) -> None:
        """A sample was taken; it counts for those who live then."""
        alive = [account for account in self.by_pid.values() if account.end_ns is None]
        self._pending.append((stamp_ns, self.by_pid.get(pid), util_centi, alive))

    def settle(self, until: int) -> None:
        """What the timer has drained until now."""
        drained = until - (until - self._phase) % DRAIN_NS
        while self._pending and self._pending[0][0] <= drained:
            _, owner, util_centi, alive = self._pending.popleft()
            for account in alive:
                account.samples += 1
            if owner:
                owner.sum_centi += util_centi
