"""
List prices of cloud machines: what a node costs where its owner has not said it.

Every row of catalogue.csv has its source and date; a row without a price is kept, as proof that somebody looked.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from gpucost.price_book import price_from_text
from gpucost.trouble import Reject

FILE = Path(__file__).with_name("catalogue.csv")

_SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "oci.oraclecloud.com/oke-is-preemptible": "true",
}


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """
    A machine's list prices in nano-dollars an hour for the whole machine; None is not known.

    *gpu_count* may be a fraction; it is shown and never divided by, as the node's own GPUs are.
    *date* is the first day that the source's date can mean, as YYYY-MM-DD.
    """

    provider: str
    instance_type: str
    region: str
    gpu_model: str
    gpu_count: Fraction
    on_demand: int | None
    spot: int | None
    date: str
    source: str

    def is_of(self, region: str) -> bool:
        """Whether the row's prices hold in *region*; those of a provider with one price list hold in all."""
        return self.region.startswith("all") or (bool(region) and self.region == region)


@dataclass(frozen=True, slots=True)
class ListPrice:
    """What a row says of a node: nano-dollars an hour for the whole of it."""

    row: CatalogueRow
    nanodollars_per_hour: int
    is_own_region: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Rows by instance type, in the order of the file."""

    rows: Mapping[str, tuple[CatalogueRow, ...]]

    def find(self, node_labels: Mapping[str, str], instance_type: str, region: str) -> ListPrice | None:
        """
        The list price of a node; None where there is none.

        A node that is sold by spot needs a spot price and one on demand a price on demand; neither stands in
        for the other. A row of the node's own region comes first, then the newest, then the first of the file.
        """
        capacity = capacity_of(node_labels)
        if capacity is None:
            return None
        priced = []
        for row in self.rows.get(instance_type, ()):
            price = row.spot if capacity == "spot" else row.on_demand
            if price is not None:
                priced.append(ListPrice(row, price, row.is_of(region)))
        # max() keeps the first of equals, so the file's order breaks ties.
        return max(priced, key=lambda found: (found.is_own_region, found.row.date), default=None)


def capacity_of(node_labels: Mapping[str, str]) -> str | None:
    """
    How a node is sold, by the labels that clouds and autoscalers set: `spot` or `on-demand`.

    None for a capacity block: it was paid for in advance, at a price that no list has.
    """
    if node_labels.get("eks.amazonaws.com/capacityType") == "CAPACITY_BLOCK":
        return None
    return "spot" if any(node_labels.get(key) == word for key, word in _SPOT_LABELS.items()) else "on-demand"


def load_catalogue(file: Path = FILE) -> Catalogue:
    """
    The catalogue that ships with the programs, read now.

    Raises:
        Reject: A row is malformed; the message begins with FILE:LINE.
    """
    rows: dict[str, list[CatalogueRow]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for record in reader:
            try:
                row = _row(record)
            except (ValueError, KeyError, TypeError) as trouble:
                raise Reject(f"{file.name}:{reader.line_num}: {trouble}") from None
            rows.setdefault(row.instance_type, []).append(row)
    return Catalogue({instance_type: tuple(found) for instance_type, found in rows.items()})


def _row(record: Mapping[str, str]) -> CatalogueRow:
    on_demand, spot = _price(record["usd_per_hour_ondemand"]), _price(record["usd_per_hour_spot"])
    if not record["source"] or not record["instance_type"]:
        raise ValueError("a row needs an instance type and a source")
    if not record["as_of"] and (on_demand is not None or spot is not None):
        raise ValueError("a price needs the date of its source")
    return CatalogueRow(
        provider=record["provider"],
        instance_type=record["instance_type"],
        region=record["region"],
        gpu_model=record["gpu_model"],
        gpu_count=Fraction(record["gpu_count"]),
        on_demand=on_demand,
        spot=spot,
        date=_first_day(record["as_of"]),
        source=record["source"],
    )


def _price(text: str) -> int | None:
    return price_from_text(text) if text else None


def _first_day(text: str) -> str:
    """A source that names its year or month only is taken as old as it can be, so that it goes stale early."""
    return text + "-01-01"[len(text) - 4 :] if len(text) in {4, 7, 10} else text
