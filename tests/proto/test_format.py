"""Golden texts: what a number reads as, on the page and on the command line."""

from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from gpucost import format as fmt
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import from_rfc3339
from hypothesis import given
from hypothesis import strategies as st

USD = 1_000_000_000


@pytest.mark.parametrize(
    ("total", "decimals"),
    [
        (0, 4),
        (1, 6),
        (9_999_999, 6),
        (10_000_000, 4),
        (USD - 1, 4),
        (USD, 2),
        (999 * USD, 2),
        (1_000 * USD, 0),
    ],
)
def test_a_column_gets_its_precision_from_its_total(total: int, decimals: int) -> None:
    assert fmt.money_decimals(total) == decimals


@pytest.mark.parametrize(
    ("nanodollars", "decimals", "text"),
    [
        (1_234 * USD + USD // 2, 0, "$1,234"),
        (1_235 * USD + USD // 2, 0, "$1,236"),
        (12_290_000_000, 2, "$12.29"),
        (3_766_397_500, 4, "$3.7664"),
        (13_000_000, 4, "$0.0130"),
        (0, 2, "$0.00"),
        (1, 2, "<$0.01"),
        (-1, 2, "−<$0.01"),
        (-1_500_000_000, 2, "−$1.50"),
        (123_456_789_123, 9, "$123.456789123"),
    ],
)
def test_money(nanodollars: int, decimals: int, text: str) -> None:
    assert fmt.money(nanodollars, decimals) == text


@pytest.mark.parametrize(
    ("nanodollars", "text"),
    [
        (2_221_547 * USD, "$2.22 million"),
        (-2_221_547 * USD, "−$2.22 million"),
        (999_999 * USD, "$999,999"),
        (12_290_000_000, "$12.29"),
        (13_000_000, "$0.0130"),
        (0, "$0.0000"),
    ],
)
def test_money_in_a_sentence(nanodollars: int, text: str) -> None:
    assert fmt.money_sentence(nanodollars) == text


@pytest.mark.parametrize(
    ("nanodollars", "text"),
    [
        (0, "$0"),
        (15_000 * USD, "$15k"),
        (1_500 * USD, "$1.5k"),
        (2_000_000 * USD, "$2M"),
        (500 * USD, "$500"),
        (20_000_000, "$0.02"),
        (2_500_000_000, "$2.5"),
    ],
)
def test_money_on_an_axis(nanodollars: int, text: str) -> None:
    assert fmt.money_axis(nanodollars) == text


def test_the_parts_of_a_scope_add_up_to_its_rounded_total() -> None:
    assert fmt.money_parts([333_333_333, 333_333_333, 333_333_334], 2) == ["$0.33", "$0.33", "$0.34"]
    assert fmt.money_parts([0, 0], 2) == ["$0.00", "$0.00"]
    assert fmt.money_parts([USD, 1], 2) == ["$1.00", "<$0.01"]


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=8), st.sampled_from([0, 2, 4, 6]))
def test_shown_parts_always_sum_to_the_shown_total(parts: list[int], decimals: int) -> None:
    texts = fmt.money_parts(parts, decimals)
    shown = [
        0 if text.startswith("<") else int(text.translate({ord(c): None for c in "$,."})) for text in texts
    ]
    total = fmt.money(sum(parts), decimals)
    assert sum(shown) == (0 if total.startswith("<") else int(total.translate({ord(c): None for c in "$,."})))


@pytest.mark.parametrize(
    ("hours", "decimals", "text"),
    [(31_495, 0, "31,495"), (24, 2, "24.00"), (6.246, 3, "6.246"), (0, 3, "0.000"), (1e-6, 3, "<0.001")],
)
def test_gpu_hours(hours: float, decimals: int, text: str) -> None:
    assert fmt.gpu_hours(round(hours * NS_PER_HOUR), decimals) == text
    assert [fmt.hours_decimals(h * NS_PER_HOUR) for h in (0, 1, 10, 100, 1_000)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 100, "0%"),
        (1, 10_000, "<0.1%"),
        (97, 1_000, "9.7%"),
        (9_996, 100_000, "10%"),
        (27, 100, "27%"),
        (988, 1_000, "99%"),
        (99_999, 100_000, "99.9%"),
        (1, 1, "100%"),
        (0, 0, "–"),
    ],
)
def test_percent(part: int, whole: int, text: str) -> None:
    assert fmt.percent(part, whole) == text


def test_a_plus_says_that_some_use_is_unknown() -> None:
    assert fmt.percent(29, 100, at_least=True) == "29%+"
    assert fmt.percent(0, 100, at_least=True) == "0%+"
    assert fmt.percent(0, 0, at_least=True) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (200, "3 min 20 s"),
        (3_600, "1 h"),
        (24_720, "6 h 52 min"),
        (129_600, "1 d 12 h"),
        (86_400, "1 d"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert fmt.duration(seconds * NS_PER_SECOND) == text
    assert fmt.duration(5) == "<1 s"


def test_times() -> None:
    start, end = from_rfc3339("2026-11-14T08:00:00Z"), from_rfc3339("2026-11-21T08:00:00Z")
    assert fmt.instant(end) == "Sat 21 Nov 08:00 UTC"
    assert fmt.instant(end + 10 * NS_PER_SECOND) == "Sat 21 Nov 08:00:10 UTC"
    assert fmt.clock_time(end) == "08:00 UTC"
    assert fmt.day(end) == "21 Nov"
    assert fmt.interval(start, end) == "Sat 14 Nov 08:00 – Sat 21 Nov 08:00 UTC"
    assert fmt.interval(end, end + NS_PER_HOUR) == "Sat 21 Nov 08:00–09:00 UTC"
    assert fmt.interval(from_rfc3339("2025-12-31T00:00:00Z"), end) == (
        "Wed 31 Dec 2025 00:00 – Sat 21 Nov 2026 08:00 UTC"
    )


def test_times_name_their_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert fmt.instant(from_rfc3339("2026-11-21T08:00:00Z"), berlin) == "Sat 21 Nov 09:00 CET"
    change = fmt.interval(from_rfc3339("2026-10-24T22:00:00Z"), from_rfc3339("2026-10-25T23:00:00Z"), berlin)
    assert change == "Sun 25 Oct 00:00 CEST – Mon 26 Oct 00:00 CET"
    assert fmt.clock_time(0, timezone(timedelta(hours=5, minutes=30))) == "05:30 UTC+05:30"


def test_words() -> None:
    assert fmt.count(2_000, "GPU") == "2,000 GPUs"
    assert fmt.count(1, "GPU") == "1 GPU"
    assert fmt.count(2, "window of it", "windows of it") == "2 windows of it"
    assert fmt.count(1_000) == "1,000"
    assert fmt.names([]) == ""
    assert fmt.names(["a", "b", "c"]) == "a, b and c"
    assert fmt.calendar_day("2026-01-02") == "2 Jan 2026"
    assert fmt.calendar_day("soon") == "soon"
    assert fmt.price(None) == "unpriced"
    assert fmt.price(3_766_397_500) == "$3.7664"
    assert fmt.memory(71 * 2**30) == "71 GiB"
    assert fmt.memory(400 * 2**20) == "0.4 GiB"
    assert fmt.gpu_model("NVIDIA H100 80GB HBM3") == "H100 80 GB HBM3"
    assert fmt.gpu_model("NVIDIA A100-SXM4-80GB") == "A100 SXM4 80 GB"
