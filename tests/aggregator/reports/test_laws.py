"""Every report closes: rows and remainders are the total, in every field, on every basis."""

from dataclasses import astuple

import pytest
from gpucost.identity import HolderKind
from gpucost.trouble import Reject
from gpucost.window import Interval
from hypothesis import given
from hypothesis import strategies as st

from gpucost_aggregator.reports import idle as idle_report
from gpucost_aggregator.reports import models as models_report
from gpucost_aggregator.reports import namespaces as namespaces_report
from gpucost_aggregator.reports import shadow as shadow_report
from gpucost_aggregator.reports.basis import MEASURED, RESERVED, bill, parse_basis
from gpucost_aggregator.reports.five_parts import shares_of_report, shares_of_totals
from gpucost_aggregator.reports.line import add_sums
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question, Remainder, Report, Subject
from gpucost_aggregator.store.rows import Dimension, QuarantineTotals, Sums, Total

STRETCH = Interval(0, 1_000)
NOBODY = QuarantineTotals()

amounts = st.integers(0, 10**15)
sums = st.builds(Sums, *[amounts] * 9)
words = st.sampled_from(["", "a", "b", "c"])
kinds = st.sampled_from([kind.value for kind in HolderKind])


_SPECIAL = {Dimension.HOLDER_KIND: kinds, Dimension.SHADOW: st.sampled_from(["", "shadow"])}


def totals_by(by: tuple[Dimension, ...]) -> st.SearchStrategy[list[Total]]:
    texts = [_SPECIAL.get(dimension, words) for dimension in by]
    times = st.integers(0, 1_000)
    row = st.builds(Total, st.tuples(*texts), sums, times, times, st.none() | times)
    return st.lists(row, max_size=12, unique_by=lambda total: total.key)


def question(basis: str, limit: int) -> Question:
    return Question(Period("1h", STRETCH, STRETCH), parse_basis(basis), limit)


asked = st.builds(
    question, st.sampled_from(["measured", "reserved", "blend", "blend:0.33"]), st.integers(1, 5)
)


def assert_closes(report: Report[Subject], totals: list[Total]) -> None:
    lines = [row.line for row in report.rows] + list(report.remainders.values())
    assert add_sums(line.sums for line in lines) == report.total.sums == add_sums(t.sums for t in totals)
    assert sum(line.billed.ns for line in lines) == report.total.billed.ns
    assert sum(line.billed.nanodollars for line in lines) == report.total.billed.nanodollars
    assert len(report.rows) == min(report.rows_in_all, report.question.limit)


def _is_free_now(subject: idle_report.Idle) -> bool:
    return subject.now and not subject.holding.is_held


@given(asked, totals_by(namespaces_report.BY))
def test_namespaces_close(question: Question, totals: list[Total]) -> None:
    report = namespaces_report.namespaces(question, totals, NOBODY)
    assert_closes(report, totals)
    assert len({row.subject for row in report.rows}) == len(report.rows)


@given(asked, totals_by(models_report.BY))
def test_models_close(question: Question, totals: list[Total]) -> None:
    assert_closes(models_report.models(question, totals, {}, NOBODY), totals)


@given(asked, totals_by(idle_report.BY))
def test_idle_closes_and_never_calls_the_unwatched_idle(question: Question, totals: list[Total]) -> None:
    seen = idle_report.Seen(totals, totals, STRETCH)
    found = idle_report.idle(question, seen, NOBODY)
    assert_closes(found.report, totals)
    allowed = (HolderKind.CONTAINER.value, HolderKind.UNALLOCATED.value)
    assert all(row.subject.holding.holder_kind in allowed for row in found.report.rows)
    rows = [(row.subject, row.line.sums) for row in found.report.rows]
    assert all(sums.idle_ns or subject.latest is idle_report.Now.SHADOW for subject, sums in rows)
    assert all(sums.unmeasured_ns == 0 for subject, sums in rows if subject.now)
    place = idle_report.BY.index(Dimension.SHADOW)
    unheld = [t.key for t in totals if t.last_used_ns is not None]
    taken = {key[:7] for key in unheld if key[place] or key[7] == HolderKind.HOST.value}
    assert not [subject for subject, _ in rows if _is_free_now(subject) and subject.holding.device in taken]


@given(asked, totals_by(shadow_report.BY))
def test_shadow_closes_and_never_mixes_with_what_was_given(question: Question, totals: list[Total]) -> None:
    report = shadow_report.shadow(question, shadow_report.Seen(totals, totals), NOBODY)
    assert_closes(report, totals)
    assert report.remainders[Remainder.HOST].sums == Sums()
    place = shadow_report.BY.index(Dimension.SHADOW)
    taken = [t for t in totals if t.key[place] or t.key[7] == HolderKind.HOST.value]
    if report.rows_in_all == len(report.rows):
        assert add_sums(row.line.sums for row in report.rows) == add_sums(t.sums for t in taken)


@given(asked, totals_by(namespaces_report.BY))
def test_the_five_parts_are_the_total_too(question: Question, totals: list[Total]) -> None:
    report = namespaces_report.namespaces(question, totals, NOBODY)
    shares = shares_of_report(report)
    assert shares.money.total == report.total.sums.cost_nanodollars
    assert shares.time.total == report.total.sums.charged_ns
    by_kind = [Total((total.key[1],), total.sums, 0, 0, None) for total in totals]
    assert shares_of_totals(by_kind) == shares


@given(st.lists(sums, max_size=8), st.sampled_from(["blend", "blend:0.5", "blend:0.01"]))
def test_a_blend_lies_between_reserved_and_measured(lines: list[Sums], name: str) -> None:
    measured, reserved = bill(MEASURED, lines), bill(RESERVED, lines)
    for mixed, low, high in zip(bill(parse_basis(name), lines), measured, reserved, strict=True):
        for part, one, other in zip(astuple(mixed), astuple(low), astuple(high), strict=True):
            assert min(one, other) - 1 <= part <= max(one, other) + 1


def test_every_basis_of_a_closed_fleet_has_the_same_total() -> None:
    held = Sums(reserved_ns=70, used_ns=90, cost_used_nanodollars=901, cost_reserved_nanodollars=701)
    free = Sums(reserved_ns=30, idle_ns=10, cost_idle_nanodollars=100, cost_reserved_nanodollars=300)
    for name in ("measured", "reserved", "blend", "blend:0.123"):
        billed = bill(parse_basis(name), [held, free])
        assert sum(each.nanodollars for each in billed) == 1_001
        assert sum(each.ns for each in billed) == 100


def test_a_basis_says_its_weight() -> None:
    assert [parse_basis(name).name for name in ("blend", "blend:1/4", "reserved")] == [
        "blend:0.7",
        "blend:0.25",
        "reserved",
    ]


@pytest.mark.parametrize("name", ["", "used", "blend:", "blend:x", "blend:2", "blend:1/0", "blend:-1"])
def test_any_other_basis_is_refused(name: str) -> None:
    if name == "blend:":
        assert parse_basis(name).name == "blend:0.7"
        return
    with pytest.raises(Reject):
        parse_basis(name)
