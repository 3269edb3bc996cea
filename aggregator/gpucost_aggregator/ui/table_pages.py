"""The pages of namespaces and of models: a sentence, the bar, and one table."""

from dataclasses import dataclass

from gpucost import format as fmt
from gpucost.units import NANODOLLARS_PER_USD

from gpucost_aggregator.reports.five_parts import shares_of_report
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.report import Report, Subject
from gpucost_aggregator.ui.absence import Absence, absence, nobody
from gpucost_aggregator.ui.cost_table import CostTable, Named, cost_table, name_model, name_namespace
from gpucost_aggregator.ui.figures import LedgerBar, Scale, ledger_bar, scale_of
from gpucost_aggregator.ui.pages import render
from gpucost_aggregator.ui.sentences import over_time, quarantine_words
from gpucost_aggregator.ui.shell import shell
from gpucost_aggregator.ui.surroundings import Surroundings

MOST_ROWS = 80
"""A page has at most 1,500 elements; a row has about fourteen."""

MILLION_USD = 1_000_000 * NANODOLLARS_PER_USD


@dataclass(frozen=True, slots=True)
class TablePage:
    """Everything in the template that is not the shell; *empty* is said where there are no rows."""

    headline: str
    lede: str
    bar: LedgerBar | None
    table: CostTable
    subtitle: str
    exports: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    empty: Absence


def namespaces_page(report: Report[Namespace], around: Surroundings) -> str:
    """The page of all namespaces."""

    def named(subject: Namespace) -> tuple[str, str, str]:
        return name_namespace(subject, around.clusters, around.link)

    lede = "A namespace pays for what its containers hold or use. What nobody holds is not spread over them."
    view = _view("Namespace", lede, report, around, named)
    return render("table_page.html", shell("Namespaces", around), view=view)


def models_page(report: Report[Model], around: Surroundings) -> str:
    """The page of all models, over all clusters."""

    def named(subject: Model) -> tuple[str, str, str]:
        return name_model(subject, around.clusters)

    lede = "A model's name comes from an annotation or a label of its pods, and every row says which."
    if unnamed := sum(1 for row in report.rows if not row.subject.is_named):
        have = fmt.count(unnamed, "workload has none", "workloads have none")
        lede = f"{lede} {have}: label their pods with gpucost.dev/model."
    view = _view("Model", lede, report, around, named)
    return render("table_page.html", shell("Models", around), view=view)


def _view(
    head: str, lede: str, report: Report[Subject], around: Surroundings, named: Named[Subject]
) -> TablePage:
    shares = shares_of_report(report)
    scale = scale_of(shares)
    path = f"{head.lower()}s"
    first_ns = report.total.group.first_ns
    nothing = absence(around, first_ns, f"What does each {head.lower()} cost?")
    table = cost_table(head, report, scale, named, MOST_ROWS)
    if table.besides:
        lede = f"{lede} Charged to none of them: {fmt.names(table.besides)}{_unit(scale)}."
    return TablePage(
        headline=nothing.sentence
        if nothing
        else _headline(report, table, scale, over_time(around, first_ns)),
        lede=lede,
        bar=None
        if nothing
        else ledger_bar(scale.main(shares), scale, of_some=bool(around.picked_namespaces)),
        table=table,
        subtitle=_subtitle(report.rows_in_all),
        exports=(("CSV", around.export(path, "csv")), ("JSON", around.export(path, "json"))),
        notes=quarantine_words(report.quarantined),
        empty=nothing or nobody(around),
    )


def _subtitle(rows: int) -> str:
    if rows <= MOST_ROWS + 1:
        return f"{fmt.count(rows, 'row')}, most expensive first"
    return f"the most expensive {MOST_ROWS} of {rows:,}; the exports have all"


def _who(report: Report[Subject], noun: str) -> str:
    subjects = [row.subject for row in report.rows]
    unnamed = sum(1 for subject in subjects if isinstance(subject, Model) and not subject.is_named)
    if not unnamed:
        return fmt.count(report.rows_in_all, noun)
    workloads = fmt.count(unnamed, "unnamed workload")
    named = report.rows_in_all - unnamed
    return f"{fmt.count(named, noun)} and {workloads}" if named else workloads


def _headline(report: Report[Subject], table: CostTable, scale: Scale, when: str) -> str:
    """What the rows cost, as their sum below them says it."""
    if not report.rows:
        return f"Nobody was charged anything {when}."
    paid = table.paid
    idle = (
        (paid.cost_idle_nanodollars, paid.cost_nanodollars)
        if scale.in_money
        else (paid.idle_ns, paid.charged_ns)
    )
    charged = f"{table.paid_text}{_unit(scale)}"
    if scale.in_money and paid.cost_nanodollars >= MILLION_USD:
        charged = scale.sentence(paid.cost_nanodollars)
    who = _who(report, table.head.lower())
    return f"{who} cost {charged} {when}. {fmt.percent(*idle)} of it was held but idle."


def _unit(scale: Scale) -> str:
    return "" if scale.in_money else " GPU-hours"
