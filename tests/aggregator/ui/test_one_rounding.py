"""A scope is rounded once: it reads the same in the sentence, in the bar and in the table."""

from decimal import Decimal

from gpucost import format as fmt
from gpucost.identity import Holder, HolderKind
from gpucost.units import NANODOLLARS_PER_USD, NS_PER_HOUR
from gpucost.window import Interval
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.asking import Web
from contracts.ledger_rows import MINUTE_NS, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.five_parts import shares_of_report
from gpucost_aggregator.reports.namespaces import namespaces
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question
from gpucost_aggregator.store.rows import QuarantineTotals, Sums, Total
from gpucost_aggregator.ui.cost_table import cost_table
from gpucost_aggregator.ui.figures import ledger_bar, scale_of

STRETCH = Interval(0, NS_PER_HOUR)
UNPRICED = fmt.price(None)

amounts = st.integers(0, 3 * NANODOLLARS_PER_USD)
holders = st.sampled_from([kind.value for kind in HolderKind])


def total_of(kind: str, parts: tuple[int, int, int], place: int) -> Total:
    """Of containers all three parts; what nobody holds is idle, what nobody watched unknown, the rest is use."""
    used, idle, unknown = parts
    if kind == HolderKind.UNALLOCATED.value:
        used = unknown = 0
    elif kind == HolderKind.UNOBSERVED.value:
        used = idle = 0
    elif kind != HolderKind.CONTAINER.value:
        idle = unknown = 0
    sums = Sums(0, used, idle, unknown, used, idle, unknown, 0)
    name = f"ns-{place}" if kind == HolderKind.CONTAINER.value else ""
    return Total(("east", kind, name, "override", "2026-11-01"), sums, 0, NS_PER_HOUR, None, ())


def value(text: str) -> Decimal:
    return Decimal(0) if text.startswith("<") else Decimal(text.replace("$", "").replace(",", ""))


@given(st.lists(st.tuples(holders, st.tuples(amounts, amounts, amounts)), max_size=9))
def test_what_closes_a_table_reads_as_in_the_bar(
    given_totals: list[tuple[str, tuple[int, int, int]]],
) -> None:
    totals = [total_of(kind, parts, place) for place, (kind, parts) in enumerate(given_totals)]
    question = Question(Period("1h", STRETCH, STRETCH), MEASURED, 100)
    report = namespaces(question, totals, QuarantineTotals())
    assume(report.total.sums.cost_nanodollars)
    scale = scale_of(shares_of_report(report))
    bar = ledger_bar(scale.main(shares_of_report(report)), scale)
    table = cost_table("Namespace", report, scale, lambda row: (row.namespace, "", ""), 5)
    parts = {part.kind: part.amount for part in bar.parts}
    for row in table.closing:
        if row.kind:
            assert row.amount == parts[row.kind]
    charged = [row for row in table.closing if not row.kind and row.name != "Everything"]
    assert UNPRICED not in {row.amount for row in charged}
    assert sum(value(row.amount) for row in charged) == value(bar.charged)
    if table.closing[0].idle != fmt.DOES_NOT_APPLY:
        assert table.closing[0].idle == parts["idle"]
    if table.closing[-1].name == "Everything":
        assert value(table.closing[-1].amount) == sum(value(part.amount) for part in bar.parts)
    assert len(table.besides) == len(charged) - 1


def test_the_sentence_is_the_sum_below_the_rows_and_names_what_is_beside_it() -> None:
    store = MemoryStore()
    rows = [a_slice(0), a_slice(0, holder=Holder(HolderKind.UNATTRIBUTED), used_ns=MINUTE_NS // 4)]
    store.commit([a_batch(1, *rows, closed_through_ns=START_NS + MINUTE_NS)])
    html = Web(store, START_NS + MINUTE_NS).get("/models?window=1h").text
    assert "1 unnamed workload cost $0.0600" in html
    assert "Charged to none of them: unattributed $0.0600." in html
    assert "Charged to workloads $0.1200" in html
