import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from gpucost.catalogue import FILE, Catalogue, CatalogueRow, capacity_of
from gpucost.cost_slice import Price
from gpucost.price_book import PriceBook
from gpucost.prices import UNKNOWN, GpuContext, Prices, is_stale, load_catalogue, override_trouble
from gpucost.trouble import Reject
from gpucost.window import from_rfc3339
from hypothesis import given
from hypothesis import strategies as st

NOW = from_rfc3339("2026-11-20T12:00:00Z")
CATALOGUE = load_catalogue()
LIST_PRICES = Prices(PriceBook(), CATALOGUE)
ANNOTATION = "gpucost.dev/node-price-usd-per-hour"


def node(instance_type: str, region: str, gpus: int, more: Mapping[str, str] | None = None) -> GpuContext:
    labels = {"node.kubernetes.io/instance-type": instance_type, "topology.kubernetes.io/region": region}
    return GpuContext("c", labels | dict(more or {}), {}, "model", tuple(f"GPU-{i}" for i in range(gpus)))


def quotes(prices: Prices, context: GpuContext) -> list[Price]:
    return [prices.quote(context, uuid, NOW) for uuid in sorted(set(context.gpu_uuids))]


def test_a_list_price_is_divided_over_the_gpus_of_the_node() -> None:
    found = quotes(LIST_PRICES, node("p5.48xlarge", "us-east-1", 8))
    assert found == [Price(6_880_000_000, "catalogue", "2026-07-20")] * 8


def test_it_is_divided_over_the_gpus_seen_and_not_over_those_that_the_catalogue_counts() -> None:
    amounts = [
        quote.nanodollars_per_hour for quote in quotes(LIST_PRICES, node("p5.48xlarge", "us-east-1", 3))
    ]
    assert amounts == [18_346_666_667, 18_346_666_667, 18_346_666_666]


def test_a_machine_with_a_fraction_of_a_gpu_charges_its_price_to_the_device_that_it_has() -> None:
    assert CATALOGUE.rows["g6f.large"][0].gpu_count.as_integer_ratio() == (1, 8)
    assert quotes(LIST_PRICES, node("g6f.large", "us-east-1", 1)) == [
        Price(202_000_000, "catalogue", "2026-07-20")
    ]


def test_another_region_is_an_estimate_and_says_so() -> None:
    found = quotes(LIST_PRICES, node("p5.48xlarge", "eu-west-1", 8))[0]
    assert found == Price(6_880_000_000, "catalogue_other_region", "2026-07-20")
    nowhere = GpuContext("c", {"node.kubernetes.io/instance-type": "p5.48xlarge"}, {}, "m", ("GPU-0",))
    assert quotes(LIST_PRICES, nowhere)[0].source == "catalogue_other_region"


def test_one_price_list_for_all_regions_is_no_estimate() -> None:
    assert quotes(LIST_PRICES, node("BM.GPU.H100.8", "us-ashburn-1", 8))[0] == Price(
        10_000_000_000, "catalogue", "2026-01-01"
    )


def test_spot_and_on_demand_never_stand_in_for_each_other() -> None:
    spot = node("a3-highgpu-8g", "us-central1", 8, {"cloud.google.com/gke-spot": "true"})
    assert sum(quote.nanodollars_per_hour or 0 for quote in quotes(LIST_PRICES, spot)) == 50_609_541_000
    unpriced = node("p5.48xlarge", "us-east-1", 1, {"karpenter.sh/capacity-type": "spot"})
    assert quotes(LIST_PRICES, unpriced) == [UNKNOWN]


@pytest.mark.parametrize(
    ("label", "value", "capacity"),
    [
        ("karpenter.sh/capacity-type", "spot", "spot"),
        ("karpenter.sh/capacity-type", "reserved", "on-demand"),
        ("eks.amazonaws.com/capacityType", "SPOT", "spot"),
        ("eks.amazonaws.com/capacityType", "ON_DEMAND", "on-demand"),
        ("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", None),
        ("cloud.google.com/gke-preemptible", "true", "spot"),
        ("kubernetes.azure.com/scalesetpriority", "spot", "spot"),
        ("oci.oraclecloud.com/oke-is-preemptible", "true", "spot"),
        ("app", "spot", "on-demand"),
    ],
)
def test_how_a_node_is_sold(label: str, value: str, capacity: str | None) -> None:
    assert capacity_of({label: value}) == capacity


def test_a_machine_that_nobody_priced_is_unknown() -> None:
    assert quotes(LIST_PRICES, node("p5e.48xlarge", "us-east-2", 8))[0] == UNKNOWN
    assert quotes(LIST_PRICES, node("onprem", "attic", 1)) == [UNKNOWN]
    block = {"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}
    assert CATALOGUE.find(block, "p5.48xlarge", "us-east-1") is None


BOOK = PriceBook.parse(
    "version: v1\nrules:\n  - {name: all, date: 2026-10-01, match: {}, node_usd_per_hour: 10}\n", "p.yaml"
)


def test_the_annotation_wins_over_the_book_and_the_book_over_the_catalogue() -> None:
    prices = Prices(BOOK, CATALOGUE)
    plain = node("p5.48xlarge", "us-east-1", 2)
    assert quotes(prices, plain) == [Price(5_000_000_000, "book:all", "2026-10-01")] * 2
    annotated = GpuContext("c", plain.node_labels, {ANNOTATION: "7.5"}, "m", plain.gpu_uuids)
    assert quotes(prices, annotated) == [Price(3_750_000_000, "override")] * 2
    assert override_trouble(annotated) == ""


def test_an_annotation_that_is_no_price_is_ignored_with_a_reason() -> None:
    context = GpuContext("c", {}, {ANNOTATION: "7,50 EUR"}, "m", ("GPU-0",))
    assert quotes(Prices(BOOK, CATALOGUE), context)[0].source == "book:all"
    assert override_trouble(context) == (
        "annotation gpucost.dev/node-price-usd-per-hour is ignored: '7,50 EUR' is not an amount of US dollars:"
        " write digits and a point, for example 4.20"
    )
    assert override_trouble(node("a", "b", 1)) == ""


def test_a_gpu_that_came_in_this_window_has_no_part_of_its_nodes_price_yet() -> None:
    context = node("p5.48xlarge", "us-east-1", 2)
    come = LIST_PRICES.quote(context, "GPU-9", NOW)
    assert (come.nanodollars_per_hour, come.source) == (0, quotes(LIST_PRICES, context)[0].source)


@given(amount=st.integers(0, 10**15), uuids=st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=20))
def test_the_parts_of_a_node_are_the_node(amount: int, uuids: set[str]) -> None:
    written = f"{amount // 10**9}.{amount % 10**9:09d}"
    context = GpuContext("c", {}, {ANNOTATION: written}, "m", tuple(uuids))
    parts = [quote.nanodollars_per_hour or 0 for quote in quotes(LIST_PRICES, context)]
    assert sum(parts) == amount
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)  # what is left over goes to the first UUIDs
    twice = GpuContext("c", {}, {ANNOTATION: written}, "m", tuple(uuids) * 2)
    assert quotes(LIST_PRICES, twice) == quotes(LIST_PRICES, context)


def test_prices_go_stale_after_half_a_year() -> None:
    assert not is_stale("2026-05-24", NOW)
    assert is_stale("2026-05-23", NOW)
    assert not is_stale("", NOW)


def test_every_row_keeps_its_source_and_date() -> None:
    with FILE.open(encoding="utf-8", newline="") as lines:
        records = list(csv.DictReader(lines))
    assert len(records) == sum(map(len, CATALOGUE.rows.values())) == 166
    for row in (row for rows in CATALOGUE.rows.values() for row in rows):
        assert row.source
        assert row.on_demand is None or len(row.date) == 10


def test_a_broken_catalogue_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.csv"
    head = FILE.read_text(encoding="utf-8").splitlines()[0]
    file.write_text(f"{head}\naws,a,r,m,1,4.20,,,somewhere\n")
    with pytest.raises(Reject, match=r"catalogue\.csv:2: a price needs the date of its source"):
        load_catalogue(file)
    file.write_text(f"{head}\naws,a,r,m,1,cheap,,2026,somewhere\n")
    with pytest.raises(Reject, match=r"catalogue\.csv:2: 'cheap' is not an amount"):
        load_catalogue(file)


def test_the_newest_row_of_other_regions_is_taken() -> None:
    rows = CATALOGUE.rows["a3-highgpu-8g"]
    older, newer = rows[0], rows[1]
    mixed = Catalogue({"x": (_dated(older, "2026-01-01"), _dated(newer, "2026-02-01"))})
    found = mixed.find({}, "x", "mars")
    assert found is not None
    assert found.row.region == newer.region
    same = Catalogue({"x": (_dated(older, "2026-01-01"), _dated(newer, "2026-01-01"))}).find({}, "x", "mars")
    assert same is not None
    assert same.row.region == older.region


def _dated(row: CatalogueRow, date: str) -> CatalogueRow:
    return replace(row, date=date)
