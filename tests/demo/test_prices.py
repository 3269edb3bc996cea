"""The check's own reading of a price book and the catalogue."""

from pathlib import Path

import pytest

from demo.audit import price_list
from demo.audit.price_list import PriceList, Quote
from demo.audit.scenario import NS, Driver, Gpu, Node

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "proto" / "gpucost" / "catalogue.csv"
BOOK = """
version: 1
rules:
  - {name: past, date: 2025-01-01, match: {}, gpu_usd_per_hour: 9, valid_until: "2026-01-01T00:00:00Z"}
  - name: lab
    date: 2026-10-01
    match: {node_labels: {site: "la?"}, gpu_model: "*A100*"}
    node_usd_per_hour: 1.000000001
"""
NOW = 1_795_000_000 * NS


def node(annotations: dict[str, str] | None = None, **labels: str) -> Node:
    names = {
        "type": "node.kubernetes.io/instance-type",
        "region": "topology.kubernetes.io/region",
        "spot": "karpenter.sh/capacity-type",
    }
    gpus = tuple(Gpu(uuid, "NVIDIA A100-SXM4-80GB", 1) for uuid in ("GPU-b", "GPU-a"))
    known = {names.get(name, name): value for name, value in labels.items()}
    return Node("c", "n", 0, 0, known, annotations or {}, Driver(1, "proportional", "down", 1), gpus)


@pytest.fixture
def prices() -> PriceList:
    return price_list.read(BOOK, CATALOGUE)


def test_a_node_is_divided_in_the_order_of_its_uuids(prices: PriceList) -> None:
    where = node(site="lab")
    assert [prices.quote(where, gpu, NOW).nanodollars for gpu in where.gpus] == [500_000_000, 500_000_001]


def test_what_the_annotation_says_comes_first(prices: PriceList) -> None:
    where = node({"gpucost.dev/node-price-usd-per-hour": "3"}, site="lab")
    assert prices.quote(where, where.gpus[0], NOW) == Quote(1_500_000_000, "override", "")


def test_a_rule_holds_in_its_time_only(prices: PriceList) -> None:
    where = node()
    assert prices.quote(where, where.gpus[0], 1_700_000_000 * NS).source == "book:past"
    assert prices.quote(where, where.gpus[0], NOW) == Quote(None, "unknown", "")


def test_the_catalogue_stands_in(prices: PriceList) -> None:
    here = node(type="p5.48xlarge", region="us-east-1")
    assert prices.quote(here, here.gpus[0], NOW) == Quote(27_520_000_000, "catalogue", "2026-07-20")
    elsewhere = node(type="p5.48xlarge", region="mars-1")
    assert prices.quote(elsewhere, here.gpus[0], NOW).source == "catalogue_other_region"
    spot = node(type="p5.48xlarge", region="us-east-1", spot="spot")
    assert prices.quote(spot, spot.gpus[0], NOW).nanodollars is None
