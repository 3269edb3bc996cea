"""What is kept of a closed window is enough for the next one, and odd readings do no harm."""

from fractions import Fraction

import pytest
from gpucost.identity import Device, Holder
from gpucost.window import Interval

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    a_look,
    a_lost_look,
    a_pod,
    an_instance,
    bill,
    close_all,
    cut_into,
    device_of,
    hear,
    look_on,
    new_books,
    uses,
)
from gpucost_agent.ledger.activity import Activity
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.gpu_memory import GpuMemory
from gpucost_agent.readings import PPM, ProcessIdentity, ProcessWindow, RingSample, RunningProcess

MS = 1_000_000
DEVICE, ALWAYS = Device(ONE), Interval(0, 100)


def test_a_second_loss_of_a_gpu_counts_like_the_first() -> None:
    books = new_books()
    hear(books, START, START + 2 * MINUTE, {ONE: ["a"]})
    for second in range(1, 121):
        at = START + second * SECOND
        lost = 50 <= second < 55 or 80 <= second < 90
        books.read_gpu(a_lost_look(at) if lost else a_look(at), {})
    first, second_window = close_all(books, START + 2 * MINUTE + LATENESS)
    assert bill([first])[ONE, "gpu_lost"][0] == 5
    assert bill([second_window])[ONE, "gpu_lost"][0] == 10


def energy(*readings: tuple[float, int]) -> list[int | None]:
    """Of two windows of a GPU that one holder has, by readings of its counter as (second, microjoules)."""
    books = new_books()
    hear(books, START, START + 2 * MINUTE, {ONE: ["a"]})
    found = []
    for number in (1, 2):
        for second, counter in readings:
            if (number - 1) * 70 <= second < number * 70:
                books.read_gpu(a_look(START + int(second * SECOND), energy_uj=counter), {})
        if number == 2:
            for second, counter in readings:
                if second >= 140:
                    books.read_gpu(a_look(START + int(second * SECOND), energy_uj=counter), {})
        (window,) = close_all(books, START + number * MINUTE + LATENESS)
        found.append(window.slices[0].measures.energy_uj)
    return found


def test_a_counter_that_is_read_seldom_is_still_read_on_both_sides() -> None:
    assert energy((0, 0), (130, 1_300)) == [None, 600]


def test_a_counter_is_in_whole_microjoules_and_two_readings_of_one_instant_are_one() -> None:
    found = energy((0, 0), (0, 0), (61, 1_000), (121, 2_000))
    assert found == [983, 1_000]
    assert [type(each) for each in found] == [int, int]


def test_a_row_that_overlaps_one_that_is_forgotten_begins_where_that_ended() -> None:
    known = Activity[str](0)
    known.add_samples([RingSample(end * MS, PPM) for end in (200, 400, 600)])
    known.add_uses(ProcessWindow(0, 400 * MS, 2, ()), {"p": PPM})
    known.forget_before(500 * MS)
    known.add_uses(ProcessWindow(200 * MS, 600 * MS, 1, ()), {"p": PPM // 2})
    turns = [Interval(300 * MS, 450 * MS)]
    used = known.used(Interval(500 * MS, 600 * MS), lambda _: turns)
    assert used is not None
    assert used.by_process == {"p": 50 * MS * 100 // 150}


def test_the_period_follows_when_the_driver_changes_it() -> None:
    known = Activity[str](0)
    known.add_samples([RingSample(200 * MS * number, PPM) for number in range(1, 101)])
    at = 20_000
    known.add_samples([RingSample((at + 1_000 * number) * MS, PPM) for number in range(1, 41)])
    at += 41_500
    known.add_samples([RingSample(at * MS, PPM)])
    assert known.seen(Interval((at - 1_500) * MS, at * MS)).watched_ns == 1_500 * MS


def test_a_sample_that_comes_after_two_periods_is_late_and_none_is_missing() -> None:
    known = Activity[str](0)
    known.add_samples([RingSample(end * MS, PPM) for end in (200, 400, 600)])
    known.add_samples([RingSample(1_000 * MS, PPM)])
    assert known.seen(Interval(0, 1_000 * MS)).watched_ns == 1_000 * MS


def test_a_sample_that_is_given_again_tells_no_period() -> None:
    known = Activity[str](0)
    for ends in ((200,), (200, 400), (400, 5_000)):
        known.add_samples([RingSample(end * MS, PPM) for end in ends])
    assert known.seen(Interval(0, 5_000 * MS)).watched_ns == 1_400 * MS


def test_unknown_processes_beside_a_known_one_do_not_count_as_it() -> None:
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: ["a", "b"]})
    who = {1: None, 2: ProcessIdentity(2, 1), 3: None}
    window = uses(START, START + SECOND, {1: 10, 2: 20, 3: 30})
    books.read_gpu(a_look(START + SECOND, ring=[(START + SECOND, 60)], uses=window), who)
    found = bill(close_all(books, START + MINUTE + LATENESS))
    assert (found[ONE, "host"][1], found[ONE, "unattributed"][1]) == (0.2, 0.4)


def client(pid: int, percent: int | None = None) -> tuple[RunningProcess, ProcessIdentity]:
    return RunningProcess(pid, None, 1, 0, True), ProcessIdentity(pid, 1, mps_percent=percent)


def looked(*clients: tuple[RunningProcess, ProcessIdentity]) -> GpuMemory:
    memory = GpuMemory()
    memory.add(10, tuple(each for each, _ in clients), {each.pid: who for each, who in clients})
    return memory


def test_mps_in_the_last_look_before_a_pause_is_still_known() -> None:
    memory = looked(client(1))
    memory.forget_before(20)
    assert memory.has_mps(DEVICE)


def test_a_holders_clients_of_mps_may_use_what_the_widest_limit_lets_them() -> None:
    memory = looked(client(1, 50), client(2, 25))
    holder: tuple[Holder, ...] = (a_pod("a"),)
    (limit,) = memory.mps_limits(DEVICE, holder, Directory()).values()
    assert limit == Fraction(1, 2)
    here, there = device_of(an_instance(1)), device_of(an_instance(2))
    assert [memory.has_mps(here), memory.has_mps(there)] == [True, False]
    assert list(memory.mps_limits(here, holder, Directory()).values()) == [limit]
    assert memory.mps_limits(there, holder, Directory()) == {}


@pytest.mark.parametrize("part", [ALWAYS, Interval(50, 60)])
def test_memory_that_the_driver_does_not_tell_is_none(part: Interval) -> None:
    assert looked(client(1)).most(part, DEVICE) == 0


def test_an_id_that_nobody_can_map_beside_an_instance_that_is_divided() -> None:
    books, cut = new_books(), an_instance(1, slices=4, parts=(2, 2))
    hear(books, START, START + MINUTE, {device_of(cut): ["a"]}, unmapped=["nobody-knows"])
    look_on(books, START, START + MINUTE, cut_into(cut), gi1=50)
    found = bill(close_all(books, START + MINUTE + LATENESS))
    assert found["1/0", "a"][0] == 30
