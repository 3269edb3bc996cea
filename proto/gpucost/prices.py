"""
What a GPU costs: by the node's annotation, the owner's price book, or the catalogue; else nobody knows.

A node's price is divided over the node's GPUs here, so that their prices sum to it exactly.
"""

from dataclasses import dataclass
from datetime import date as Date  # noqa: N812 (the ledger calls the field so)
from datetime import timedelta

from gpucost.apportion import apportion
from gpucost.catalogue import Catalogue, load_catalogue
from gpucost.cost_slice import Price
from gpucost.price_book import GpuContext, PriceBook, load_price_book, price_from_text
from gpucost.units import NS_PER_DAY

__all__ = [
    "CATALOGUE",
    "CATALOGUE_OTHER_REGION",
    "OVERRIDE",
    "OVERRIDE_ANNOTATION",
    "UNKNOWN",
    "Catalogue",
    "GpuContext",
    "PriceBook",
    "Prices",
    "is_stale",
    "load_catalogue",
    "load_price_book",
    "override_trouble",
]

OVERRIDE_ANNOTATION = "gpucost.dev/node-price-usd-per-hour"
OVERRIDE = "override"
CATALOGUE = "catalogue"
CATALOGUE_OTHER_REGION = "catalogue_other_region"
UNKNOWN = Price()
"""No price: the slice is kept and costs nothing; never guessed."""

SHELF_LIFE = timedelta(days=180)
"""GPU list prices halved within a year more than once; half a year keeps an old one from passing for today's."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Everything that a price is looked up in."""

    book: PriceBook
    catalogue: Catalogue

    def quote(self, context: GpuContext, gpu_uuid: str, at_ns: int) -> Price:
        """
        The price of *gpu_uuid* for the window that starts at *at_ns* (nanoseconds since 1970 UTC).

        The node's annotation comes first, then the first rule of the book that fits, then the catalogue.
        The price without an amount (UNKNOWN) where none of them knows.
        A GPU that is not among those of *context* came to its node in this window, and has no part of its price yet.
        """
        override = _override(context)
        if override is not None:
            return Price(_part(override, context, gpu_uuid), OVERRIDE)
        rule = self.book.first(context, at_ns)
        if rule is not None:
            amount = rule.nanodollars_per_hour
            mine = amount if rule.is_gpu_price else _part(amount, context, gpu_uuid)
            return Price(mine, f"book:{rule.name}", rule.date)
        found = self.catalogue.find(context.node_labels, context.instance_type, context.region)
        if found is not None:
            source = CATALOGUE if found.is_own_region else CATALOGUE_OTHER_REGION
            return Price(_part(found.nanodollars_per_hour, context, gpu_uuid), source, found.row.date)
        return UNKNOWN


def override_trouble(context: GpuContext) -> str:
    """Why the node's price annotation is ignored; empty where there is none, or it is right."""
    written = context.node_annotations.get(OVERRIDE_ANNOTATION)
    if written is None:
        return ""
    try:
        price_from_text(written)
    except ValueError as trouble:
        return f"annotation {OVERRIDE_ANNOTATION} is ignored: {trouble}"
    return ""


def is_stale(date: str, at_ns: int) -> bool:
    """
    Whether a price of *date* (YYYY-MM-DD) is past its shelf life at *at_ns*.

    A price without a date (an override, or none at all) does not go stale.
    """
    if not date:
        return False
    today = Date(1970, 1, 1) + timedelta(days=at_ns // NS_PER_DAY)
    return today - Date.fromisoformat(date) > SHELF_LIFE


def _override(context: GpuContext) -> int | None:
    written = context.node_annotations.get(OVERRIDE_ANNOTATION)
    if written is None or override_trouble(context):
        return None
    return price_from_text(written)


def _part(node_nanodollars: int, context: GpuContext, gpu_uuid: str) -> int:
    """One GPU's part of its node's price, by largest remainder in the order of the UUIDs."""
    uuids = sorted(set(context.gpu_uuids))
    if gpu_uuid not in uuids:
        return 0
    return apportion(node_nanodollars, [1] * len(uuids))[uuids.index(gpu_uuid)]
