from gpucost.facts import WorkloadFacts
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval

from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill
from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.idle import BY, IGNORE, Idle, IdleReport, Seen, idle, latest_window
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question, Remainder
from gpucost_aggregator.store.rows import QuarantineTotals, Scope

WINDOW = 10 * NS_PER_SECOND
START = 495_000 * NS_PER_HOUR
END = START + 12 * WINDOW


def found(start: int = START, end: int = END, extra: WorkloadFacts | None = None) -> IdleReport:
    store = MemoryStore()
    fill(store, START, 12, WINDOW)
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
