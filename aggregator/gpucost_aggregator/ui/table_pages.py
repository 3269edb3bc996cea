"""The pages of namespaces and of models: a sentence, the bar, and one table."""

from dataclasses import dataclass

from gpucost import format as fmt
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
    if unnamed := sum(1 for row in report.rows if row.subject.sources[0] in ("owner", "pod")):
        have = fmt.count(unnamed, "row has none and is", "rows have none and are")
        lede = f"{lede} {have} listed by owner: label the pods with gpucost.dev/model."
    view = _view("Model", lede, report, around, named)
    return render("table_page.html", shell("Models", around), view=view)


def _view(
    head: str, lede: str, report: Report[Subject], around: Surroundings, named: Named[Subject]
) -> TablePage:
    shares = shares_of_report(report)
    scale = scale_of(shares)
    path = f"{head.lower()}s"
    return TablePage(
        headline=_headline(head.lower(), report, scale, around),
        lede=lede,
        bar=ledger_bar(scale.main(shares), scale),
        table=cost_table(head, report, scale, named),
        subtitle=f"{fmt.count(report.rows_in_all, 'row')}, most expensive first",
        exports=(("CSV", around.export(path, "csv")), ("JSON", around.export(path, "json"))),
        notes=quarantine_words(report.quarantined),
        empty=empty_words(around),
    )


def _headline(noun: str, report: Report[Subject], scale: Scale, around: Surroundings) -> str:
    five = scale.main(shares_of_report(report))
    when = over_time(around, report.total.group.first_ns)
    if not report.rows:
        return f"No {noun} was charged {when}."
    who = fmt.count(report.rows_in_all, noun)
    idle = fmt.percent(five.idle, five.charged)
    return f"{who} cost {scale.sentence(five.charged)} {when}. {idle} of it was held but idle."
