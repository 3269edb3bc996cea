"""A table of who paid what: rows, what belongs to no row, and the total that they add up to."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gpucost import format as fmt

from gpucost_aggregator.reports.basis import Billed
from gpucost_aggregator.reports.five_parts import shares_of_report
from gpucost_aggregator.reports.line import Line, add_sums, join_groups
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.report import Remainder, Report, Subject
from gpucost_aggregator.store.rows import Sums
from gpucost_aggregator.ui.figures import (
    CHARGED_PARTS,
    PARTS,
    MiniBar,
    Scale,
    flags,
    line_five,
    mini_bar,
    used_of_charged,
)

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
    """
    Rows, then remainders and sums; *adds_up* states the sum to the nano-dollar.

    *paid* is the sum of all rows; *besides* is what is charged beside them, in words.
    """

    head: str
    unit: str
    rows: tuple[CostRow, ...]
    closing: tuple[CostRow, ...]
    paid: Sums
    besides: tuple[str, ...]
    adds_up: str

    @property
    def paid_text(self) -> str:
        """What all rows cost, as the table says it."""
        return self.closing[0].amount


Named = Callable[[Subject], tuple[str, str, str]]
"""A subject's name, where it leads, and what is said below it."""

_REMAINDERS = (
    (Remainder.HOST, "Host processes, outside of Kubernetes", ""),
    (Remainder.UNATTRIBUTED, "Unattributed: busy, by no known process", ""),
    (Remainder.UNALLOCATED, "Unallocated", "free"),
    (Remainder.UNOBSERVED, "Unobserved", "unobs"),
)
_CHARGED = tuple(each for each in _REMAINDERS if not each[2])
"""Those that are charged, though to no row; they stand before those that are charged to nobody."""

PLACE_OF_IDLE = [kind for kind, _ in PARTS].index("idle")


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
    closing, besides = _closing(f"All {head.lower()}s", report, scale, (paid, longest))
    return CostTable(head, scale.unit, tuple(rows), closing, paid, besides, _adds_up(report, scale))


def _closing(
    name: str, report: Report[Subject], scale: Scale, of_rows: tuple[Sums, int]
) -> tuple[tuple[CostRow, ...], tuple[str, ...]]:
    """
    The rows below the others, and what of them is charged beside the sum of the rows.

    They are the parts of one scope, which is rounded once: each reads as it does in the ledger bar.
    """
    paid, longest = of_rows
    five = scale.main(shares_of_report(report))
    charged = [report.remainders[kind].sums for kind, _, _ in _CHARGED]
    of_rows_text, *charged_texts = scale.charged_parts(
        five, [scale.measure(sums) for sums in (paid, *charged)]
    )
    parts = scale.parts(five)
    all_rows = replace(_sum_row(name, paid, scale), amount=of_rows_text)
    idle = paid.cost_idle_nanodollars if scale.in_money else paid.idle_ns
    if idle == five.idle and all_rows.idle != fmt.DOES_NOT_APPLY:
        all_rows = replace(all_rows, idle=parts[PLACE_OF_IDLE])
    closing, besides = [all_rows], []
    texts = (*charged_texts, *parts[CHARGED_PARTS:])
    for (remainder, called, kind), text in zip(_REMAINDERS, texts, strict=True):
        line = report.remainders[remainder]
        if not line.sums.charged_ns:
            continue
        row = _row((called, "", ""), line, scale, longest, kind)
        amount = row.amount if row.amount == fmt.price(None) else text
        closing.append(replace(row, amount=amount))
        if not kind:
            besides.append(
                f"{_short(called)} ({amount})" if amount == fmt.price(None) else f"{_short(called)} {amount}"
            )
    if len(closing) > 1:
        closing.append(_sum_row(EVERYTHING, report.total.sums, scale))
    return tuple(closing), tuple(besides)


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


def _short(name: str) -> str:
    """A remainder's name without what explains it."""
    return name.partition(",")[0].partition(":")[0].lower()


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
