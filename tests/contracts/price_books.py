"""Price books of one price, as somebody would write them."""

from gpucost.fleet_book import FleetBook, read_fleet_book


def a_book(version: str, usd_per_hour: str = "4.2", rules: int = 1) -> bytes:
    """The text of a book that prices every GPU; with more *rules* it is longer."""
    lines = [
        f"  - {{name: r{number}, date: 2026-10-01, match: {{}}, gpu_usd_per_hour: '{usd_per_hour}'}}"
        for number in range(rules)
    ]
    return "\n".join([f"version: {version!r}", "rules:", *lines, ""]).encode()


def a_fleet_book(version: str, usd_per_hour: str = "4.2") -> FleetBook:
    """The same, read."""
    return read_fleet_book(a_book(version, usd_per_hour), "prices.yaml")
