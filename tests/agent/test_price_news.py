"""The fleet's price book on a node: which one counts, from which window on, and what a restart or a bad one changes."""

from pathlib import Path
from typing import Any

import pytest
from gpucost.fleet_book import MAX_BOOK_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import LONG_AGO, MINUTE, START
from contracts.hand_clock import HandClock
from contracts.price_books import a_book
from contracts.priced_node import NO_BOOK, PricedAgent
from gpucost_agent.price_copy import FILE_NAME

OTHER = {"2": "5.5", "3": "6.25", "4": "7"}


def a_clock(second: int = 0) -> HandClock:
    return HandClock(START + second * 1_000_000_000, START + second * 1_000_000_000 - LONG_AGO)


def send(agent: PricedAgent, version: str) -> None:
    agent.news.sent(version, a_book(version, OTHER[version]) if version else b"")


def told(agent: PricedAgent, event: str) -> list[dict[str, Any]]:
    return [dict(each) for each in agent.heard.entries if each["event"] == event]


def test_a_new_node_goes_by_the_book_from_its_first_window_on(tmp_path: Path) -> None:
    agent = PricedAgent(tmp_path, a_clock(20))
    agent.live(1)
    send(agent, "2")
    assert (agent.prices.source, agent.prices.version) == ("aggregator", "2")
    agent.live(110)
    assert agent.said() == [("2", "5.5"), ("2", "5.5")]
    agent.stop()


def test_a_book_holds_from_the_next_window_that_is_closed_on(tmp_path: Path) -> None:
    agent = PricedAgent(tmp_path, a_clock())
    agent.live(75)
    send(agent, "2")
    agent.live(60)
    # One that comes while a window is over and waits for what is late still prices it.
    agent.live(48)
    send(agent, "3")
    agent.live(50)
    send(agent, "")
    agent.live(60)
    assert agent.said() == [NO_BOOK, ("2", "5.5"), ("3", "6.25"), NO_BOOK]
    assert agent.events() == ["price_book_taken"] * 3
    assert agent.prices.source == "none"
    agent.stop()


def test_the_same_book_again_is_no_news(tmp_path: Path) -> None:
    agent = PricedAgent(tmp_path, a_clock())
    for _ in range(3):
        send(agent, "2")
    send(agent, "")
    send(agent, "")
    assert agent.events() == ["price_book_taken"] * 2
    agent.stop()


def test_a_window_that_an_agent_began_to_close_keeps_its_book_for_the_next_agent(tmp_path: Path) -> None:
    clock = a_clock()
    first = PricedAgent(tmp_path, clock)
    send(first, "2")
    first.live(90)
    first.stop()
    clock.pass_ns(5_000_000_000)
    second = PricedAgent(tmp_path, clock)
    assert second.prices.version == "2"
    send(second, "3")
    second.live(15)
    # Killed before its window is over: who finishes it goes by the book that it was begun with.
    second.kill()
    third = PricedAgent(tmp_path, clock)
    third.live(90)
    assert third.by_window() == {
        START: {("2", "5.5")},
        START + MINUTE: {("2", "5.5")},
        START + 2 * MINUTE: {("3", "6.25")},
    }
    assert [batch.window.window_start_ns - START for batch in third.batches()] == [
        0,
        MINUTE,
        90_000_000_000,
        110_000_000_000,
        2 * MINUTE,
    ]
    third.stop()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.integers(1, 100)),
        st.tuples(st.just("send"), st.sampled_from(["2", "3", "4", ""])),
        st.tuples(st.sampled_from(["stop", "kill"]), st.integers(0, 150)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, began=st.integers(0, 59))
def test_no_window_has_two_books_whatever_happens(
    steps: list[tuple[str, Any]], began: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, clock = tmp_path_factory.mktemp("node"), a_clock(began)
    agent, sent = PricedAgent(folder, clock), ""
    for what, value in steps:
        if what == "live":
            agent.live(value)
        elif what == "send":
            send(agent, value)
            sent = value
        else:
            getattr(agent, what)()
            clock.pass_ns(value * 1_000_000_000)
            agent = PricedAgent(folder, clock)
        assert agent.prices.version == sent
    agent.live(180)
    windows = agent.by_window()
    assert {start: books for start, books in windows.items() if len(books) > 1} == {}
    assert {(version, OTHER.get(version)) for version, _ in set().union(*windows.values())} == set().union(
        *windows.values()
    )
    # What was sent last holds by now.
    assert windows[max(windows)] == {(sent, OTHER.get(sent))}
    agent.stop()


def test_an_own_file_wins_always_and_says_so_once_a_version(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_bytes(a_book("own", "1.5"))
    agent = PricedAgent(tmp_path / "spool", a_clock(), own)
    for version in ("2", "2", "3", "3"):
        send(agent, version)
    agent.news.sent("bad", b"\xff")
    send(agent, "")
    agent.live(75)
    assert agent.said() == [("own", "1.5")]
    assert (agent.prices.source, agent.prices.version) == ("file", "own")
    passed_over = told(agent, "price_book_passed_over")
    assert [each["version"] for each in passed_over] == ["2", "3", "bad"]
    assert len(agent.events()) == 3
    assert not (tmp_path / "spool" / FILE_NAME).exists()
    agent.stop()


@pytest.mark.parametrize(
    ("version", "yaml", "reason"),
    [
        ("3", b"\xff", "not UTF-8"),
        ("3", b"", "no 'version'"),
        ("", a_book("3"), "calls itself '3'"),
        ("3", a_book("4"), "calls itself '4', and the aggregator calls it '3'"),
        ("3", a_book("3", "4,2"), "is not an amount"),
        ("3", b"#" * (MAX_BOOK_BYTES + 1), f"more than {MAX_BOOK_BYTES} bytes"),
        ("v" * 100_000, a_book("3"), "calls itself '3'"),
    ],
)
def test_a_book_that_can_not_be_read_changes_nothing(
    tmp_path: Path, version: str, yaml: bytes, reason: str
) -> None:
    agent = PricedAgent(tmp_path, a_clock())
    send(agent, "2")
    before = (tmp_path / FILE_NAME).read_bytes()
    for _ in range(3):
        agent.news.sent(version, yaml)
    agent.live(75)
    assert agent.said() == [("2", "5.5")]
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert agent.events() == ["price_book_taken", "price_book_refused"]
    (refused,) = told(agent, "price_book_refused")
    assert reason in refused["reason"]
    assert len(f"{refused}") < 2_000
    registry = agent.room.metrics.registry
    assert registry.get_sample_value("gpucost_price_books_refused_total") == 3
    agent.stop()


def test_a_node_goes_on_without_its_aggregator(tmp_path: Path) -> None:
    clock = a_clock()
    first = PricedAgent(tmp_path, clock)
    send(first, "2")
    first.live(75)
    first.kill()
    second = PricedAgent(tmp_path, clock)
    assert (second.prices.source, second.prices.version) == ("aggregator", "2")
    second.live(60)
    assert second.said()[-1] == ("2", "5.5")
    send(second, "")
    second.stop()
    third = PricedAgent(tmp_path, clock)
    assert (third.prices.source, third.prices.version) == ("none", "")
    third.stop()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"{" * 100_000,
        lambda text: text[:-10],
        lambda text: text.replace(b"5.5", b"5.6"),
        lambda text: text.replace(b'"format": 1', b'"format": 2'),
        lambda text: text.replace(b'"from_ns": 0', b'"from_ns": "0"'),
        lambda text: text + b" " * (32 << 20),
    ],
)
def test_a_damaged_copy_is_set_aside_and_the_book_asked_for_again(tmp_path: Path, damage: Any) -> None:
    clock = a_clock()
    first = PricedAgent(tmp_path, clock)
    send(first, "2")
    first.stop()
    file = tmp_path / FILE_NAME
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    second = PricedAgent(tmp_path, clock)
    assert second.events() == ["price_book_copy_set_aside"]
    assert second.prices.source == "none"
    assert not file.exists()
    assert file.with_name(f"{FILE_NAME}.damaged").read_bytes() == damaged
    send(second, "2")
    second.stop()
    third = PricedAgent(tmp_path, clock)
    assert third.prices.version == "2"
    third.stop()


def test_a_disk_that_fails_keeps_no_book_from_counting(tmp_path: Path) -> None:
    clock = a_clock()
    agent = PricedAgent(tmp_path, clock)
    # Root may write anywhere, but nobody can open a folder as a file.
    (tmp_path / f"{FILE_NAME}.new").mkdir()
    send(agent, "2")
    agent.news.connected()
    agent.live(75)
    assert agent.said() == [("2", "5.5")]
    assert agent.events() == ["price_book_not_kept", "price_book_taken", "price_book_not_kept"]
    (tmp_path / f"{FILE_NAME}.new").rmdir()
    agent.news.connected()
    agent.stop()
    again = PricedAgent(tmp_path, clock)
    assert again.prices.version == "2"
    again.stop()


def test_a_book_that_was_taken_while_the_clock_was_ahead_does_not_wait_until_then(tmp_path: Path) -> None:
    ahead = a_clock(86_400 * 365)
    agent = PricedAgent(tmp_path, ahead)
    send(agent, "2")
    agent.live(90)
    send(agent, "3")
    agent.kill()
    (tmp_path / "spool.sqlite").unlink()
    for journal in tmp_path.glob("journal-*"):
        journal.unlink()
    right = PricedAgent(tmp_path, a_clock())
    right.live(140)
    assert right.said()[-1] == ("3", "6.25")
    right.stop()
