from dataclasses import replace

from gpucost.facts import WorkloadFacts
from gpucost.identity import unobserved
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval

from contracts import sample_fleet, sliced_fleet
from contracts.ledger_rows import a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_agent.ledger.gpu_book import AGENT_GAP, LAYOUT_UNKNOWN, NODE_STARTING
from gpucost_agent.ledger.holdings import CLAIMS_HIDDEN, KUBELET_AWAY, UNMAPPED
from gpucost_agent.ledger.stretching import GPU_LOST
from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.idle import BY, IGNORE, Idle, IdleReport, Now, Seen, idle, latest_window
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.reasons import REASONS, words_of
from gpucost_aggregator.reports.report import Question, Remainder
from gpucost_aggregator.store.rows import QuarantineTotals, Scope

WINDOW = 10 * NS_PER_SECOND
START = 495_000 * NS_PER_HOUR
END = START + 12 * WINDOW


def found(start: int = START, end: int = END, extra: WorkloadFacts | None = None) -> IdleReport:
    store = MemoryStore()
    sample_fleet.fill(store, START, 12, WINDOW)
    return report_of(store, start, end, extra)


def sliced(start: int = START, end: int = END) -> IdleReport:
    store = MemoryStore()
    sliced_fleet.fill(store, START, 12, WINDOW)
    return report_of(store, start, end)


def report_of(
    store: MemoryStore, start: int = START, end: int = END, extra: WorkloadFacts | None = None
) -> IdleReport:
    stretch = Interval(start, end)
    last = latest_window(stretch, WINDOW)
    scope = Scope(start, end)
    workloads = dict(store.workloads(scope))
    if extra:
        workloads["prod-us", extra.namespace, extra.pod, extra.pod_uid] = extra
    seen = Seen(
        store.totals(scope, BY),
        store.totals(Scope(last.start_ns, last.end_ns), BY),
        last,
        workloads,
        store.gpus(),
    )
    return idle(Question(Period("1h", stretch, stretch), MEASURED, 100), seen, QuarantineTotals())


def of(report: IdleReport, pod: str) -> Idle:
    return next(row.subject for row in report.report.rows if row.subject.holding.pod == pod)


def test_what_was_never_used_is_idle_since_it_was_seen() -> None:
    jupyter = of(found(), "jupyter-ada-0")
    assert (jupyter.now, jupyter.never_used, jupyter.owner_idle) == (True, True, True)
    assert (jupyter.since_ns, jupyter.since_or_earlier) == (START, True)
    assert jupyter.pace_nanodollars_per_hour in range(6_879_999_000, 6_880_001_000)
    assert (jupyter.gpu_model, jupyter.owner_kind) == ("NVIDIA H100 80GB HBM3", "StatefulSet")


def test_what_works_is_idle_in_part_and_not_now() -> None:
    llama = of(found(), "llama-3-8b-7c9f5d6b8-x2v4q")
    assert (llama.now, llama.never_used, llama.since_ns) == (False, False, None)
    assert (llama.owner_kind, llama.owner_name) == ("Deployment", "llama-3-8b")
    assert llama.model is not None
    assert llama.model.name == "llama-3-8b"


def test_what_ended_is_not_idle_now() -> None:
    finetune = of(found(), "finetune-42-z8m7c")
    assert (finetune.now, finetune.since_ns) == (False, None)


def test_a_free_gpu_is_idle_since_it_was_released() -> None:
    free = [row.subject for row in found().report.rows if row.subject.holding.holder_kind == "unallocated"]
    assert sorted((each.since_ns or 0, each.now) for each in free) == [
        (START, True),
        (START + 6 * WINDOW, True),
    ]


def test_what_nobody_could_read_or_watch_stands_apart() -> None:
    report = found()
    assert [(row.reason, row.holding.pod) for row in report.cannot_tell] == [
        ("unmeasured", "whisper-0"),
        ("kubelet_away", ""),
    ]
    whole = [row.subject.holding for row in report.report.rows if row.subject.holding.pod == "whisper-0"]
    assert len(whole) == 1, "the GPU that could not be read is in no row"
    assert report.report.remainders[Remainder.NOT_IDLE].sums.unmeasured_ns == 12 * WINDOW


def test_the_fleet_counts_each_gpu_once() -> None:
    fleet = found().fleet
    assert (fleet.gpus, fleet.nodes, fleet.allocated, fleet.unobserved) == (6, 2, 5, 0)
    assert (fleet.active, fleet.unknown, fleet.idle) == (3, 1, 1)
    early = found(end=START + WINDOW).fleet
    assert (early.unobserved, early.active) == (1, 3)


def test_quiet_on_purpose_is_marked() -> None:
    quiet = WorkloadFacts("notebooks", "jupyter-ada-0", "uid-ada", 0, {}, {IGNORE: "true"})
    assert of(found(extra=quiet), "jupyter-ada-0").ignored


def test_an_empty_stretch_has_nothing() -> None:
    report = found(END, END)
    assert (report.report.rows, report.cannot_tell, report.fleet.gpus) == ((), (), 0)
    assert report.report.total.sums.charged_ns == 0


def test_a_mig_device_is_idle_on_its_own_and_its_board_is_counted_once() -> None:
    report = sliced()
    jupyter = of(report, "jupyter-ada-0")
    assert (jupyter.now, jupyter.never_used) == (True, True)
    assert jupyter.holding.device_name == "MIG 2g.20gb · GPU-a00000"
    assert jupyter.pace_nanodollars_per_hour in range(6_880_000_000 // 7 - 1_000, 6_880_000_000 // 7 + 1_000)
    fleet = report.fleet
    assert (fleet.gpus, fleet.allocated, fleet.active, fleet.unknown, fleet.idle) == (5, 5, 4, 1, 0)


def test_what_can_run_nothing_is_unallocated_and_nothing_to_act_on() -> None:
    rests = [row for row in sliced().report.rows if not row.subject.holding.can_be_held]
    assert sorted(row.subject.holding.device_name for row in rests) == [
        "rest of GPU-a00000",
        "rest of MIG 2g.20gb · GPU-a00000",
    ]
    assert {row.subject.holding.holder_kind for row in rests} == {"unallocated"}
    assert all(row.line.sums.cost_idle_nanodollars for row in rests)


def test_every_reason_of_not_knowing_is_told_and_none_is_idle() -> None:
    for window, reason in enumerate(sliced_fleet.REASONS):
        report = sliced(START + window * WINDOW, START + (window + 1) * WINDOW)
        told = {(row.reason, row.holding.gpu_uuid) for row in report.cannot_tell}
        assert told == {(reason, sliced_fleet.UUIDS[3]), ("unmeasured", sliced_fleet.UUIDS[4])}
        idle = {row.subject.holding.gpu_uuid for row in report.report.rows}
        assert not idle & {uuid for _, uuid in told}
        assert report.fleet.unobserved == 1


def test_who_uses_a_gpu_that_nobody_gave_to_it_does_not_hold_it() -> None:
    early = sliced(START, START + 6 * WINDOW).fleet
    assert (early.allocated, early.active, early.free) == (3, 3, 0)
    whole = sliced(START, START + 6 * WINDOW).report.rows
    shadows = {row.subject.holding.gpu_uuid for row in whole if row.subject.latest is Now.SHADOW}
    assert shadows == {sliced_fleet.UUIDS[2]}
    assert not any(row.subject.latest is Now.SHADOW for row in sliced().report.rows)


def test_a_gpu_of_which_nobody_knows_who_held_it_is_neither_free_nor_taken() -> None:
    user = a_slice(holder=replace(sliced_fleet.MINER, container="x"))
    user = replace(user, time=replace(user.time, reserved_ns=0))
    store = MemoryStore()
    store.commit([a_batch(1, user, a_slice(holder=unobserved("kubelet_away"), used_ns=0))])
    start = user.key.window_start_ns
    report = report_of(store, start, start + WINDOW)
    fleet = report.fleet
    assert (fleet.gpus, fleet.active, fleet.allocated, fleet.free) == (1, 1, 0, 0)
    assert report.report.rows == ()


def test_every_reason_that_an_agent_gives_has_words() -> None:
    given = {AGENT_GAP, NODE_STARTING, LAYOUT_UNKNOWN, KUBELET_AWAY, UNMAPPED, CLAIMS_HIDDEN, GPU_LOST}
    assert given == set(sliced_fleet.REASONS)
    assert given < set(REASONS)
    assert words_of("struck_by_lightning") == "struck by lightning"
