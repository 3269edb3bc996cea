"""A table of who paid what: rows, what belongs to no row, and the total that they add up to."""

from collections.abc import Callable
from dataclasses import dataclass

from gpucost import format as fmt

from gpucost_aggregator.reports.basis import Billed
from gpucost_aggregator.reports.five_parts import shares_of_report
from gpucost_aggregator.reports.line import Line, add_sums, join_groups
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.report import Remainder, Report, Subject
from gpucost_aggregator.store.rows import Sums
from gpucost_aggregator.ui.figures import MiniBar, Scale, flags, line_five, mini_bar, used_of_charged

EVERYTHING = "Everything"
MOST_PLACES = 3
"""More clusters or namespaces than this are counted, not named."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """
    One row as texts. *kind* is empty, or the colour's name of what nobody pays.

    *marks* are words that must stand beside the amount, each with its meaning in full.
    """

    name: str
    href: str
    detail: str
    amount: str
    used: str
    idle: str
    hours: str
    bar: MiniBar
    marks: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class CostTable:
    """Rows, then remainders and sums; *adds_up* states the sum to the nano-dollar."""

    head: str
    unit: str
    rows: tuple[CostRow, ...]
    closing: tuple[CostRow, ...]
    adds_up: str


Named = Callable[[Subject], tuple[str, str, str]]
"""A subject's name, where it leads, and what is said below it."""

_REMAINDERS = (
    (Remainder.HOST, "Host processes, outside of Kubernetes", ""),
    (Remainder.UNATTRIBUTED, "Unattributed: busy, by no known process", ""),
    (Remainder.UNALLOCATED, "Unallocated", "free"),
    (Remainder.UNOBSERVED, "Unobserved", "unobs"),
)


def cost_table(
    head: str, report: Report[Subject], scale: Scale, named: Named[Subject], most: int
) -> CostTable:
    """The table of a report under the heading *head*: *most* rows, and the others in one."""
    longest = max((line_five(row.line, scale).total for row in report.rows), default=0)
    shown = report.rows if len(report.rows) <= most + 1 else report.rows[:most]
    rows = [_row(named(row.subject), row.line, scale, longest) for row in shown]
    beyond = [row.line for row in report.rows[len(shown) :]]
    beyond += [line for kind, line in report.remainders.items() if kind is Remainder.NOT_SHOWN]
    if beyond:
        others = Line(join_groups(line.group for line in beyond), Billed(), report.total.at_ns)
        rows.append(_row((f"{report.rows_in_all - len(shown):,} others", "", ""), others, scale, longest))
    paid = add_sums(line.sums for line in (*(row.line for row in shown), *beyond))
    closing = [_sum_row(f"All {head.lower()}s", paid, scale)]
    for remainder, name, kind in _REMAINDERS:
        line = report.remainders.get(remainder)
        if line and line.sums.charged_ns:
            closing.append(_row((name, "", ""), line, scale, longest, kind))
    if len(closing) > 1:
        closing.append(_sum_row(EVERYTHING, report.total.sums, scale))
    return CostTable(head, scale.unit, tuple(rows), tuple(closing), _adds_up(report, scale))


def name_namespace(
    subject: Namespace, clusters: tuple[str, ...], link: Callable[..., str]
) -> tuple[str, str, str]:
    """A namespace leads to its models; its cluster is said where there are several."""
    href = link("/models", cluster=subject.cluster, namespace=subject.namespace)
    return subject.namespace, href, subject.cluster if len(clusters) > 1 else ""


def name_model(subject: Model, clusters: tuple[str, ...]) -> tuple[str, str, str]:
    """A model with where it ran and who says so."""
    where = _places(subject.namespaces, "namespaces")
    if len(clusters) > 1:
        where = f"{where} · {_places(subject.clusters, 'clusters')}"
    return subject.name, "", f"{where} · {fmt.count(subject.pods, 'pod')} · {_told_by(subject)}"


def _told_by(subject: Model) -> str:
    source = subject.sources[0] if len(subject.sources) == 1 else f"{len(subject.sources)} sources"
    if source == "pending":
        return "names not known yet"
    if source in ("owner", "pod"):
        return f"no model named: {'its owner' if source == 'owner' else 'the pod'}"
    return f"{source} ({fmt.names(subject.stacks)})" if subject.stacks else source


def _places(names: tuple[str, ...], plural: str) -> str:
    return ", ".join(names) if len(names) <= MOST_PLACES else f"{len(names)} {plural}"


def _row(named: tuple[str, str, str], line: Line, scale: Scale, longest: int, kind: str = "") -> CostRow:
    name, href, detail = named
    sums, five = line.sums, line_five(line, scale, kind=kind)
    return CostRow(
        name=name,
        href=href,
        detail=detail,
        amount=scale.amount_or_word(sums),
        used=fmt.DOES_NOT_APPLY if kind else used_of_charged(sums),
        idle=fmt.DOES_NOT_APPLY if kind else _idle(sums, scale),
        hours=scale.hours(sums.charged_ns),
        bar=mini_bar(five, max(longest, five.total) if kind else longest),
        marks=flags(line),
        kind=kind,
    )


def _sum_row(name: str, sums: Sums, scale: Scale) -> CostRow:
    return CostRow(
        name=name,
        href="",
        detail="",
        amount=scale.amount(sums),
        used=fmt.DOES_NOT_APPLY if name == EVERYTHING else used_of_charged(sums),
        idle=fmt.DOES_NOT_APPLY if name == EVERYTHING else _idle(sums, scale),
        hours=scale.hours(sums.charged_ns),
        bar=MiniBar((), "0", ""),
        strong=True,
    )


def _idle(sums: Sums, scale: Scale) -> str:
    if scale.in_money and sums.charged_ns and sums.unpriced_ns == sums.charged_ns:
        return fmt.DOES_NOT_APPLY
    return scale.money(sums.cost_idle_nanodollars) if scale.in_money else scale.hours(sums.idle_ns)


def _adds_up(report: Report[Subject], scale: Scale) -> str:
    if not scale.in_money:
        return "Rows and remainders add up to the total, to the nanosecond."
    # The same two parts as the ledger bar's braces.
    parts = shares_of_report(report).money
    first, second, whole = (fmt.money(each, 9) for each in (parts.charged, parts.nobodys, parts.total))
    return f"They add up: {first} + {second} = {whole}, to the nano-dollar. Rows are rounded one by one."
