"""`reprice`: price what is in the books anew, by another price book."""

from pathlib import Path

from gpucost.price_book import load_price_book
from gpucost.setting import Command, Setting
from gpucost.settings_values import boolean, path, text
from gpucost.trouble import EXIT_SETTINGS, Stop
from gpucost.units import usd_from_nanodollars
from gpucost.window import from_rfc3339

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand


def _time(written: str) -> int:
    try:
        return from_rfc3339(written)
    except (ValueError, OverflowError):
        raise ValueError(f"{written!r} is no time: write it as 2026-11-01T00:00:00Z") from None


_BOOK = Setting[Path | None]("price-book", path, None, "YAML file with the right prices.", required=True)
_FROM = Setting[int | None](
    "from", _time, None, "Windows that begin at that time or later, RFC 3339.", required=True
)
_TO = Setting[int | None]("to", _time, None, "Windows that begin before that time, RFC 3339.", required=True)
_CLUSTER = Setting[str | None]("cluster", text, None, "Only of these clusters, with commas between.")
_DRY_RUN = Setting[bool]("dry-run", boolean, False, "Say what it would change, and change nothing.")


def _reprice(call: Call) -> int:
    file = call.value(_BOOK)
    begin, end = call.value(_FROM), call.value(_TO)
    if file is None or begin is None or end is None:
        raise Stop("reprice: give --price-book, --from and --to", EXIT_SETTINGS)
    load_price_book(file)
    body = {
        "price_book": file.read_text(encoding="utf-8"),
        "file": str(file),
        "from_ns": begin,
        "to_ns": end,
        "clusters": [each for each in (call.value(_CLUSTER) or "").split(",") if each],
        "dry_run": call.value(_DRY_RUN),
    }
    told = call.client.post("/reprice", body)
    would = "would be" if told["dry_run"] else "were"
    change = usd_from_nanodollars(told["difference_nanodollars"])
    call.line(f"{told['slices']} slices of {told['windows']} windows {would} priced anew: {change:+.9f} USD")
    if told["overridden"]:
        call.line(f"{told['overridden']} slices keep the price of their node's annotation")
    if told["without_price"]:
        call.line(f"{told['without_price']} slices stay as they are, as the book has no price for them")
    return 0


COMMANDS = (
    OperatorCommand(
        Command(
            "reprice",
            "Price what is in the books anew, by another price book; corrections are adjustments, slices stay.",
            (_BOOK, _FROM, _TO, _CLUSTER, _DRY_RUN),
        ),
        _reprice,
    ),
)
