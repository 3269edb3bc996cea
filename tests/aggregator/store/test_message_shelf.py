"""What nobody can read is kept whole, however much of it comes, and costs the ledger no memory."""

import random
import threading
from pathlib import Path

import pytest
from gpucost.trouble import EXIT_STORE, Retry, Stop

from contracts.ledger_rows import EVERYTHING, a_batch, a_slice
from gpucost_aggregator.store.duckdb_opening import StoreOptions
from gpucost_aggregator.store.duckdb_store import DuckDBStore
from gpucost_aggregator.store.message_shelf import FILE_NAME, MessageShelf, digest_of
from gpucost_aggregator.store.quarantine_rows import QuarantineId
from gpucost_aggregator.store.rows import Malformed

SMALL = StoreOptions(memory_limit_bytes=64 << 20, threads=1, reserve_bytes=0)


def test_more_than_the_memory_comes_and_the_store_lives_on(tmp_path: Path) -> None:
    draw = random.Random(5)
    messages = [draw.randbytes(8 << 20) for _ in range(12)]
    store = DuckDBStore(tmp_path, SMALL)
    for number, message in enumerate(messages, 1):
        store.commit([a_batch(number, a_slice(number), malformed=Malformed(message, "no table"))])
    store.close()
    again = DuckDBStore(tmp_path, SMALL)
    assert [again.malformed_message(QuarantineId(True, place)) for place in range(1, 13)] == messages
    assert len(again.slices(EVERYTHING, None, 99).slices) == len(messages)
    again.close()


def test_the_same_message_lies_there_once(tmp_path: Path) -> None:
    shelf = MessageShelf(tmp_path)
    for _ in range(3):
        shelf.keep([b"a", b"b" * 1_000_000, b"a"])
    assert (shelf.read(digest_of(b"a")), shelf.read(digest_of(b"c"))) == (b"a", None)
    shelf.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 2_000_000
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_without_messages_there_is_no_file(tmp_path: Path) -> None:
    shelf = MessageShelf(tmp_path)
    assert shelf.read(digest_of(b"a")) is None
    assert not shelf.copy_to(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_any_thread_may_read_while_others_keep(tmp_path: Path) -> None:
    shelf, found = MessageShelf(tmp_path), []
    threads = [
        threading.Thread(
            target=lambda word=word: (shelf.keep([word]), found.append(shelf.read(digest_of(word))))
        )
        for word in (b"%d" % place for place in range(8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, found)) == [b"%d" % place for place in range(8)]
    shelf.close()


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no file of ours, and longer than a header of a database is" * 9)
    with pytest.raises(Stop, match="restore it from a backup, or move it away") as trouble:
        MessageShelf(tmp_path).keep([b"a"])
    assert trouble.value.exit_code == EXIT_STORE


def test_a_folder_that_takes_nothing_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(Retry, match=FILE_NAME):
        MessageShelf(tmp_path / "not there").keep([b"a"])
