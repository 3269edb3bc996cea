"""What nobody holds and somebody uses is free, and is neither idle now nor never used."""

from dataclasses import replace

import pytest
from gpucost.cost_slice import Cost, CostSlice, GpuTime
from gpucost.identity import HOST, UNALLOCATED, UNATTRIBUTED, Holder
from gpucost.window import Interval

from contracts.ledger_rows import MINUTE_NS, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import MINER
from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.idle import BY, Idle, IdleReport, Now, Seen, idle, latest_window
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question, Remainder
from gpucost_aggregator.store.rows import QuarantineTotals, Scope

HALF = MINUTE_NS // 2


def report_of(windows: int, *slices: CostSlice) -> IdleReport:
    store = MemoryStore()
    store.commit([a_batch(1, *slices)])
    stretch = Interval(START_NS, START_NS + windows * MINUTE_NS)
    last = latest_window(stretch, MINUTE_NS)
    seen = Seen(
        store.totals(Scope(stretch.start_ns, stretch.end_ns), BY),
        store.totals(Scope(last.start_ns, last.end_ns), BY),
        last,
    )
    return idle(Question(Period("1h", stretch, stretch), MEASURED, 100), seen, QuarantineTotals())


def free_of(windows: int, *slices: CostSlice) -> Idle:
    found = [row.subject for row in report_of(windows, *slices).report.rows]
    (free,) = [subject for subject in found if not subject.holding.is_held]
    return free


def part(window: int, holder: Holder, time: GpuTime, *flags: str) -> CostSlice:
    cost = Cost(
        time.used_ns // 1_000, time.idle_ns // 1_000, time.unmeasured_ns // 1_000, time.reserved_ns // 1_000
    )
    return replace(a_slice(window, holder=holder), time=time, cost=cost, flags=flags)


def taken(window: int, user: Holder = MINER, used_ns: int = HALF) -> list[CostSlice]:
    """A free device of which *user* uses some in a window, without holding it."""
    flags = ("shadow",) if user == MINER else ()
    return [
        part(window, UNALLOCATED, GpuTime(MINUTE_NS, 0, MINUTE_NS - used_ns, 0)),
        part(window, user, GpuTime(0, used_ns, 0, 0), *flags),
    ]


@pytest.mark.parametrize("user", [MINER, HOST, UNATTRIBUTED])
def test_what_somebody_uses_without_holding_it_is_not_idle_now(user: Holder) -> None:
    free = free_of(2, a_free_slice(0), *taken(1, user))
    assert (free.latest, free.now, free.never_used) == (Now.SHADOW, False, False)
    assert (free.since_ns, free.since_or_earlier) == (None, False)


def test_it_is_idle_since_that_use_ended() -> None:
    free = free_of(3, *taken(0), a_free_slice(1), a_free_slice(2))
    assert (free.latest, free.now, free.never_used) == (Now.IDLE, True, False)
    assert (free.since_ns, free.since_or_earlier) == (START_NS + MINUTE_NS, False)


def test_use_while_another_held_it_is_no_use_of_the_time_in_which_it_was_free() -> None:
    shadow = part(1, MINER, GpuTime(0, HALF, 0, 0), "shadow")
    held = part(1, POD, GpuTime(MINUTE_NS, 0, HALF, 0))
    before = free_of(2, a_free_slice(0), held, shadow)
    assert (before.latest, before.never_used, before.since_ns) == (Now.OVER, True, START_NS)
    after = free_of(3, held, shadow, a_free_slice(2))
    assert (after.latest, after.never_used, after.since_ns) == (Now.IDLE, True, START_NS + 2 * MINUTE_NS)


def test_what_is_used_all_the_time_without_being_held_is_a_row_without_idle_time() -> None:
    report = report_of(1, *taken(0, used_ns=MINUTE_NS))
    (row,) = report.report.rows
    assert (row.subject.latest, row.subject.now, row.subject.never_used) == (Now.SHADOW, False, False)
    assert (row.line.sums.charged_ns, row.line.sums.reserved_ns) == (0, MINUTE_NS)
    assert report.report.remainders[Remainder.UNALLOCATED].sums.reserved_ns == 0
    assert report.report.total.sums.charged_ns == MINUTE_NS


def test_the_free_part_of_a_shared_device_is_free_beside_its_holders_own_use() -> None:
    rows = [
        part(0, POD, GpuTime(HALF, HALF // 2, HALF // 4, 0)),
        part(0, UNATTRIBUTED, GpuTime(0, HALF // 4, 0, 0)),
        part(0, UNALLOCATED, GpuTime(HALF, 0, HALF, 0)),
    ]
    free = free_of(1, *rows)
    assert (free.latest, free.in_part, free.never_used) == (Now.IDLE, True, True)
    # A process of the host belongs to none of its holders.
    host = part(0, HOST, GpuTime(0, HALF // 4, 0, 0))
    assert free_of(1, *rows[::2], host).latest is Now.SHADOW


def test_what_is_free_and_can_not_be_read_is_not_idle() -> None:
    free = free_of(2, a_free_slice(0), part(1, UNALLOCATED, GpuTime(MINUTE_NS, 0, HALF, HALF)))
    assert (free.latest, free.now) == (Now.UNKNOWN, False)
