"""`prices set FILE`, `prices show`, `prices clear`: the price book that all agents without one of their own go by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpucost.fleet_book import MAX_BOOK_BYTES, read_fleet_book
from gpucost.setting import Command, Setting
from gpucost.settings_values import boolean, path
from gpucost.trouble import EXIT_SETTINGS, Reject, Stop

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand

_FILE = Setting[Path | None]("file", path, None, "YAML file with the fleet's prices.", required=True)
_YAML = Setting[bool]("yaml", boolean, False, "Print the book's text alone, as it was set.")


def _set(call: Call) -> int:
    file = call.value(_FILE)
    assert file is not None  # noqa: S101  # it is required
    done = call.client.post("/prices/set", {"yaml": _read(file), "file": str(file)})
    if not done["is_new"]:
        call.line(f"{_titled(done)} is set already, since {done['since']}: nothing changed")
        return 0
    call.line(f"{_titled(done)} is the fleet's price book from now on; {_told(done)}.")
    call.line("Windows that are closed from then on are priced by it; `reprice` corrects those before.")
    return 0


def _read(file: Path) -> str:
    """The text of *file*, which has to be a price book; the server looks again."""
    try:
        with file.open("rb") as reading:
            yaml = reading.read(MAX_BOOK_BYTES + 1)
        read_fleet_book(yaml, str(file))
    except OSError as trouble:
        raise Stop(f"{file}: can not be read: {trouble.strerror}", EXIT_SETTINGS) from None
    except Reject as trouble:
        raise Stop(f"{trouble} (nothing was changed)", EXIT_SETTINGS) from None
    return yaml.decode()


def _show(call: Call) -> int:
    found = call.client.get("/prices")
    book = found["book"]
    if call.value(_YAML):
        if book is None:
            raise Stop("no price book is set, so there is no text of one", EXIT_SETTINGS)
        call.write(book["yaml"])
        return 0
    if book is None:
        call.line("No price book is set: each agent goes by its own --price-book, or by the catalogue alone.")
    else:
        call.line(f"{_titled(book)}, since {book['since']}, SHA-256 {book['sha256']}")
    _show_agents(call, found)
    if book is not None:
        call.line()
        call.write(book["yaml"] if book["yaml"].endswith("\n") else f"{book['yaml']}\n")
    return 0


def _show_agents(call: Call, found: Mapping[str, Any]) -> None:
    for each in found["agents"]:
        call.line(
            f"{each['agents']} agents with a stream said last that they go by {_version(each['version'])}"
        )
    for each in found["others"]:
        call.line(f"  {each['cluster']}/{each['node']} goes by {_version(each['version'])}")
    if found["others_left_out"]:
        call.line(f"  and {found['others_left_out']} more")


def _clear(call: Call) -> int:
    done = call.client.post("/prices/clear")
    call.line(
        f"Version {done['version']} is the fleet's price book no more; {_told(done)}. "
        "Each goes by its own --price-book, or by the catalogue alone."
    )
    return 0


def _titled(book: Mapping[str, Any]) -> str:
    return f"Version {book['version']} with {book['rules']} rules"


def _told(done: Mapping[str, Any]) -> str:
    return f"{done['agents']} connected agents are being told, the others when they connect"


def _version(version: str) -> str:
    return f"version {version}" if version else "no price book"


COMMANDS = (
    OperatorCommand(
        Command(
            "prices set",
            "Give all agents that have no --price-book of their own this price book, from their next window on.",
            arguments=(_FILE,),
        ),
        _set,
    ),
    OperatorCommand(
        Command(
            "prices show",
            "Print the fleet's price book, since when it holds, and which version each connected agent goes by.",
            flags=(_YAML,),
        ),
        _show,
    ),
    OperatorCommand(
        Command(
            "prices clear",
            "Take the fleet's price book away: each agent goes by its own --price-book, or by the catalogue alone.",
        ),
        _clear,
    ),
)
