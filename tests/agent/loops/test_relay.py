"""Threads that take turns; one that hangs holds up nobody."""

import threading
import time
from types import SimpleNamespace
from typing import cast

from gpucost.system_clock import SystemClock

from gpucost_agent.loops.relay import Relay, Runner
from gpucost_agent.loops.room import Room

PERIOD_S = 0.3
ROUNDS = 6


def a_room() -> Room:
    """As much of one as waiting needs."""
    parts = SimpleNamespace(clock=SystemClock(), stop=threading.Event())
    room = cast(Room, parts)
    parts.left_s = lambda *arguments: Room.left_s(room, *arguments)
    parts.wait = lambda *arguments: Room.wait(room, *arguments)
    return room


def looks_of(room: Room, runners: list[Runner], hanging: threading.Event | None = None) -> list[int]:
    """Who looked, one after the other, while the first one looked so many times; the second hangs in its first look."""
    looks: list[int] = []

    def work(number: int, runner: Runner) -> None:
        while not runner.wait(room, PERIOD_S):
            looks.append(number)
            if number == 1 and hanging is not None:
                hanging.wait()
            runner.done()

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in enumerate(runners)]
    for thread in threads:
        thread.start()
    while looks.count(0) < ROUNDS:
        time.sleep(0.01)
    time.sleep(PERIOD_S / 2)
    room.stop.set()
    if hanging is not None:
        hanging.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return looks


def test_each_period_all_look_in_their_order() -> None:
    """Once each, the first one first."""
    relay = Relay()
    looks = looks_of(a_room(), [relay.join() for _ in range(4)])

    rounds = [looks[at : at + 4] for at, number in enumerate(looks) if number == 0]
    # A loaded machine may hold up a thread for longer than it is waited for: that round is another one.
    assert rounds.count([0, 1, 2, 3]) >= ROUNDS // 2


def test_those_behind_one_that_hangs_look_on_their_own() -> None:
    """And hand on to those behind them."""
    relay = Relay()
    looks = looks_of(a_room(), [relay.join() for _ in range(4)], threading.Event())

    assert looks.count(1) == 1
    assert looks.count(2) >= ROUNDS - 2
    assert looks.count(3) >= ROUNDS - 2


def test_a_turn_that_came_while_nobody_waited_is_none() -> None:
    """Else a thread would look twice in a period."""
    relay, room = Relay(), a_room()
    first, second = relay.join(), relay.join()
    first.done()
    first.done()

    began = time.monotonic_ns() // round(PERIOD_S * 1e9)
    assert not second.wait(room, PERIOD_S)
    assert time.monotonic_ns() // round(PERIOD_S * 1e9) > began
