"""Random histories of a node whose GPUs are cut anew, lost, shared and read badly: the laws hold in every window."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from gpucost.clock import Instant
from gpucost.cost_slice import breaches
from gpucost.identity import Device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import (
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    SECOND,
    START,
    TWO,
    a_container,
    a_look,
    a_lost_look,
    a_span,
    an_answer,
    an_instance,
    an_instant,
    an_object,
    cut_into,
    device_of,
    learn,
    new_books,
    uses,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.readings import (
    WHOLE,
    DcgmReading,
    GpuFraction,
    Partition,
    ProcessIdentity,
    RunningProcess,
)

LAYOUTS = (
    WHOLE,
    cut_into(total=7),
    cut_into(an_instance(1), an_instance(2, "2g.12gb", 2, 2)),
    cut_into(an_instance(1, made="-again"), an_instance(2, "2g.12gb", 2, 2, parts=(1,))),
    cut_into(an_instance(1, "3g.20gb", 0, 3, parts=(1, 1)), an_instance(9, "1g.5gb", 6), total=7),
    cut_into(an_instance(1, "3g.20gb", 0, 3), an_instance(2, "4g.20gb", 4, 4, parts=(1, 2, 1)), total=6),
)
DEVICES = [device_of(each, part.ci) for cut in LAYOUTS for each in cut.instances for part in each.parts]
HELD = st.dictionaries(
    st.sampled_from([ONE, TWO, *dict.fromkeys(DEVICES)]),
    st.lists(st.sampled_from(("a", "b", "c", "c/init")), min_size=1, max_size=3),
    max_size=4,
)
PODS = (
    an_object("a", fractions=[GpuFraction("", ONE, share_ppm=333_333)]),
    an_object("a", a_container(finished_ns=START + 90 * SECOND), phase="Succeeded"),
    an_object("b", a_container("helm"), a_container(), fractions=[GpuFraction(group="g", share_ppm=900_000)]),
    an_object("b", gone_ns=START + 70 * SECOND),
    an_object("b", uid="uid-b-2", fractions=[GpuFraction("main", gpu_index=1, cores_ppm=999_999)]),
    an_object("c", a_container("init", init=True), a_container(), reserves="g"),
    an_object("c", a_container("init", init=True, finished_ns=START + 100 * SECOND), a_container()),
)
WHO = {1: ProcessIdentity(1, 1, "uid-a"), 2: ProcessIdentity(2, 1, "uid-b"), 3: ProcessIdentity(3, 1)}
STEPS = st.sampled_from(
    ("look",) * 5 + ("hear",) * 4 + ("lose", "learn", "exporter", "recut", "recut", "close", "close", "set")
    + ("stop", "kill", "pause")
)  # fmt: skip


@dataclass
class Node:
    """One node with agents that follow each other. *shift* is by how much its wall clock was set."""

    data: st.DataObject
    mono: int = START
    shift: int = 0
    books: Books = field(default_factory=lambda: new_books((ONE, TWO)))
    layouts: dict[str, Partition] = field(default_factory=lambda: {ONE: WHOLE, TWO: WHOLE})
    windows: list[ClosedWindow] = field(default_factory=list)
    read_ns: int = START

    @property
    def now(self) -> int:
        return self.mono + self.shift

    def wait(self, ns: int) -> None:
        self.mono += ns
        self.books.tick(Instant(self.now, self.mono - LONG_AGO))

    def again(self, left: Checkpoint) -> None:
        assert Checkpoint.from_json(left.to_json()) == left
        gpus = self.data.draw(st.sampled_from(((ONE, TWO), (ONE, TWO), (ONE,), (TWO,))))
        self.books = new_books(gpus, self.now, left)
        self.read_ns = self.now

    def look(self) -> None:
        draw, now = self.data.draw, self.now
        since, self.read_ns = self.read_ns, now
        for uuid, cut in self.layouts.items():
            percent = draw(st.integers(0, 101))
            engines: list[int | None] = [each.gi for each in cut.instances] or [None]
            processes = [
                RunningProcess(
                    pid, draw(st.none() | st.integers(0, 9)), gi, draw(st.integers(0, 1)), pid == 2
                )
                for pid, gi in draw(st.dictionaries(st.integers(1, 4), st.sampled_from((None, 1, 2)))).items()
            ]
            rows = uses(since, now, draw(st.dictionaries(st.integers(1, 4), st.integers(0, 100))))
            look = a_look(
                now,
                uuid,
                [] if cut.mig else [(now, percent)],
                draw(st.sampled_from((None, rows))),
                partition=draw(st.sampled_from((cut, cut, cut, None))),
                gpm=[a_span(since, now, percent, gi, percent) for gi in engines],
                accounting=draw(st.sampled_from((None, None, rows))),
                rate=draw(st.sampled_from((None, a_span(since, now, percent)))),
                processes=draw(st.sampled_from((None, processes))),
                energy_uj=draw(st.none() | st.integers(0, 1_000)),
            )
            self.books.read_gpu(look, WHO)

    def close(self) -> None:
        while (window := self.books.close_next(self.now)) is not None:
            self.windows.append(window)

    def step(self, what: str) -> None:
        draw = self.data.draw
        self.wait(draw(st.sampled_from((1, SECOND // 7, SECOND, 5 * SECOND, 20 * SECOND))))
        if what == "look":
            self.look()
        elif what == "hear":
            replicas, unmapped = draw(st.sampled_from((0, 0, 2, 3))), draw(st.sampled_from(((), ("x", "y"))))
            answer = an_answer(self.now, draw(HELD), unmapped, replicas, unlisted=("c/init",))
            self.books.read_holders(answer)
        elif what == "lose":
            self.books.read_gpu(a_lost_look(self.now, draw(st.sampled_from((ONE, TWO)))), {})
        elif what == "learn":
            pods = draw(st.lists(st.sampled_from(PODS), max_size=3))
            learn(
                self.books, self.now, *pods, labels={"nvidia.com/gpu.replicas": draw(st.sampled_from("24"))}
            )
        elif what == "exporter":
            spans = tuple(a_span(self.now - 15 * SECOND, self.now, 70, gi) for gi in (None, 1, 2))
            self.books.read_dcgm(DcgmReading(an_instant(self.now), {ONE: spans}))
        elif what == "recut":
            self.layouts[draw(st.sampled_from((ONE, TWO)))] = draw(st.sampled_from(LAYOUTS))
        elif what == "close":
            self.close()
        elif what == "set":
            self.shift += draw(st.sampled_from((-40, -3, 3, 200))) * SECOND
            self.wait(1)
        elif what == "stop":
            self.windows += self.books.close_short(self.now)
            left = self.books.checkpoint()
            self.wait(draw(st.sampled_from((1, 7 * SECOND, 100 * SECOND))))
            self.again(left)
        elif what == "kill":
            self.again(self.windows[-1].checkpoint if self.windows else self.books.checkpoint())
        elif what == "pause":
            self.wait(90 * SECOND)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=5, max_size=40), st.data())
def test_whatever_is_cut_lost_or_shared_the_laws_hold(story: list[str], data: st.DataObject) -> None:
    node = Node(data)
    for what in story:
        node.step(what)
    node.windows += node.books.close_short(node.now + MINUTE + LATENESS)
    for window in node.windows:
        assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []
        assert [words for row in window.slices for words in breaches(row)] == []
        check_devices(window)
    keys = Counter(row.key for window in node.windows for row in window.slices)
    assert [key for key, count in keys.items() if count > 1] == []
    for earlier, later in pairwise(node.windows):
        assert earlier.interval.end_ns == later.interval.start_ns
        assert set(earlier.lives) <= set(later.lives) | set(gone_in_a_step(later)), "a GPU is missing"


def gone_in_a_step(window: ClosedWindow) -> set[str]:
    """A window that the clock jumped over has nothing of any GPU."""
    return {ONE, TWO} if not window.lives else set()


def check_devices(window: ClosedWindow) -> None:
    """Law 1: what is charged on a device is what is reserved or free on it, and it never passes the device's life."""
    by_device: dict[Device, list[tuple[int, int]]] = {}
    lengths: dict[Device, set[int]] = {}
    for row in window.slices:
        by_device.setdefault(row.key.device, []).append((row.time.charged_ns, row.time.reserved_ns))
        lengths.setdefault(row.key.device, set()).add(row.length_ns)
    for device, paid in by_device.items():
        charged, reserved = sum(each for each, _ in paid), sum(each for _, each in paid)
        assert charged == reserved, device
        (length,) = lengths[device]
        assert charged <= length <= window.lengths_ns[device.gpu_uuid]
