"""The spool: what was appended is there, once, whatever happens; what went out of it is counted."""

import hashlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Retry, Stop
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND

from contracts.another_user import as_another, is_root
from gpucost_agent.spool import SCHEMA_VERSION, Bounds, Spool

MINUTE = 60 * NS_PER_SECOND


def message(number: int, size: int = 10) -> bytes:
    return f"{number}:".encode().ljust(size, b".")


def fill(spool: Spool, count: int, size: int = 10, from_ns: int = 0) -> None:
    for _ in range(count):
        number = spool.position().next_sequence_number
        spool.append(lambda number: message(number, size), f"after {number}", from_ns + number * MINUTE)


def numbers(spool: Spool, after: int = 0) -> list[int]:
    return [entry.sequence_number for entry in spool.after(after, 1_000)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", Bounds())


def test_batches_lie_in_the_order_of_their_numbers(spool: Spool) -> None:
    fill(spool, 3)
    assert [(entry.sequence_number, entry.message) for entry in spool.after(0, 10)] == [
        (1, message(1)),
        (2, message(2)),
        (3, message(3)),
    ]
    assert numbers(spool, 2) == [3]
    assert [entry.sequence_number for entry in spool.after(0, 2)] == [1, 2]
    assert spool.checkpoint() == "after 3"
    assert spool.position().next_sequence_number == 4
    assert spool.appended.is_set()


def test_a_new_spool_is_empty(spool: Spool) -> None:
    assert spool.checkpoint() is None
    assert numbers(spool) == []
    assert spool.position().last_sha256 == b""
    assert spool.fill().waiting_batches == 0
    assert spool.fill().on_disk


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path, Bounds())
    fill(first, 3)
    first.acknowledge(1, 5)
    position = first.position()
    first.close()
    again = Spool(tmp_path, Bounds())
    assert again.position() == position
    assert numbers(again, 1) == [2, 3]
    assert again.fill().waiting_batches == 2
    assert again.checkpoint() == "after 3"


def test_two_spools_have_two_epochs(tmp_path: Path) -> None:
    epochs = {Spool(tmp_path / name, Bounds()).position().epoch for name in ("a", "b")}
    assert len(epochs) == 2


def test_acknowledged_batches_stay_for_an_aggregator_that_comes_back_from_a_backup(spool: Spool) -> None:
    fill(spool, 3)
    spool.acknowledge(2, 3 * MINUTE)
    assert numbers(spool) == [1, 2, 3]
    assert spool.fill().waiting_batches == 1


def test_acknowledged_batches_go_when_their_time_is_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(acknowledged_ns=NS_PER_HOUR))
    fill(spool, 3)
    spool.acknowledge(2, 3 * MINUTE)
    spool.acknowledge(2, 3 * MINUTE + NS_PER_HOUR)
    assert numbers(spool) == [1, 2, 3]
    spool.acknowledge(2, 3 * MINUTE + NS_PER_HOUR + 1)
    assert numbers(spool) == [3]
    assert spool.fill().lost_windows == 0


def test_acknowledged_batches_stay_within_their_bound_the_newest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(acknowledged_bytes=250))
    fill(spool, 6, size=100)
    spool.acknowledge(5, 0)
    assert numbers(spool) == [4, 5, 6]
    assert spool.fill().lost_windows == 0


def test_past_the_bound_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(waiting_bytes=350))
    fill(spool, 5, size=100)
    assert numbers(spool) == [3, 4, 5]
    assert spool.fill().lost_windows == 2
    spool.close()
    assert Spool(tmp_path, Bounds()).fill().lost_windows == 2


def test_past_the_number_of_windows_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(waiting_batches=4))
    fill(spool, 6)
    assert numbers(spool) == [3, 4, 5, 6]
    assert spool.fill().lost_windows == 2


def test_acknowledged_batches_do_not_push_waiting_ones_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(waiting_bytes=350))
    fill(spool, 3, size=100)
    spool.acknowledge(3, 0)
    fill(spool, 3, size=100)
    assert spool.fill().lost_windows == 0
    assert numbers(spool) == [1, 2, 3, 4, 5, 6]


def test_a_second_agent_is_told_that_there_is_one(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(Stop, match="another agent uses it") as told:
        Spool(tmp_path / "spool", Bounds())
    assert told.value.exit_code == EXIT_STORE


def test_a_folder_that_is_given_back_can_be_taken(spool: Spool, tmp_path: Path) -> None:
    spool.close()
    Spool(tmp_path / "spool", Bounds()).close()


def test_a_newer_spool_is_left_alone(spool: Spool, tmp_path: Path) -> None:
    fill(spool, 1)
    spool.close()
    file = tmp_path / "spool" / "spool.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    for _ in range(2):  # it also gives the folder back
        with pytest.raises(Stop, match="run the newer agent") as told:
            Spool(tmp_path / "spool", Bounds())
        assert told.value.exit_code == EXIT_STORE


def test_a_file_that_is_no_spool_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(Stop, match="move it away") as told:
        Spool(tmp_path, Bounds())
    assert told.value.exit_code == EXIT_STORE


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(Stop, match="give a folder that this user may write") as told:
        Spool(tmp_path / "spool", Bounds())
    assert told.value.exit_code == EXIT_PERMISSION


def test_an_encoding_that_fails_takes_no_number(spool: Spool) -> None:
    def broken(number: int) -> bytes:
        raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        spool.append(broken, "after", 0)
    fill(spool, 1)
    assert numbers(spool) == [1]


def test_a_spool_knows_what_it_wrote(spool: Spool) -> None:
    fill(spool, 2)
    last = spool.position().last_sha256
    assert spool.wrote(0, b"")
    assert spool.wrote(2, last)
    assert spool.wrote(2, b"")
    assert not spool.wrote(1, last)
    assert not spool.wrote(3, b"")


def test_a_new_epoch_stays(spool: Spool, tmp_path: Path) -> None:
    fill(spool, 2)
    old = spool.position().epoch
    spool.begin_epoch()
    new = spool.position().epoch
    spool.close()
    assert new != old
    assert Spool(tmp_path / "spool", Bounds()).position().epoch == new


WRITER = """
import sys
from pathlib import Path
from gpucost_agent.spool import Bounds, Spool

spool = Spool(Path(sys.argv[1]), Bounds())
print("start", spool.position().next_sequence_number, flush=True)
while True:
    number = spool.position().next_sequence_number
    spool.append(lambda n: f"batch {n}".encode() * 200, f"after {number}", number)
    print(number, flush=True)
"""


def test_what_was_appended_outlives_a_kill(tmp_path: Path) -> None:
    told = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(12):
                line = writer.stdout.readline()
                told = int(line) if line.strip().isdigit() else told
            writer.send_signal(signal.SIGKILL)
            # What it said between the last look and its end counts too.
            told = max([told, *(int(line) for line in writer.stdout.read().split("\n")[:-1])])
        spool = Spool(tmp_path, Bounds())
        entries = spool.after(0, 1_000)
        last = entries[-1].sequence_number
        assert [entry.sequence_number for entry in entries] == list(range(1, last + 1))
        assert last in (told, told + 1)
        assert all(entry.message == f"batch {entry.sequence_number}".encode() * 200 for entry in entries)
        assert spool.checkpoint() == f"after {last}"
        assert spool.position().next_sequence_number == last + 1
        spool.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from gpucost_agent.spool import Bounds, Spool

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), Bounds())
append = lambda count: [
    spool.append(lambda n: f"batch {n}".encode() * 2_000, f"after {spool.position().next_sequence_number}", 0)
    for _ in range(count)
]
append(3)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
append(3)
fill = spool.fill()
assert not fill.on_disk and fill.waiting_batches == 6, fill
assert [entry.sequence_number for entry in spool.after(0, 100)] == [1, 2, 3, 4, 5, 6]
spool.acknowledge(4, 0)
assert [entry.sequence_number for entry in spool.after(4, 100)] == [5, 6]
append(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
append(1)
fill = spool.fill()
assert fill.on_disk and fill.lost_windows == 0, fill
spool.acknowledge(4, 0)
assert spool.fill().waiting_batches == 4, spool.fill()
spool.close()
"""


def test_a_full_disk_loses_nothing_and_stops_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    spool = Spool(tmp_path, Bounds())
    assert numbers(spool, 4) == [5, 6, 7, 8]
    assert spool.checkpoint() == "after 8"
    assert spool.position().next_sequence_number == 9


def test_what_is_in_memory_is_bounded_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(unwritten_bytes=350))
    spool._disk._database.execute("PRAGMA query_only = ON")
    fill(spool, 5, size=100)
    assert numbers(spool) == [3, 4, 5]
    assert (spool.fill().lost_windows, spool.fill().on_disk) == (2, False)
    spool._disk._database.execute("PRAGMA query_only = OFF")
    fill(spool, 1, size=10)
    assert (spool.fill().lost_windows, spool.fill().on_disk) == (2, True)
    spool.close()
    again = Spool(tmp_path, Bounds())
    assert numbers(again) == [3, 4, 5, 6]
    assert again.fill().lost_windows == 2


def test_what_is_acknowledged_leaves_the_memory_too(spool: Spool) -> None:
    spool._disk._database.execute("PRAGMA query_only = ON")
    fill(spool, 3)
    spool.acknowledge(2, 0)
    assert numbers(spool) == [3]
    assert (spool.fill().waiting_batches, spool.fill().on_disk) == (1, False)


def test_a_disk_that_fails_keeps_the_old_epoch(spool: Spool) -> None:
    old = spool.position().epoch
    spool._disk._database.execute("PRAGMA query_only = ON")
    with pytest.raises(Retry, match="can not be written"):
        spool.begin_epoch()
    with pytest.raises(Retry, match="can not be written"):
        spool.remember("checkpoint")
    assert spool.position().epoch == old


IMPORTS = """
import pathlib, sys
from gpucost.trouble import Stop
from gpucost_agent.spool import Bounds, Spool
"""
OPENS = """
try:
    print(Spool(pathlib.Path(sys.argv[1]), Bounds()).fill().on_disk)
except Stop as trouble:
    print(trouble.exit_code, trouble)
"""


def test_a_folder_that_may_not_be_written() -> None:
    # Pytest's folders are its user's alone, and would keep others from any folder.
    with tempfile.TemporaryDirectory(prefix="spool-") as folder:
        Path(folder).chmod(0o755 if is_root() else 0o500)
        said = as_another(IMPORTS, OPENS, folder)
        assert said.startswith(f"{EXIT_PERMISSION} ")
        assert "give a folder that this user may write" in said
        Path(folder).chmod(0o777)
        assert as_another(IMPORTS, OPENS, folder) == "True\n"


def abridged(whole: bytes) -> bytes:
    """Half of a message, once."""
    return whole if whole.startswith(b"short") else b"short" + whole[: len(whole) // 2 - 5]


def test_past_the_bound_the_oldest_is_abridged_under_its_own_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(waiting_bytes=9_000, waiting_batches=3), abridged)
    fill(spool, 5, size=1_000)
    kept = spool.after(0, 10)
    assert [entry.sequence_number for entry in kept] == [1, 2, 3, 4, 5]
    whole = [entry.message == message(entry.sequence_number, 1_000) for entry in kept]
    assert whole == [False, False, True, True, True]
    assert [len(entry.message) for entry in kept] == [500, 500, 1_000, 1_000, 1_000]
    assert spool.fill().lost_windows == 2
    # Whether the aggregator got it before or after, it was written here.
    for size in (whole := message(1, 1_000), abridged(message(1, 1_000))):
        assert spool.wrote(1, hashlib.sha256(size).digest())
    assert not spool.wrote(1, hashlib.sha256(whole + b".").digest())


def test_abridged_batches_take_a_small_part_of_the_room_and_are_counted_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(waiting_bytes=8_000, waiting_batches=3), abridged)
    fill(spool, 9, size=1_000)
    assert numbers(spool) == [5, 6, 7, 8, 9]
    assert [len(entry.message) for entry in spool.after(0, 10)] == [500, 500, 1_000, 1_000, 1_000]
    assert spool.fill().lost_windows == 6


def test_what_is_in_memory_is_abridged_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(unwritten_bytes=2_100), abridged)
    spool._disk._database.execute("PRAGMA query_only = ON")
    fill(spool, 3, size=1_000)
    assert [len(entry.message) for entry in spool.after(0, 10)] == [500, 500, 1_000]
    fill(spool, 2, size=1_000)
    assert [len(entry.message) for entry in spool.after(0, 10)] == [500, 500, 500, 500]
    assert numbers(spool) == [2, 3, 4, 5]
    assert spool.fill().lost_windows == 5
    spool._disk._database.execute("PRAGMA query_only = OFF")
    fill(spool, 1, size=10)
    assert spool.fill().on_disk
    spool.close()
    assert Spool(tmp_path, Bounds()).fill().lost_windows == 5


def test_a_spool_of_the_version_before_goes_on(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds())
    fill(spool, 3)
    spool._disk._database.executescript(
        "ALTER TABLE batches DROP COLUMN whole_sha256; PRAGMA user_version = 1;"
    )
    spool.close()
    again = Spool(tmp_path, Bounds())
    fill(again, 1)
    assert numbers(again) == [1, 2, 3, 4]
    assert again.wrote(3, hashlib.sha256(message(3)).digest())
