"""The fleet's price book as it travels: what both ends take, and what neither does."""

import pytest
from gpucost.fleet_book import MAX_BOOK_BYTES, read_fleet_book
from gpucost.price_book import MOST_VERSION_BYTES
from gpucost.trouble import Reject
from gpucost.wire_bounds import MAX_NAME_BYTES

from contracts.price_books import a_book


def test_a_book_keeps_its_text_to_the_byte() -> None:
    text = "# für alle\r\n".encode() + a_book("2026-11")
    fleet = read_fleet_book(text, "f.yaml")
    assert (fleet.yaml, fleet.version, len(fleet.book.rules)) == (text, "2026-11", 1)


def test_the_longest_book_is_read_and_one_more_byte_is_not_looked_at() -> None:
    book = a_book("v")
    longest = book + b"#" * (MAX_BOOK_BYTES - len(book))
    assert read_fleet_book(longest, "f.yaml").version == "v"
    # No parser says a word of it: it would be no YAML either.
    with pytest.raises(Reject, match=rf"^f\.yaml: more than {MAX_BOOK_BYTES} bytes, .*leave out rules"):
        read_fleet_book(b"\xff" * (MAX_BOOK_BYTES + 1), "f.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", r"f\.yaml:1:1: a price book has no 'version'"),
        (b"\xff", "not UTF-8 text: save it as such"),
        (a_book(" "), "names nothing: write for example"),
        (b'version: "a\\nb"\nrules: []\n', "names nothing: write for example"),
        (
            a_book("v" * (MOST_VERSION_BYTES + 1)),
            f"more than {MOST_VERSION_BYTES} bytes, .* write a short one",
        ),
        (a_book("v", "cheap"), r"f\.yaml:3:\d+: gpu_usd_per_hour: 'cheap' is not an amount"),
    ],
)
def test_what_is_no_book_for_a_fleet_is_refused_in_words(text: bytes, said: str) -> None:
    with pytest.raises(Reject, match=said):
        read_fleet_book(text, "f.yaml")


def test_the_longest_version_fits_a_message() -> None:
    assert MOST_VERSION_BYTES == MAX_NAME_BYTES
    assert read_fleet_book(a_book("v" * MOST_VERSION_BYTES), "f").version == "v" * MOST_VERSION_BYTES
