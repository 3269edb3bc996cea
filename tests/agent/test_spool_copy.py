"""An agent that begins while its disk fails: it goes on where the one before ended, in memory, and back to the disk."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpucost.trouble import EXIT_STORE, Stop

from chaos.mapped import FULL_DISK, READ_ONLY, Disk
from contracts.agent_process import BARE, ROOT, AgentHome, simulated_driver, stop
from contracts.aggregator_by_hand import Aggregator, Door, until
from gpucost_agent.spool import Bounds, Spool

SHIM = ROOT / "hack/diskshim"
SPEAKS = """
import pathlib, sys
from gpucost_agent.spool import Bounds, Spool

spool = Spool(pathlib.Path(sys.argv[1]), Bounds(unwritten_bytes=int(sys.argv[2])))
print(spool.trouble)
for line in sys.stdin:
    word, *numbers = line.split()
    if word == "append":
        spool.append(lambda number: f"batch {number}".ljust(100).encode(), f"after {numbers[0]}", 0)
    elif word == "acknowledge":
        spool.acknowledge(int(numbers[0]), 0)
    fill, position = spool.fill(), spool.position()
    batches = [entry.sequence_number for entry in spool.after(0, 100)]
    print(batches, fill.lost_windows, fill.on_disk, position.next_sequence_number, position.epoch, flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def _shim() -> None:
    subprocess.run(["make", "-s", "-C", str(SHIM)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """The disk below a spool's folder."""
    return Disk(tmp_path / "numbers", tmp_path / "spool")


def shimmed(disk: Disk) -> dict[str, str]:
    """For a program on that disk."""
    return {**disk.environ(), "LD_PRELOAD": str(SHIM / "build/libdiskshim.so")}


class Speaker:
    """A spool in a process of its own, on a disk that fails."""

    def __init__(self, disk: Disk, most_bytes: int = 10_000) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SPEAKS, str(disk.folder), str(most_bytes)],
            env={**BARE, "PYTHONPATH": f"{ROOT}/proto:{ROOT}/agent", **shimmed(disk)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.trouble = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def say(self, words: str) -> str:
        """Do it; what lies there then."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        return self._line()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def waiting(folder: Path, count: int) -> str:
    """A spool with so many batches that wait; its epoch."""
    spool = Spool(folder, Bounds())
    for number in range(1, count + 1):
        spool.append(lambda number: f"batch {number}".ljust(100).encode(), f"after {number}", 0)
    epoch = spool.position().epoch
    spool.close()
    return epoch


@pytest.mark.parametrize("error", [READ_ONLY, FULL_DISK])
def test_it_goes_on_in_memory_and_back_to_the_disk(disk: Disk, error: int) -> None:
    epoch = waiting(disk.folder, 3)
    disk.fail(error)
    speaker = Speaker(disk)
    assert str(disk.folder) in speaker.trouble
    assert speaker.say("append 4") == f"[1, 2, 3, 4] 0 False 5 {epoch}"
    assert speaker.say("acknowledge 2") == f"[3, 4] 0 False 5 {epoch}"
    disk.fail(0)
    assert speaker.say("append 5") == f"[3, 4, 5] 0 True 6 {epoch}"
    speaker.end()

    again = Spool(disk.folder, Bounds())
    assert (again.trouble, again.checkpoint()) == ("", "after 5")
    assert [entry.sequence_number for entry in again.after(0, 100)] == [3, 4, 5]
    assert again.position().epoch == epoch


def test_a_first_agent_on_such_a_disk_begins_in_memory(disk: Disk) -> None:
    disk.fail(READ_ONLY)
    speaker = Speaker(disk)
    assert speaker.say("append 1").startswith("[1] 0 False 2 ")
    disk.fail(0)
    assert speaker.say("append 2").startswith("[1, 2] 0 True 3 ")
    speaker.end()
    again = Spool(disk.folder, Bounds())
    assert [entry.sequence_number for entry in again.after(0, 100)] == [1, 2]


def test_what_memory_has_no_room_for_is_lost_and_counted(disk: Disk) -> None:
    epoch = waiting(disk.folder, 8)
    disk.fail(READ_ONLY)
    speaker = Speaker(disk, most_bytes=300)
    assert speaker.say("look") == f"[6, 7, 8] 5 False 9 {epoch}"
    assert speaker.say("append 9") == f"[7, 8, 9] 6 False 10 {epoch}"
    disk.fail(0)
    assert speaker.say("append 10") == f"[7, 8, 9, 10] 6 True 11 {epoch}"
    speaker.end()


def test_a_file_that_is_damaged_is_no_disk_that_fails(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(Stop, match="move it away") as stopped:
        Spool(tmp_path, Bounds())
    assert stopped.value.exit_code == EXIT_STORE


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with simulated_driver(tmp_path_factory.mktemp("driver") / "one") as file:
        yield file


def test_an_agent_measures_on(
    tmp_path: Path, mapping: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_disk(home: AgentHome) -> bool:
        return "gpucost_spool_on_disk 1.0" in home.get("/metrics")

    for name, value in shimmed(disk).items():
        monkeypatch.setitem(BARE, name, value)
    first = AgentHome(tmp_path, mapping)
    with first.start() as agent:
        until(lambda: on_disk(first))
        code, said = stop(agent)
        assert code == 0, said
    before = first.batches()
    assert before

    disk.fail(READ_ONLY)
    door, aggregator = Door(), Aggregator()
    door.open(aggregator)
    home = AgentHome(tmp_path, mapping, {"aggregator": door.address})
    with home.start() as agent:
        try:
            until(lambda: len(aggregator.arrived) > len(before))
            assert not on_disk(home)
            disk.fail(0)
            until(lambda: on_disk(home))
            code, said = stop(agent)
        finally:
            agent.kill()
            door.shut()
    assert code == 0, said
    assert "spool_in_memory" in said
    assert aggregator.arrived == list(range(1, aggregator.durable + 1))
    # What went out before the disk worked again is not on it; nothing between the last on it and the end is missing.
    ends = [batch.window.window_start_ns + batch.window.length_ns for batch in home.batches()]
    starts = [batch.window.window_start_ns for batch in home.batches()]
    assert starts[1:] == ends[:-1]
    assert starts[0] > before[-1].window.window_start_ns
