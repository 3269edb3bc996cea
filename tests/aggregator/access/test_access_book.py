"""What is remembered of who may write: durably, for its owner alone, and never a token."""

import json
from pathlib import Path

import pytest
from gpucost.trouble import EXIT_STORE, Reject, Retry, Stop

from gpucost_aggregator.access.access_book import FILE_NAME, MOST_TOKENS, AccessBook
from gpucost_aggregator.access.refusal import Refused


def test_it_outlives_the_program_and_holds_no_token(tmp_path: Path) -> None:
    book = AccessBook(tmp_path)
    token, entry = book.join("east", 5)
    assert book.bind("east", "uid-1", 6)
    text = (tmp_path / FILE_NAME).read_text()
    assert token not in text
    assert token.rsplit("_", 1)[1] not in text
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again = AccessBook(tmp_path)
    assert again.token(token) == entry
    assert again.has_joined
    assert not again.bind("east", "uid-1", 7)
    with pytest.raises(Refused, match=r"uid-1.*uid-2"):
        again.bind("east", "uid-2", 7)
    again.revoke("east", entry.token_id)
    assert AccessBook(tmp_path).token(token) is None
    assert AccessBook(tmp_path).has_joined


def test_what_is_not_kept_has_not_happened(tmp_path: Path) -> None:
    book = AccessBook(tmp_path / "absent")
    with pytest.raises(Retry, match="can not be written"):
        book.join("east", 1)
    with pytest.raises(Retry, match="can not be written"):
        book.bind("east", "uid", 1)
    assert not book.has_joined
    assert book.bound("east") is None


def test_tokens_of_a_cluster_are_bounded_and_taken_away_by_their_own_cluster(tmp_path: Path) -> None:
    book = AccessBook(tmp_path)
    entries = [book.join("east", at)[1] for at in range(MOST_TOKENS)]
    with pytest.raises(Reject, match="--revoke"):
        book.join("east", 99)
    with pytest.raises(Reject, match="cluster west has no token"):
        book.revoke("west", entries[0].token_id)
    with pytest.raises(Reject, match="bound to no cluster"):
        book.unbind("east")
    assert book.tokens_of("east") == entries


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "{", '{"version": 2}', '{"version": 1, "tokens": [{}], "clusters": {}}'),
        pytest.param("[" * 200_000, id="nested-without-end"),
    ],
)
def test_a_damaged_file_stops_the_program_and_opens_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(Stop, match="restore it from a backup") as stop:
        AccessBook(tmp_path)
    assert stop.value.exit_code == EXIT_STORE


def test_a_changed_hash_opens_nothing(tmp_path: Path) -> None:
    token, _ = AccessBook(tmp_path).join("east", 1)
    file = tmp_path / FILE_NAME
    body = json.loads(file.read_text())
    body["tokens"][0]["sha256"] = "0" * 64
    file.write_text(json.dumps(body))
    assert AccessBook(tmp_path).token(token) is None
