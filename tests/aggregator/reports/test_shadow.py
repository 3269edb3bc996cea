"""Use that nobody gave: it is told apart from the same holder's own, and from what others were given."""

from dataclasses import replace

from gpucost.identity import HOST, Holder, HolderKind, unobserved
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval

from contracts import sliced_fleet
from contracts.ledger_rows import EVERYTHING, MINUTE_NS, POD, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import MINER, UUIDS
from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question, Remainder, Report, Row
from gpucost_aggregator.reports.shadow import BY, MOST_HOLDERS, Seen, Shadow, has_shadows, shadow
from gpucost_aggregator.store.rows import QuarantineTotals, Scope

WINDOW = 10 * NS_PER_SECOND
START = 495_000 * NS_PER_HOUR
END = START + 12 * WINDOW
THIEF = Holder(HolderKind.CONTAINER, "sandbox", "thief", "uid-t", "main")


def report_of(store: MemoryStore, scope: Scope = EVERYTHING) -> Report[Shadow]:
    totals = store.totals(scope, BY)
    beside = store.totals(replace(scope, namespaces=()), BY)
    stretch = Interval(scope.start_ns, scope.end_ns)
    question = Question(Period("1h", stretch, stretch), MEASURED, 100)
    seen = Seen(totals, beside, store.workloads(scope), store.gpus())
    report = shadow(question, seen, QuarantineTotals())
    assert has_shadows(totals) is bool(report.rows)
    return report


def fleet() -> MemoryStore:
    store = MemoryStore()
    sliced_fleet.fill(store, START, 12, WINDOW)
    return store


def by_gpu(report: Report[Shadow]) -> dict[tuple[str, int], Row[Shadow]]:
    found = {(row.subject.holding.pod, UUIDS.index(row.subject.holding.gpu_uuid)): row for row in report.rows}
    assert len(found) == len(report.rows)
    return found


def test_who_is_a_holder_at_other_times_is_billed_here_for_the_use_that_was_not_given() -> None:
    rows = by_gpu(report_of(fleet()))
    taken = rows[MINER.pod, 2]
    assert taken.line.sums.used_ns == taken.line.sums.charged_ns == 6 * WINDOW * 150 // 1000
    assert taken.line.sums.reserved_ns == taken.line.sums.cost_idle_nanodollars == 0
    assert (taken.subject.first_ns, taken.subject.last_ns) == (START, START + 6 * WINDOW)
    # The same pod was given this GPU in the other half; nobody was in this one.
    assert taken.subject.holders == ()
    assert (taken.subject.gpu_model, taken.subject.owner_name) == ("NVIDIA H100 80GB HBM3", "miner")


def test_holders_are_those_who_had_been_given_the_device_at_the_time() -> None:
    rows = by_gpu(report_of(fleet()))
    assert sorted(rows) == [("", 2), (MINER.pod, 1), (MINER.pod, 2), (MINER.pod, 3)]
    assert rows[MINER.pod, 1].subject.holders == (
        "search/embedder-5d9c7f-kk2pl",
        "training/finetune-42-z8m7c",
    )
    assert rows[MINER.pod, 3].subject.first_ns == START + 7 * WINDOW
    assert rows[MINER.pod, 3].subject.unsure == (), "what nobody knew before the use began is no matter"


def test_the_host_is_a_row_and_no_remainder() -> None:
    report = report_of(fleet())
    assert by_gpu(report)["", 2].subject.holding.holder_kind == "host"
    assert report.remainders[Remainder.HOST].sums.charged_ns == 0


def test_it_closes_to_the_same_total_with_what_was_given_beside_it() -> None:
    store = fleet()
    report = report_of(store)
    lines = [row.line.sums for row in report.rows] + [line.sums for line in report.remainders.values()]
    everything = store.totals(EVERYTHING, [])[0].sums
    assert sum(sums.cost_nanodollars for sums in lines) == everything.cost_nanodollars
    assert report.total.sums == everything
    assert report.remainders[Remainder.GIVEN].sums.reserved_ns > 0


def test_a_filter_of_namespaces_still_names_the_others_who_held_the_device() -> None:
    rows = by_gpu(report_of(fleet(), replace(EVERYTHING, namespaces=("sandbox",))))
    assert ("", 2) not in rows
    assert rows[MINER.pod, 1].subject.holders_in_all == 2


def test_a_window_in_which_it_was_given_too_is_given_as_a_whole() -> None:
    row = replace(a_slice(), flags=("shadow",))
    store = MemoryStore()
    store.commit([a_batch(1, row)])
    report = report_of(store)
    assert report.rows == ()
    assert report.remainders[Remainder.GIVEN].sums.charged_ns == MINUTE_NS


def test_holders_of_another_time_and_its_own_pod_are_none() -> None:
    taken = a_slice(5, holder=THIEF)
    taken = replace(taken, time=replace(taken.time, reserved_ns=0), flags=("shadow",))
    own = a_slice(5, holder=replace(THIEF, container="later"))
    unsure = [
        a_slice(window, holder=unobserved(why), used_ns=0) for window, why in ((5, "unmapped"), (6, "x"))
    ]
    other = replace(POD, pod="train-1")
    store = MemoryStore()
    store.commit([a_batch(1, a_slice(4), taken, own, a_slice(6, holder=other), *unsure)])
    (row,) = report_of(store).rows
    assert (row.subject.holders, row.subject.holders_in_all, row.subject.unsure) == ((), 0, ("unmapped",))
    assert (row.subject.first_ns, row.subject.last_ns) == (START_NS + 5 * MINUTE_NS, START_NS + 6 * MINUTE_NS)


def test_many_holders_are_counted_and_some_are_named() -> None:
    host = a_slice(holder=HOST)
    host = replace(host, time=replace(host.time, reserved_ns=0))
    many = [a_slice(holder=replace(POD, pod=f"pod-{number:02}", pod_uid=f"{number}")) for number in range(30)]
    sidecar = a_slice(holder=replace(POD, pod="pod-99"))
    sidecar = replace(sidecar, time=replace(sidecar.time, reserved_ns=0))
    store = MemoryStore()
    store.commit([a_batch(1, host, *many, sidecar)])
    (row,) = report_of(store).rows
    assert row.subject.holders == tuple(f"research/pod-{number:02}" for number in range(MOST_HOLDERS))
    assert row.subject.holders_in_all == 30
