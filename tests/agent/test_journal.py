"""What a killed agent leaves: all that its books took in, and nothing that was closed."""

import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from gpucost.cost_slice import CostSlice
from gpucost.identity import Device, NodeId
from gpucost.wire import batch_from_bytes, batch_from_message
from hypothesis import given
from hypothesis import strategies as st

from contracts.books_by_hand import (
    LONG_AGO,
    METHOD,
    MINUTE,
    ONE,
    PRICE,
    SECOND,
    START,
    a_gpu,
    a_look,
    an_answer,
    an_instant,
    an_object,
    uses,
)
from contracts.hand_clock import HandClock
from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.fleet_prices import open_prices
from gpucost_agent.journal import Beginning, Journal, read_story
from gpucost_agent.keeping import Keeping
from gpucost_agent.ledger.books import Books
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.loops.closing import close_due, close_until
from gpucost_agent.loops.room import Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.quoting import Quoting
from gpucost_agent.readings import (
    Boot,
    ClusterReading,
    ContainerNamed,
    DcgmReading,
    Entry,
    GpuLook,
    GpusSeen,
    PodNamed,
    ProcessIdentity,
)
from gpucost_agent.recovery import Recovery
from gpucost_agent.spool import Bounds, Spool

NODE = NodeId("c", "n")
BOOT = Boot("boot-1", START - 100 * MINUTE)
BEGINNING = Beginning(BOOT, START, START, None)


def entries_of(second: int) -> Iterator[Entry]:
    """What an agent takes in at a second: two processes share a GPU half and half of 80 %."""
    now_ns = START + second * SECOND
    who: dict[int, ProcessIdentity | None] = {
        7: ProcessIdentity(7, 70, "u-a", "id-a"),
        8: ProcessIdentity(8, 80, "u-b", "id-b"),
        9: None,
    }
    window = uses(now_ns - SECOND, now_ns, {7: 40, 8: 40})
    yield GpuLook(a_look(now_ns, ONE, [(now_ns, 80)], window), {pid: who[pid] for pid in (7, 8)})
    yield an_answer(now_ns, {Device(ONE): ["a", "b"]})
    yield an_instant(now_ns)


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BEGINNING)
    cluster = ClusterReading(
        an_instant(START), "uid", None, (an_object("a", uid="u-a"), an_object("b", uid="u-b"))
    )
    noted: list[Entry] = [
        GpusSeen((a_gpu(),), START),
        cluster,
        PodNamed("ns", "a", "u-a", START),
        ContainerNamed("id-a", "ns", "a", "main", "u-a"),
        DcgmReading(an_instant(START), {ONE: ()}),
        *entries_of(1),
        *entries_of(2),
    ]
    for entry in noted:
        journal.note(entry)
    journal.flush()
    story = read_story(tmp_path)
    assert story is not None
    assert story.beginning == BEGINNING
    assert list(story.entries) == noted


def test_what_does_not_change_is_written_once_a_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BEGINNING)
    first, second = an_object("a", uid="u-a"), an_object("b", uid="u-b")
    for pods in ((first,), (first,), (first, second)):
        journal.note(ClusterReading(an_instant(START), "uid", None, pods))
    for _ in range(3):
        journal.note(PodNamed("ns", "a", "u-a", START))
    journal.flush()
    story = read_story(tmp_path)
    assert story is not None
    told = [entry.pods for entry in story.entries if isinstance(entry, ClusterReading)]
    assert told == [(first,), (), (second,)]
    assert sum(isinstance(entry, PodNamed) for entry in story.entries) == 1


def test_each_file_tells_anew_what_is_still_true_and_old_ones_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BEGINNING)
    journal.note(GpusSeen((a_gpu(),), START))
    for uid in ("u-a", "u-gone"):
        journal.note(ContainerNamed(f"id-{uid}", "ns", uid, "main", uid))
    for minute in range(4):
        journal.note(PodNamed("ns", "u-a", "u-a", START + minute * MINUTE))
        journal.note(an_instant(START + minute * MINUTE))
        journal.closed(START + minute * MINUTE - MINUTE // 2, START + minute * MINUTE)
    assert len(list(tmp_path.iterdir())) == 2
    story = read_story(tmp_path)
    assert story is not None
    assert story.entries[0] == GpusSeen((a_gpu(),), START)
    assert {entry.pod_uid for entry in story.entries if isinstance(entry, ContainerNamed)} == {"u-a"}
    journal.close()
    assert read_story(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@given(cut=st.integers(1, 1_200))
def test_a_journal_that_was_torn_is_read_as_far_as_it_is_whole(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = Journal(folder, BEGINNING)
    noted = [entry for second in range(1, 6) for entry in entries_of(second)]
    for entry in noted:
        journal.note(entry)
        journal.flush()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    story = read_story(folder)
    if story is not None:
        assert list(story.entries) == noted[: len(story.entries)]
        assert len(story.entries) < len(noted)


def test_what_a_newer_agent_wrote_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BEGINNING)
    (file,) = tmp_path.iterdir()
    packed = zlib.compress(bytes([99]) + bytes(4))
    file.write_bytes(struct.pack("<II", len(packed), zlib.crc32(packed)) + packed)
    with pytest.raises(ValueError, match="newer agent"):
        read_story(tmp_path)
    journal.close()


def test_a_disk_that_fails_stops_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    journal = Journal(folder, BEGINNING)
    assert "No such file" in journal.trouble
    journal.note(an_instant(START))
    journal.flush()
    folder.mkdir()
    journal.closed(START, START)
    assert journal.trouble == ""
    assert read_story(folder) is not None


class Agent:
    """The books of one life of an agent, with a spool and a journal, by a clock that is set by hand."""

    def __init__(self, folder: Path, clock: HandClock) -> None:
        self.clock = clock
        self.spool = Spool(folder, Bounds())
        self.quoting = Quoting(open_prices(None), NODE.cluster)
        log = structlog.wrap_logger(None, processors=[_drop])
        metrics, steady = Metrics(), FleetClock(clock)
        recovery = Recovery(NODE, METHOD, self.quoting, steady, metrics, log, self.spool)
        story = read_story(folder)
        if story is not None:
            recovery.finish(story, self.checkpoint())
        self.books = Books(NODE, METHOD, lambda _, __: PRICE, clock.now().wall_ns, BOOT, self.checkpoint())
        before = None if self.books.before is None else self.books.before.to_json()
        beginning = Beginning(BOOT, clock.now().wall_ns, self.books.closed_through_ns, before)
        self.room = Room(self.books, steady, metrics, log, None, threading.Event(), 0)
        self.room.journal = Journal(folder, beginning)
        self.room.take(GpusSeen((a_gpu(),), clock.now().wall_ns), clock.now())
        self.spool.remember(self.books.checkpoint().to_json())
        self.keep = Keeping(self.room, self.spool, self.quoting).keep

    def checkpoint(self) -> Checkpoint | None:
        text = self.spool.checkpoint()
        return None if text is None else Checkpoint.from_json(text)

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.pass_ns(SECOND)
            self.room.take(*entries_of((self.clock.now().wall_ns - START) // SECOND))
            close_due(self.room, self.keep)
            assert self.room.journal is not None
            self.room.journal.flush()

    def kill(self) -> None:
        """It ends at once, and so does its hold on the spool."""
        self.spool.close()

    def slices(self) -> list[CostSlice]:
        entries = self.spool.after(0, 1_000)
        contents = [batch_from_message(batch_from_bytes(entry.message), NODE) for entry in entries]
        return [row for content in contents for row in content.slices]


def _drop(*_: object) -> structlog.typing.EventDict:
    raise structlog.DropEvent


def summed(slices: list[CostSlice]) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for row in slices:
        name = row.key.holder.pod or row.key.holder.reason or row.key.holder.kind.value
        used, idle, unmeasured = found.get(name, (0, 0, 0))
        time = row.time
        found[name] = (used + time.used_ns, idle + time.idle_ns, unmeasured + time.unmeasured_ns)
    return found


@pytest.mark.parametrize("killed_at", [5, 31, 60, 61, 69, 70, 71, 95, 130, 200])
def test_an_agent_that_is_killed_loses_the_time_it_is_away_only(killed_at: int, tmp_path: Path) -> None:
    clock = HandClock(START, START - LONG_AGO)
    first = Agent(tmp_path / "killed", clock)
    first.live(killed_at)
    first.kill()
    clock.pass_ns(7 * SECOND)
    second = Agent(tmp_path / "killed", clock)
    second.live(30)
    close_until(second.room, second.keep, clock.now().wall_ns)
    told = summed(second.slices())

    clock = HandClock(START, START - LONG_AGO)
    asked = Agent(tmp_path / "asked", clock)
    asked.live(killed_at)
    close_until(asked.room, asked.keep, clock.now().wall_ns)
    asked.kill()
    clock.pass_ns(7 * SECOND)
    after = Agent(tmp_path / "asked", clock)
    after.live(30)
    close_until(after.room, after.keep, clock.now().wall_ns)
    assert told == summed(after.slices())
    total = sum(sum(parts) for parts in told.values())
    assert total == (killed_at + 7 + 30) * SECOND
    keys = [row.key for row in second.slices()]
    assert len(keys) == len(set(keys))


def test_who_held_before_a_gap_is_known_also_where_the_next_agent_is_killed_in_its_first_window(
    tmp_path: Path,
) -> None:
    told = []
    for folder in ("killed", "asked"):
        clock = HandClock(START, START - LONG_AGO)
        for seconds in (65, 5, 30):
            agent = Agent(tmp_path / folder, clock)
            agent.live(seconds)
            if folder == "asked" or seconds == 30:
                close_until(agent.room, agent.keep, clock.now().wall_ns)
            if seconds != 30:
                agent.kill()
                clock.pass_ns(7 * SECOND)
        told.append(summed(agent.slices()))
    assert told[0] == told[1]


def test_a_killed_agent_that_is_killed_again_before_it_looked_is_finished_once(tmp_path: Path) -> None:
    clock = HandClock(START, START - LONG_AGO)
    agent = Agent(tmp_path, clock)
    agent.live(45)
    for _ in range(3):
        agent.kill()
        clock.pass_ns(SECOND)
        agent = Agent(tmp_path, clock)
    agent.live(10)
    close_until(agent.room, agent.keep, clock.now().wall_ns)
    assert sum(sum(parts) for parts in summed(agent.slices()).values()) == (45 + 3 + 10) * SECOND


def test_a_disk_that_takes_nothing_away_stops_nobody(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BEGINNING)
    journal.closed(START, START)
    # Root may write anywhere, but nobody can unlink a folder.
    (tmp_path / "journal-00000000").unlink()
    (tmp_path / "journal-00000000").mkdir()
    journal.note(an_instant(61))
    journal.closed(START + MINUTE, START + MINUTE)
    assert journal.trouble
    (tmp_path / "journal-00000000").rmdir()
    journal.closed(START + 2 * MINUTE, START + 2 * MINUTE)
    assert not journal.trouble
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["journal-00000002", "journal-00000003"]
    (tmp_path / "journal-00000009").mkdir()
    journal.close()
    assert journal.trouble


def test_the_time_before_a_killed_agent_looked_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the windows before its first look were closed already, and the one with that look was not."""
    monkeypatch.setitem(globals(), "BOOT", Boot("boot-1", START - 63 * SECOND))
    clock = HandClock(START + 3 * SECOND, START + 3 * SECOND - LONG_AGO)
    agent = Agent(tmp_path, clock)
    agent.live(15)
    closed = agent.checkpoint()
    assert closed is not None
    assert closed.closed_through_ns == START
    agent.kill()
    again = Agent(tmp_path, clock)
    of_the_first = [row for row in again.slices() if row.key.window_start_ns >= START]
    assert of_the_first
    reasons = {row.key.holder.reason for row in of_the_first}
    assert "agent_gap" not in reasons, reasons
    assert "node_starting" in reasons
