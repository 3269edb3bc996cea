"""The fleet's price book as it is kept: durably, whole, and one text a version."""

import json
from pathlib import Path

import pytest
from gpucost.fleet_book import MAX_BOOK_BYTES
from gpucost.trouble import EXIT_STORE, Reject, Retry, Stop

from contracts.price_books import a_book
from gpucost_aggregator.ingest.price_shelf import FILE_NAME, MOST_KNOWN, PriceShelf


def test_it_outlives_the_program(tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)
    assert (shelf.current, shelf.was_ever_set) == (None, False)
    shelved, is_new = shelf.put(a_book("1"), "f", 7)
    assert (is_new, shelf.current, shelved.fleet.yaml, shelved.since_ns) == (True, shelved, a_book("1"), 7)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again = PriceShelf(tmp_path)
    assert (again.current, again.was_ever_set) == (shelved, True)
    assert again.put(a_book("1"), "f", 9) == (shelved, False)
    again.put(a_book("2"), "f", 9)
    assert again.clear().fleet.version == "2"
    last = PriceShelf(tmp_path)
    assert (last.current, last.was_ever_set) == (None, True)
    with pytest.raises(Reject, match="nothing to clear"):
        last.clear()


def test_one_version_is_one_text_for_ever(tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)
    shelf.put(a_book("1", "4.2"), "f", 1)
    shelf.put(a_book("2", "4.3"), "f", 2)
    shelf.clear()
    for each in (shelf, PriceShelf(tmp_path)):
        with pytest.raises(
            Reject, match=r"^f: version '1' was set before with another text.*`version` of its own"
        ):
            each.put(a_book("1", "9"), "f", 3)
        assert each.current is None
    assert shelf.put(a_book("1", "4.2"), "f", 4)[1]


def test_of_many_versions_the_oldest_is_forgotten_first(tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path)
    file = tmp_path / FILE_NAME
    known = [[f"v{number}", "0" * 64] for number in range(MOST_KNOWN)]
    file.write_text(json.dumps({"format": 1, "book": None, "known": known}))
    shelf = PriceShelf(tmp_path)
    shelf.put(a_book("new"), "f", 1)
    with pytest.raises(Reject, match="'v1' was set before"):
        shelf.put(a_book("v1"), "f", 1)
    assert shelf.put(a_book("v0"), "f", 1)[1]


@pytest.mark.parametrize("text", [b"rules: []", a_book("2", "4,2"), b"#" * (MAX_BOOK_BYTES + 1)])
def test_what_is_no_book_changes_nothing(tmp_path: Path, text: bytes) -> None:
    shelf = PriceShelf(tmp_path)
    shelved, _ = shelf.put(a_book("1"), "f", 1)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(Reject, match=r"^f"):
        shelf.put(text, "f", 2)
    assert shelf.current == shelved
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_what_is_not_kept_has_not_happened(tmp_path: Path) -> None:
    shelf = PriceShelf(tmp_path / "absent")
    with pytest.raises(Retry, match="can not be written"):
        shelf.put(a_book("1"), "f", 1)
    assert (shelf.current, shelf.was_ever_set) == (None, False)
    (tmp_path / "absent").mkdir()
    shelved, _ = shelf.put(a_book("1"), "f", 1)
    (tmp_path / "absent" / f"{FILE_NAME}.new").mkdir()
    with pytest.raises(Retry, match="can not be written"):
        shelf.clear()
    assert shelf.current == shelved


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "{",
        '{"format": 2, "book": null, "known": []}',
        '{"format": 1, "book": {"yaml": 1, "since_ns": 1}, "known": []}',
        json.dumps({"format": 1, "book": {"yaml": a_book("1").decode(), "since_ns": 1}, "known": []}),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_stops_the_program_and_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(
        Stop, match="restore it from a backup; or move it away, start, and set the book"
    ) as stop:
        PriceShelf(tmp_path)
    assert stop.value.exit_code == EXIT_STORE


def test_a_price_that_changed_on_the_disk_is_not_believed(tmp_path: Path) -> None:
    PriceShelf(tmp_path).put(a_book("1", "4.2"), "f", 1)
    file = tmp_path / FILE_NAME
    file.write_text(file.read_text().replace("4.2", "4.3"))
    with pytest.raises(Stop, match="not the one that was set"):
        PriceShelf(tmp_path)
