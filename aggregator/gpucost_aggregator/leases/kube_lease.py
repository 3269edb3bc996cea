"""
A Lease of Kubernetes, taken, renewed and left as client-go's leader election does it.

Who has it writes into it every two seconds. Whoever else has seen no change of it for as long as it says takes it, by
their own monotonic clock: times in the object are another machine's, and are for people.
"""

from contextlib import suppress
from dataclasses import dataclass

from gpucost.clock import Clock, Instant
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.leases.lease_object import LeaseObject, Overtaken
from gpucost_aggregator.leases.lease_record import DURATION_NS, LeaseRecord, first_spec

HELD_NS = 10 * NS_PER_SECOND
"""From before a write was sent: two thirds of DURATION_NS, which nobody sees begin before it. client-go's deadline."""


@dataclass(slots=True)
class LeaseCounts:
    """Since the program's start: how often it was taken and lost, and how many tries came to nothing."""

    taken: int = 0
    lost: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class KubeLeaseParts:
    """What it is made of; *holder* is this process, and never another one: not the one before a restart either."""

    holder: str
    object: LeaseObject
    clock: Clock
    counts: LeaseCounts
    log: FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class _Hold:
    """Held from *begins_ns* of the monotonic clock on, for HELD_NS since the last write was *sent*."""

    record: LeaseRecord
    sent: Instant
    begins_ns: int

    def covers(self, now: Instant) -> bool:
        elapsed_ns = now.monotonic_ns - self.sent.monotonic_ns
        # A machine that was suspended shows it by its wall clock alone. One that was set ahead costs two seconds.
        is_young = max(elapsed_ns, now.wall_ns - self.sent.wall_ns) < HELD_NS
        return is_young and now.monotonic_ns >= self.begins_ns


class KubeLease:
    """
    `is_held` may be asked by any thread; `step` and `leave` are called by one, and block on the API server.
    """

    def __init__(self, parts: KubeLeaseParts) -> None:
        self._parts = parts
        self._hold: _Hold | None = None
        self._seen: LeaseRecord | None = None
        self._seen_ns = 0
        self._told_held = False
        self._told_trouble = ""

    def is_held(self) -> bool:
        """Whether this process has it now, and nobody else can have it yet."""
        hold = self._hold
        return hold is not None and hold.covers(self._parts.clock.now())

    def step(self) -> None:
        """One try to take or to renew it; raises nothing, as the next one is two seconds away."""
        trouble = ""
        try:
            self._renew_or_take()
        except Overtaken:
            pass  # Another one was faster; who has it now is read next time.
        except Retry as failed:
            self._parts.counts.failures += 1
            trouble = str(failed)
        self._tell(trouble)

    def leave(self) -> None:
        """Nothing is done under it any more: the next one need not wait. Raises nothing."""
        hold, self._hold = self._hold, None
        if hold is None:
            return
        try:
            self._parts.object.replace(hold.record, hold.record.left(self._parts.clock.now().wall_ns))
        except Retry:
            # It ends by itself, or somebody has it already.
            self._parts.counts.failures += 1

    def _renew_or_take(self) -> None:
        parts, hold = self._parts, self._hold
        if hold is not None and self.is_held():
            with suppress(Overtaken):
                return self._write(hold.record, hold.begins_ns)
        asked_ns = parts.clock.now().monotonic_ns
        # Nobody who had it, and does not know yet that it was taken away by hand, has it any more by then.
        after_anybody_ns = asked_ns + DURATION_NS
        found = parts.object.read()
        if found is None:
            return self._make(after_anybody_ns)
        self._look_at(found)
        if found.holder == parts.holder:
            # Written by a try whose answer never came, unless it is known since when.
            return self._write(found, hold.begins_ns if hold else after_anybody_ns)
        self._hold = None
        # Also where nobody has it: who leaves it writes a second, and who takes its holder out by hand leaves him time.
        is_over = parts.clock.now().monotonic_ns - self._seen_ns >= found.duration_ns
        return self._write(found, asked_ns) if is_over else None

    def _make(self, begins_ns: int) -> None:
        sent = self._parts.clock.now()
        made = self._parts.object.make(first_spec(self._parts.holder, sent.wall_ns))
        self._look_at(made)
        self._hold = _Hold(made, sent, begins_ns)

    def _write(self, seen: LeaseRecord, begins_ns: int) -> None:
        sent = self._parts.clock.now()
        written = self._parts.object.replace(seen, seen.taken(self._parts.holder, sent.wall_ns))
        self._look_at(written)
        self._hold = _Hold(written, sent, begins_ns)

    def _look_at(self, record: LeaseRecord) -> None:
        """When it was seen to change: that, and nothing that stands in it, says how old it is."""
        if self._seen is None or record.spec != self._seen.spec:
            self._seen, self._seen_ns = record, self._parts.clock.now().monotonic_ns

    def _tell(self, trouble: str) -> None:
        parts, held = self._parts, self.is_held()
        lease = f"{parts.object.namespace}/{parts.object.name}"
        if held and not self._told_held:
            parts.counts.taken += 1
            parts.log.info("lease_taken", lease=lease, holder=parts.holder)
        if self._told_held and not held:
            parts.counts.lost += 1
            other = self._seen.holder if self._seen and self._seen.holder != parts.holder else ""
            parts.log.warning("lease_lost", lease=lease, holder=other, trouble=trouble)
        if trouble and trouble != self._told_trouble:
            parts.log.warning("lease_not_written", lease=lease, trouble=trouble)
        self._told_held, self._told_trouble = held, trouble
