from collections.abc import Callable
from pathlib import Path

import pytest
from gpucost.price_book import GpuContext, Match, PriceBook, load_price_book, price_from_text
from gpucost.trouble import EXIT_SETTINGS, Reject, Stop
from gpucost.units import nanodollars_from_usd
from gpucost.window import from_rfc3339
from hypothesis import given
from hypothesis import strategies as st

LAB = """\
version: 2026-11
rules:
  - name: lab-2025
    date: 2025-01-01
    match: {cluster: lab-eu}
    gpu_usd_per_hour: 3
    valid_until: 2026-01-01T00:00:00Z
  - name: lab
    date: 2026-10-01
    source: invoice 17
    match:
      cluster: lab-eu
      node_labels: {site: "lab*"}
      instance_type: onprem-*
      gpu_model: "NVIDIA A100*"
      region: eu-?ab
    node_usd_per_hour: 4.20
    valid_from: 2026-01-01T00:00:00Z
  - name: any
    date: 2026-10-01
    match: {}
    gpu_usd_per_hour: 0.000000001
"""
NEW_YEAR = from_rfc3339("2026-01-01T00:00:00Z")


def context(model: str = "NVIDIA A100-SXM4-80GB", **labels: str) -> GpuContext:
    known = {
        "node.kubernetes.io/instance-type": "onprem-a100-2",
        "topology.kubernetes.io/region": "eu-lab",
        "site": "lab-1",
    }
    return GpuContext("lab-eu", known | labels, {}, model, ("GPU-a",))


def chosen(book: PriceBook, where: GpuContext, at_ns: int) -> str:
    rule = book.first(where, at_ns)
    return rule.name if rule else ""


def test_the_first_rule_that_fits_and_holds_wins() -> None:
    book = PriceBook.parse(LAB, "prices.yaml")
    assert book.version == "2026-11"
    assert len(book.sha256) == 64
    assert chosen(book, context(), NEW_YEAR - 1) == "lab-2025"
    assert chosen(book, context(), NEW_YEAR) == "lab"
    assert chosen(book, context("NVIDIA H100 80GB HBM3"), NEW_YEAR) == "any"
    assert chosen(book, context(site="attic"), NEW_YEAR) == "any"
    lab = book.rules[1]
    assert (lab.nanodollars_per_hour, lab.is_gpu_price) == (4_200_000_000, False)
    assert (lab.date, lab.source) == ("2026-10-01", "invoice 17")
    assert book.rules[2].nanodollars_per_hour == 1


def test_a_label_that_is_not_there_fits_no_pattern() -> None:
    bare = GpuContext("c", {}, {}, "m", ("GPU-a",))
    assert not Match(node_labels={"site": "*"}).fits(bare)
    assert Match().fits(bare)
    assert not Match(region="eu-*").fits(bare)


def test_only_star_and_question_mark_are_special() -> None:
    assert Match(cluster="a[b]*").fits(GpuContext("a[b]c", {}, {}, "", ()))
    assert not Match(cluster="[ab]").fits(GpuContext("a", {}, {}, "", ()))
    assert not Match(cluster="PROD").fits(GpuContext("prod", {}, {}, "", ()))


RULE = "  - {name: a, date: 2026-10-01, match: {}, gpu_usd_per_hour: 1}\n"
HEAD = "version: v1\nrules:\n"


def rule(**keys: str) -> str:
    block = {"name": "a", "date": "2026-10-01", "match": "{}", "gpu_usd_per_hour": "1"} | keys
    return HEAD + "  - " + "\n    ".join(f"{key}: {value}" for key, value in block.items() if value) + "\n"


MISTAKES = {
    "no version": "rules:\n" + RULE,
    "no rules": "version: v1\n",
    "rules are a block": "version: v1\nrules: {a: b}\n",
    "unknown key of the book": HEAD + RULE + "curency: USD\n",
    "unknown key of a rule": rule(node_usd_per_hor="4"),
    "unknown key of a match": rule(match="{clutser: lab}"),
    "a match that matches nothing in particular": rule(match=""),
    "an empty pattern": rule(match="{cluster: ''}"),
    "a label without a value": rule(match="{node_labels: {site: }}"),
    "no name": rule(name=""),
    "a name with a space": rule(name="my lab"),
    "a name twice": HEAD + RULE + RULE,
    "no date": rule(date=""),
    "a date that is none": rule(date="2026-13-01"),
    "a date that is a month": rule(date="2026-10"),
    "no price": rule(gpu_usd_per_hour=""),
    "both prices": rule(node_usd_per_hour="4"),
    "a price with a sign": rule(gpu_usd_per_hour="-1"),
    "a price with a currency": rule(gpu_usd_per_hour="$4.20"),
    "a price with a comma": rule(gpu_usd_per_hour="'4,20'"),
    "a price that is finer than money": rule(gpu_usd_per_hour="0.0000000001"),
    "a price that nobody pays": rule(gpu_usd_per_hour="68800000"),
    "a price that is no number": rule(gpu_usd_per_hour="NaN"),
    "a time without a zone": rule(valid_from="2026-01-01T00:00:00"),
    "a time that is a day": rule(valid_from="2026-01-01"),
    "an end before the beginning": rule(
        valid_from="2026-01-02T00:00:00Z", valid_until="2026-01-01T00:00:00Z"
    ),
    "a rule that is a word": HEAD + "  - lab\n",
    "not YAML": "version: v1\nrules: [\n",
}


def test_every_mistake_names_its_place_and_what_to_write(golden: Callable[[str, str], None]) -> None:
    lines = []
    for name, text in MISTAKES.items():
        with pytest.raises(Reject) as refused:
            PriceBook.parse(text, "prices.yaml")
        lines.append(f"{name}\n    {refused.value}\n")
    golden("price_book_errors.txt", "".join(lines))


def test_a_file_that_is_no_book_stops_the_program(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    with pytest.raises(Stop, match=r"prices\.yaml: can not be read: No such file"):
        load_price_book(file)
    file.write_bytes(b"\xff")
    with pytest.raises(Stop, match="not UTF-8"):
        load_price_book(file)
    file.write_text("version: v1\nrules: 3\n")
    with pytest.raises(Stop, match=r"prices\.yaml:2:8: rules is one value") as stop:
        load_price_book(file)
    assert stop.value.exit_code == EXIT_SETTINGS


def test_the_demo_prices_both_clusters(repository: Path) -> None:
    book = load_price_book(repository / "hack" / "scenarios" / "demo-prices.yaml")
    assert [rule.match.cluster for rule in book.rules] == ["lab-eu", "prod-us"]


@given(st.integers(0, 10**15))
def test_every_price_is_read_to_the_nanodollar(nanodollars: int) -> None:
    written = f"{nanodollars // 10**9}.{nanodollars % 10**9:09d}"
    assert price_from_text(written) == nanodollars == nanodollars_from_usd(written)


@given(st.text(alphabet="0123456789.,-+eE_ NaInf$٣", max_size=20))
def test_no_text_becomes_a_price_by_accident(text: str) -> None:
    try:
        nanodollars = price_from_text(text)
    except ValueError:
        return
    assert set(text) <= set("0123456789.")
    assert nanodollars == nanodollars_from_usd(text)
