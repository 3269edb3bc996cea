"""The pages of namespaces and of models: a sentence, the bar, and one table."""

from dataclasses import dataclass

from gpucost import format as fmt
from gpucost.units import NANODOLLARS_PER_USD

from gpucost_aggregator.reports.five_parts import shares_of_report
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.report import Report, Subject
from gpucost_aggregator.ui.cost_table import CostTable, Named, cost_table, name_model, name_namespace
from gpucost_aggregator.ui.figures import LedgerBar, Scale, ledger_bar, scale_of
from gpucost_aggregator.ui.pages import render
from gpucost_aggregator.ui.sentences import empty_words, over_time, quarantine_words
from gpucost_aggregator.ui.shell import shell
from gpucost_aggregator.ui.surroundings import Surroundings

MOST_ROWS = 80
"""A page has at most 1,500 elements; a row has about fourteen."""

MILLION_USD = 1_000_000 * NANODOLLARS_PER_USD


@dataclass(frozen=True, slots=True)
class TablePage:
    """Everything in the template that is not the shell; *empty* is said where there are no rows at all."""

    headline: str
    lede: str
    bar: LedgerBar
    table: CostTable
    subtitle: str
    exports: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    empty: tuple[str, str]


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
    return TablePage(
        headline=_headline(_who(report, head.lower()), report, scale, around),
        lede=lede,
        bar=ledger_bar(scale.main(shares), scale, of_some=bool(around.picked_namespaces)),
        table=cost_table(head, report, scale, named, MOST_ROWS),
        subtitle=_subtitle(report.rows_in_all),
        exports=(("CSV", around.export(path, "csv")), ("JSON", around.export(path, "json"))),
        notes=quarantine_words(report.quarantined),
        empty=empty_words(around),
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


def _headline(who: str, report: Report[Subject], scale: Scale, around: Surroundings) -> str:
    five = scale.main(shares_of_report(report))
    when = over_time(around, report.total.group.first_ns)
    if not report.rows:
        return f"Nobody was charged anything {when}."
    idle = fmt.percent(five.idle, five.charged)
    charged = ledger_bar(five, scale).charged if scale.in_money else scale.sentence(five.charged)
    if five.charged >= MILLION_USD and scale.in_money:
        charged = scale.sentence(five.charged)
    return f"{who} cost {charged} {when}. {idle} of it was held but idle."
