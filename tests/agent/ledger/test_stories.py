"""Random stories of a node: whatever happens, every window keeps the laws and none is missing."""

from collections import Counter
from dataclasses import dataclass

from gpucost.cost_slice import breaches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import (
    HOUR,
    LATENESS,
    LONG_AGO,
    MINUTE,
    ONE,
    PRICE,
    SECOND,
    START,
    TWO,
    a_gpu,
    a_look,
    a_lost_look,
    an_answer,
    close_all,
    new_books,
    uses,
)
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.laws import window_breaches
from gpucost_agent.readings import Boot, ProcessIdentity

STEPS = st.sampled_from(
    (
        "look",
        "look",
        "look",
        "lose",
        "hear",
        "hear",
        "hear",
        "close",
        "stop",
        "kill",
        "boot",
        "add",
        "vanish",
        "wait",
        "pause",
    )
)
WAITS = st.sampled_from((1, SECOND // 7, SECOND, 3 * SECOND, 20 * SECOND))
HELD = st.fixed_dictionaries(
    {uuid: st.lists(st.sampled_from(("a", "b", "c")), max_size=3) for uuid in (ONE, TWO)}
)
PROCESSES = {1: ProcessIdentity(1, 1, "uid-a", "x"), 2: ProcessIdentity(2, 1), 3: None}


@dataclass
class Node:
    """Agents that follow each other on one node."""

    now: int
    books: Books
    gpus: tuple[str, ...]
    seen: dict[str, int]
    windows: list[ClosedWindow]
    boots: int = 1

    def again(self, left: Checkpoint | None, boot: Boot | None = None) -> None:
        text = None if left is None else Checkpoint.from_json(left.to_json())
        self.books = new_books(self.gpus, self.now, text, boot or self.books.boot)
        self.seen = {}


def begin() -> Node:
    return Node(START, new_books(), (ONE,), {}, [])


def step(node: Node, what: str, data: st.DataObject) -> None:
    node.now += data.draw(WAITS)
    now, books = node.now, node.books
    if what == "look":
        for uuid in node.gpus:
            since = max(node.seen.get(uuid, 0), books.first_look_ns)
            ends = sorted({now - part for part in data.draw(st.lists(st.integers(0, SECOND), max_size=4))})
            percent = data.draw(st.integers(0, 100))
            use = uses(
                since, now, data.draw(st.dictionaries(st.integers(1, 4), st.integers(0, 100))), len(ends)
            )
            ring = [(end, percent) for end in ends]
            books.read_gpu(a_look(now, uuid, ring, use if ends and now > since else None), PROCESSES)
            node.seen[uuid] = now
    elif what == "lose":
        books.read_gpu(a_lost_look(now, data.draw(st.sampled_from(node.gpus))), {})
    elif what == "hear":
        replicas = data.draw(st.sampled_from((0, 0, 2, 4)))
        books.read_holders(
            an_answer(now, data.draw(HELD), data.draw(st.sampled_from(((), ("x",)))), replicas)
        )
    elif what == "close":
        node.windows += close_all(books, now)
    elif what == "stop":
        node.windows += books.close_short(now)
        node.now += data.draw(WAITS)
        node.again(books.checkpoint())
    elif what == "kill":
        node.again(node.windows[-1].checkpoint if node.windows else books.checkpoint())
    elif what == "boot":
        node.windows += books.close_short(now)
        left, booted = books.checkpoint(), now + data.draw(WAITS)
        node.now, node.boots = booted + data.draw(WAITS), node.boots + 1
        node.again(left, Boot(f"boot-{node.boots}", booted))
    elif what == "add":
        node.gpus = (ONE, TWO)
        books.see_gpus((a_gpu(ONE), a_gpu(TWO)), now)
    elif what == "vanish":
        node.gpus = (ONE,)
    elif what == "pause":
        node.now += 90 * SECOND


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=1, max_size=40), st.data())
def test_whatever_happens_the_laws_hold(story: list[str], data: st.DataObject) -> None:
    node = begin()
    for what in story:
        step(node, what, data)
    node.windows += node.books.close_short(node.now + MINUTE + LATENESS)
    for window in node.windows:
        assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []
        assert [words for row in window.slices for words in breaches(row)] == []
        check_by_hand(window)
    check_nothing_is_missing(node)
    keys = Counter(row.key for window in node.windows for row in window.slices)
    assert [key for key, count in keys.items() if count > 1] == []


def check_by_hand(window: ClosedWindow) -> None:
    """Laws 2 and 3 once more, from the life that a GPU had."""
    assert {row.key.device.gpu_uuid for row in window.slices} == set(window.lives)
    price = PRICE.nanodollars_per_hour or 0
    for uuid, life in window.lives.items():
        rows = [row for row in window.slices if row.key.device.gpu_uuid == uuid]
        begin_ns = life.start_ns % HOUR
        cost = price * (begin_ns + life.length_ns) // HOUR - price * begin_ns // HOUR
        assert sum(row.time.charged_ns for row in rows) == life.length_ns
        assert sum(row.time.reserved_ns for row in rows) == life.length_ns
        assert sum(row.cost.nanodollars for row in rows) == cost
        assert sum(row.cost.reserved_nanodollars for row in rows) == cost
        assert all(row.time.charged_ns <= row.time.reserved_ns + row.time.used_ns for row in rows)
        assert window.interval.start_ns <= life.start_ns
        assert life.end_ns == window.interval.end_ns


def check_nothing_is_missing(node: Node) -> None:
    """Law 6: within a boot each GPU's lives follow each other; between boots there may be nothing."""
    by_boot: dict[str, list[ClosedWindow]] = {}
    for window in node.windows:
        by_boot.setdefault(window.checkpoint.boot_id, []).append(window)
    last_end = LONG_AGO
    for windows in by_boot.values():
        ends: dict[str, int] = {}
        for window in windows:
            assert last_end <= window.interval.start_ns
            last_end = window.interval.end_ns
            assert set(ends) <= set(window.lives), "a GPU is missing from a window"
            for uuid, life in window.lives.items():
                assert ends.get(uuid, life.start_ns) == life.start_ns
                ends[uuid] = life.end_ns
