"""The stream against a real gRPC server: nothing lost, nothing doubled, whatever happens between the two."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest
from gpucost.identity import NodeId
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.wire import WindowSlices

from contracts.aggregator_by_hand import Aggregator, Door, until
from contracts.hand_clock import HandClock
from gpucost_agent.spool import Bounds, Spool
from gpucost_agent.stream import Caller, Stream, Target, failures_in_a_row, live_due_ns, longest_back_off_s

CALLER = Caller(
    NodeId("prod", "node-1"), lambda: "uid-of-cluster", "boot-1", "1.2.3", 1_000, lambda: "book-7"
)


@dataclass
class Ear:
    """Hears how the stream is doing."""

    clocks: list[int] = field(default_factory=list)
    connected_at: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    refused: list[tuple[int, list[str]]] = field(default_factory=list)
    books: list[tuple[str, bytes]] = field(default_factory=list)

    def heard(self, clock_ns: int) -> None:
        self.clocks.append(clock_ns)

    def connected(self, durable: int) -> None:
        self.connected_at.append(durable)

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def rejected(self, sequence_number: int, reasons: list[str]) -> None:
        self.refused.append((sequence_number, reasons))

    def prices_sent(self, version: str, yaml: bytes) -> None:
        self.books.append((version, yaml))


@dataclass
class Line:
    """A spool, a stream from it, and who it ends at."""

    spool: Spool
    stream: Stream
    door: Door
    aggregator: Aggregator
    ear: Ear
    clock: HandClock

    def append(self, count: int, fresh: bool = False) -> None:
        now_ns = self.clock.now().wall_ns
        for _ in range(count):
            self.spool.append(batch, "checkpoint", now_ns if fresh else now_ns - 600 * NS_PER_SECOND)

    def start(self) -> None:
        threading.Thread(target=self.stream.run, daemon=True).start()

    def drain(self) -> None:
        self.stream.draining.set()
        until(self.stream.drained.is_set)


def batch(number: int) -> bytes:
    return stream_pb2.Batch(sequence_number=number, closed_through_ns=number).SerializeToString(
        deterministic=True
    )


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    door, aggregator, ear, clock = Door(), Aggregator(), Ear(), HandClock()
    door.open(aggregator)
    spool = Spool(tmp_path, Bounds())
    stream = Stream(spool, Target(door.address), CALLER, clock, ear)
    yield Line(spool, stream, door, aggregator, ear, clock)
    stream.drained.set()
    stream.draining.set()
    door.shut()
    spool.close()


def test_hello_says_who_speaks_and_where_its_spool_stands(line: Line) -> None:
    line.append(2)
    line.start()
    until(lambda: line.aggregator.hellos)
    hello, position = line.aggregator.hellos[0], line.spool.position()
    assert hello == stream_pb2.Hello(
        role=stream_pb2.ROLE_AGENT,
        cluster="prod",
        cluster_uid="uid-of-cluster",
        node="node-1",
        boot_id="boot-1",
        version="1.2.3",
        epoch=position.epoch,
        next_sequence_number=3,
        last_batch_sha256=hashlib.sha256(batch(2)).digest(),
        window_ns=1_000,
        clock_ns=line.clock.now().wall_ns,
        price_book_version="book-7",
    )


def test_what_time_it_is_at_the_aggregator_is_heard(line: Line) -> None:
    line.aggregator.clock_ns = 17
    line.start()
    until(lambda: line.ear.connected_at)
    assert line.ear.clocks == [17]


def test_what_the_node_looks_like_is_told_as_often_as_the_aggregator_wants_it(line: Line) -> None:
    line.aggregator.live_every_ns = 5 * NS_PER_SECOND
    seen: list[WindowSlices | None] = [None, WindowSlices(7, 6, ())]
    line.stream.glimpse = lambda: seen.pop(0) if len(seen) > 1 else seen[0]
    line.start()
    until(lambda: line.ear.connected_at)
    line.append(2)
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.lives == []
    for count in (1, 2):
        line.clock.pass_ns(5 * NS_PER_SECOND)
        line.stream.spool.appended.set()
        until(lambda count=count: len(line.aggregator.lives) == count)  # type: ignore[misc]
    assert [live.table.window_start_ns for live in line.aggregator.lives] == [7, 7]
    assert line.aggregator.lives[-1].taken_at_ns == line.clock.now().wall_ns
    assert line.aggregator.arrived == [1, 2]


def test_batches_go_out_in_order_and_are_forgotten_once_acknowledged(line: Line) -> None:
    line.append(5)
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    line.append(2)
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == [1, 2, 3, 4, 5, 6, 7]


def test_it_begins_behind_what_the_aggregator_holds(line: Line) -> None:
    line.append(5)
    line.aggregator.durable = 3
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == [4, 5]
    assert line.ear.connected_at == [3]


def test_an_aggregator_from_a_backup_gets_again_what_it_had_acknowledged(line: Line) -> None:
    line.append(5)
    line.spool.acknowledge(5, line.clock.now().wall_ns)
    line.aggregator.durable = 2
    line.start()
    until(lambda: line.aggregator.durable == 5)
    assert line.aggregator.arrived == [3, 4, 5]


def test_a_stream_that_is_cut_loses_and_doubles_nothing(line: Line) -> None:
    line.aggregator.cuts = {4, 7}
    line.append(10)
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == sorted(line.aggregator.arrived), "out of order"
    assert set(line.aggregator.arrived) == set(range(1, 11))
    assert line.ear.connected_at[0] == 0
    assert line.ear.reasons[:2] == ["UNAVAILABLE: cut", "UNAVAILABLE: cut"]


def test_an_aggregator_that_goes_away_and_comes_back_gets_what_it_lacks(line: Line) -> None:
    line.append(3)
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    line.door.shut()
    line.append(3)
    until(lambda: line.ear.reasons)
    line.door.open(line.aggregator)
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == [1, 2, 3, 4, 5, 6]


def test_an_aggregator_may_be_away_at_the_start(line: Line) -> None:
    line.door.shut()
    line.append(2)
    line.start()
    until(lambda: any("UNAVAILABLE" in reason for reason in line.ear.reasons))
    line.door.open(line.aggregator)
    until(lambda: line.aggregator.arrived == [1, 2])


def test_what_is_in_flight_is_bounded(line: Line) -> None:
    line.aggregator.acknowledging.clear()
    line.append(80)
    line.start()
    until(lambda: len(line.aggregator.arrived) == 64)
    line.aggregator.acknowledging.set()
    line.door.shut()
    line.door.open(line.aggregator)
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert max(line.aggregator.in_flight) == 64


def test_slow_is_obeyed(line: Line) -> None:
    line.aggregator.slows = {1: 1_000 * NS_PER_SECOND}
    line.append(1)
    line.start()
    until(lambda: line.aggregator.arrived == [1])
    until(lambda: line.spool.fill().waiting_batches == 0)
    line.append(2)
    assert line.aggregator.arrived == [1]
    line.clock.pass_ns(1_001 * NS_PER_SECOND)
    until(lambda: line.aggregator.arrived == [1, 2, 3])


def test_a_fresh_batch_waits_for_its_nodes_turn(line: Line) -> None:
    line.stream.caller = replace(CALLER, window_ns=60 * NS_PER_SECOND)
    line.append(1)
    line.append(1, fresh=True)
    line.start()
    until(lambda: line.aggregator.durable == 1)
    assert line.aggregator.arrived == [1]
    line.clock.pass_ns(30 * NS_PER_SECOND)
    until(lambda: line.aggregator.durable == 2)


def test_who_stops_sends_at_once_and_says_goodbye_after_the_last_acknowledgement(line: Line) -> None:
    line.stream.caller = replace(CALLER, window_ns=60 * NS_PER_SECOND)
    line.append(3, fresh=True)
    line.start()
    line.drain()
    until(lambda: line.aggregator.goodbyes)
    assert line.aggregator.goodbyes == [(3, 3)]
    assert line.spool.fill().waiting_batches == 0


def test_who_has_nothing_to_send_can_stop_too(line: Line) -> None:
    line.start()
    line.drain()
    until(lambda: line.aggregator.goodbyes)
    assert line.aggregator.goodbyes == [(0, 0)]


def test_who_stops_while_the_aggregator_is_away_keeps_trying(line: Line) -> None:
    line.door.shut()
    line.append(2)
    line.start()
    line.stream.draining.set()
    until(lambda: len(line.ear.reasons) > 1)
    line.door.open(line.aggregator)
    until(line.stream.drained.is_set)
    assert line.aggregator.arrived == [1, 2]


def test_slices_that_were_set_aside_are_told_of_and_not_sent_again(line: Line) -> None:
    line.aggregator.refuses = {2: "a law is broken"}
    line.append(3)
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.ear.refused == [(2, ["a law is broken"])]
    assert line.aggregator.arrived == [1, 2, 3]


def test_a_price_book_is_passed_on_and_each_hello_names_the_one_that_holds_then(line: Line) -> None:
    holds = ["book-7"]
    line.stream.caller = replace(CALLER, price_book_version=lambda: holds[0])
    line.aggregator.book = stream_pb2.PriceBook(version="book-8", yaml=b"its text")
    line.start()
    until(lambda: line.ear.books)
    assert line.ear.books == [("book-8", b"its text")]
    line.append(1)
    until(lambda: line.spool.fill().waiting_batches == 0)
    holds[0] = "book-8"
    line.door.shut()
    line.door.open(line.aggregator)
    until(lambda: len(line.aggregator.hellos) == 2)
    assert [hello.price_book_version for hello in line.aggregator.hellos] == ["book-7", "book-8"]


@pytest.mark.parametrize(("durable", "sha256"), [(9, b""), (2, b"\1" * 32)], ids=["behind", "another hash"])
def test_a_restored_spool_begins_an_epoch_and_sends_everything(
    line: Line, durable: int, sha256: bytes
) -> None:
    old = line.aggregator.epoch = line.spool.position().epoch
    line.aggregator.durable, line.aggregator.sha256 = durable, sha256
    line.append(3)
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == [1, 2, 3]
    assert line.spool.position().epoch != old
    assert "restored or cloned" in line.ear.reasons[0]


def test_a_spool_that_the_aggregator_knows_keeps_its_epoch(line: Line) -> None:
    line.append(3)
    line.aggregator.durable, line.aggregator.sha256 = 2, hashlib.sha256(batch(2)).digest()
    line.start()
    until(lambda: line.spool.fill().waiting_batches == 0)
    assert line.aggregator.arrived == [3]


def test_a_disk_that_fails_stops_no_delivery(line: Line) -> None:
    line.append(2)
    line.spool._disk._database.execute("PRAGMA query_only = ON")
    line.append(2)
    line.start()
    until(lambda: line.aggregator.durable == 4)
    line.append(1)
    until(lambda: line.aggregator.durable == 5)
    assert line.aggregator.arrived == [1, 2, 3, 4, 5]
    assert line.ear.reasons == []


def test_an_aggregator_that_is_away_for_days_ends_no_stream(line: Line) -> None:
    line.stream.draining.set()
    line.stream.drained.set()
    line.stream._back_off(100_000, 0)


@pytest.mark.parametrize(
    ("ran_s", "failures", "longest_s"),
    [
        (0, 0, 1),
        (1, 1, 2),
        (3, 3, 8),
        (10, 4, 10),
        (119, 100_000, 10),
        (120, 4, 16),
        (120, 6, 60),
        (1e9, 100_000, 60),
    ],
)
def test_a_pause_doubles_and_its_bound_is_low_while_the_agent_is_young(
    ran_s: float, failures: int, longest_s: float
) -> None:
    assert longest_back_off_s(failures, int(ran_s * NS_PER_SECOND)) == longest_s


def test_an_aggregator_that_comes_within_half_a_minute_is_found_within_ten_seconds_more() -> None:
    waited_s, failures = 0.0, 0
    while waited_s <= 30:
        failures += 1
        # The longest pause that the jitter gives.
        waited_s += longest_back_off_s(failures, int(waited_s * NS_PER_SECOND))
    assert waited_s <= 40


class Ended(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # as gRPC's own errors are both
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


@pytest.mark.parametrize(
    ("welcomed", "trouble", "failures"),
    [
        (True, None, 0),
        (True, Ended(grpc.StatusCode.DEADLINE_EXCEEDED), 0),
        (False, Ended(grpc.StatusCode.UNAVAILABLE), 4),
        (True, Ended(grpc.StatusCode.ABORTED), 4),
    ],
)
def test_who_is_fenced_off_pauses_longer_each_time(
    welcomed: bool, trouble: Exception | None, failures: int
) -> None:
    assert failures_in_a_row(3, welcomed, trouble) == failures


@pytest.mark.parametrize(
    ("now_s", "every_s", "due_s"),
    [(100.5, 8.0, 108.02), (108.02, 8.0, 116.02), (108.03, 8.0, 116.02), (7.9, 1.0, 8.9), (7.4, 0.5, 7.9)],
)
def test_what_the_node_looks_like_is_told_just_after_its_gpus_were_looked_at(
    now_s: float, every_s: float, due_s: float
) -> None:
    assert live_due_ns(round(now_s * NS_PER_SECOND), round(every_s * NS_PER_SECOND)) == due_s * NS_PER_SECOND
