"""The first page: what is spent, how much of it is work, and where it goes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpucost import format as fmt
from gpucost.window import Interval

from gpucost_aggregator.reports.five_parts import Shares, shares_of_report
from gpucost_aggregator.reports.idle import Fleet, IdleReport
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.report import Report
from gpucost_aggregator.ui.absence import Absence, absence, nobody
from gpucost_aggregator.ui.cost_table import CostTable, cost_table, name_model, name_namespace
from gpucost_aggregator.ui.figures import LedgerBar, Scale, ledger_bar, scale_of
from gpucost_aggregator.ui.idle_page import HOURS_PER_MONTH, IdleRow, idle_rows, waste_pace
from gpucost_aggregator.ui.pages import render
from gpucost_aggregator.ui.sentences import over_time, quarantine_words, spend_sentence
from gpucost_aggregator.ui.shell import shell
from gpucost_aggregator.ui.spend_chart import SpendChart, spend_chart
from gpucost_aggregator.ui.surroundings import Surroundings

MOST_MODELS = 8
MOST_NAMESPACES = 6
MOST_IDLE = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """What the page is made of; *ranges* are the shares of today, 24 h, 7 and 30 days, with their names."""

    models: Report[Model]
    namespaces: Report[Namespace]
    idle: IdleReport
    spend: Sequence[tuple[Interval, Shares]]
    ranges: Sequence[tuple[str, Shares]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its name, its unit, and a note."""

    name: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the funnel from fleet to work."""

    name: str
    count: str
    share: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything in the template that is not the shell."""

    headline: str
    lede: str
    bar: LedgerBar
    figures: tuple[Figure, ...]
    chart: SpendChart | None
    models: CostTable
    namespaces: CostTable
    idle: tuple[IdleRow, ...]
    funnel: tuple[Step, ...]
    models_href: str
    namespaces_href: str
    idle_href: str
    adds_up: str
    notes: tuple[str, ...]
    empty: Absence


def overview_page(found: Findings, around: Surroundings) -> str:
    """The page of *found*."""
    shares = shares_of_report(found.models)
    scale = scale_of(shares)
    act, *_ = idle_rows(found.idle, scale, around)
    models = cost_table(
        "Model", found.models, scale, lambda row: name_model(row, around.clusters), MOST_MODELS
    )
    namespaces = cost_table(
        "Namespace",
        found.namespaces,
        scale,
        lambda row: name_namespace(row, around.clusters, around.link),
        MOST_NAMESPACES,
    )
    first_ns = found.models.total.group.first_ns
    nothing = absence(around, first_ns, "What do your GPUs cost?")
    view = Overview(
        headline=nothing.sentence if nothing else spend_sentence(shares, scale, over_time(around, first_ns)),
        lede=_lede(found, act, scale),
        bar=ledger_bar(scale.main(shares), scale, of_some=bool(around.picked_namespaces)),
        figures=_figures(found, len(act), scale),
        chart=spend_chart(found.spend, scale, around.zone),
        models=replace(models, closing=models.closing[:1]),
        namespaces=replace(namespaces, closing=namespaces.closing[:1]),
        idle=act[:MOST_IDLE],
        funnel=_funnel(found.idle.fleet),
        models_href=around.link("/models"),
        namespaces_href=around.link("/namespaces"),
        idle_href=around.link("/idle"),
        adds_up=models.adds_up,
        notes=quarantine_words(found.models.quarantined),
        empty=nothing or nobody(around),
    )
    return render("overview.html", shell("Overview", around), view=view)


def _lede(found: Findings, act: Sequence[IdleRow], scale: Scale) -> str:
    fleet = found.idle.fleet
    if not fleet.gpus:
        return ""
    said = [f"{fmt.count(fleet.gpus, 'GPU')} on {fmt.count(fleet.nodes, 'node')}."]
    if found.models.rows:
        first = found.models.rows[0]
        said.append(f"Most went to {first.subject.name}: {scale.amount(first.line.sums)}{_unit(scale)}.")
    if act:
        idle = f"{act[0].name} {act[0].lasting}".strip()
        said.append(f"The largest idle holder now is {idle}.")
    if found.models.total.is_estimate:
        said.append("Some prices are from a catalogue: an estimate.")
    return " ".join(said)


def _unit(scale: Scale) -> str:
    return "" if scale.in_money else " GPU-hours"


def _figures(found: Findings, workloads: int, scale: Scale) -> tuple[Figure, ...]:
    fleet = found.idle.fleet
    if not scale.in_money:
        return _figures_in_time(found, scale)
    pace = fleet.pace_nanodollars_per_hour
    waste = waste_pace(found.idle) * HOURS_PER_MONTH
    now = Figure(
        "Spending now",
        fmt.money(pace, fmt.money_decimals(pace)),
        "an hour",
        f"{fmt.count(fleet.gpus, 'GPU')} on {fmt.count(fleet.nodes, 'node')}",
    )
    idle = Figure(
        "Held and idle now",
        fmt.money(waste, fmt.money_decimals(waste) if waste else 0),
        "a month",
        f"{fmt.count(workloads, 'workload')} without any use",
    )
    spent = tuple(
        Figure(
            name,
            fmt.money(shares.money.total, fmt.money_decimals(shares.money.total)),
            "",
            f"{fmt.percent(shares.money.used, shares.money.total)} used",
        )
        for name, shares in found.ranges
    )
    return now, *spent, idle


def _figures_in_time(found: Findings, scale: Scale) -> tuple[Figure, ...]:
    spent = tuple(
        Figure(
            name,
            scale.hours(shares.time.total),
            "GPU-hours",
            f"{fmt.percent(shares.time.used, shares.time.total)} used",
        )
        for name, shares in found.ranges
    )
    fleet = found.idle.fleet
    now = Figure("GPUs now", f"{fleet.gpus:,}", "", f"on {fmt.count(fleet.nodes, 'node')}")
    idle = Figure("Held and idle now", f"{fleet.idle:,}", "GPUs", "without any use")
    return now, *spent, idle


def _funnel(fleet: Fleet) -> tuple[Step, ...]:
    if not fleet.gpus:
        return ()
    used, unknown, idle = ("used", fleet.active), ("unknown", fleet.unknown), ("idle", fleet.idle)
    steps = (
        ("In the fleet", (used, unknown, idle, ("free", fleet.free), ("unobs", fleet.unobserved))),
        ("Held or used", (used, unknown, idle)),
        ("With any use", (used,)),
    )
    return tuple(_step(name, parts, fleet.gpus) for name, parts in steps)


def _step(name: str, parts: Sequence[tuple[str, int]], gpus: int) -> Step:
    number = sum(count for _, count in parts)
    widths = tuple((kind, f"{100 * count / gpus:.2f}%") for kind, count in parts if count)
    return Step(name, f"{number:,}", fmt.percent(number, gpus), widths)
