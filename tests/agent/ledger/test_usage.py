"""Use by holder, best method first, never more than the device's own activity."""

from collections.abc import Mapping
from itertools import permutations

import pytest
from gpucost.identity import HOST, UNATTRIBUTED, Holder
from gpucost.window import Interval

from contracts.books_by_hand import a_pod
from gpucost_agent.ledger.activity import Activity
from gpucost_agent.ledger.usage import Holders, Process, Usage, usage
from gpucost_agent.readings import ProcessIdentity, ProcessWindow, RingSample

SECOND = 1_000_000_000
TEN = Interval(0, 10 * SECOND)
A, B, THIEF = a_pod("a"), a_pod("b"), a_pod("thief")
OWNERS = {1: A, 2: B, 3: THIEF, 4: HOST}


def found_in(activity: Activity[Process], holding: Holders) -> Usage:
    return usage(activity.seen(TEN), activity.used(TEN), holding)


def process(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, 1)


def seen(
    busy_percent: int, uses: Mapping[int | None, int] | None = None, until_s: int = 10
) -> Activity[Process]:
    """Ten samples of a second; use in percent by PID, None for a process that nobody could identify."""
    activity: Activity[Process] = Activity(0)
    activity.add_samples(RingSample(end * SECOND, busy_percent * 10_000) for end in range(1, until_s + 1))
    if uses is not None:
        by_process = {None if pid is None else process(pid): part * 10_000 for pid, part in uses.items()}
        activity.add_uses(ProcessWindow(0, until_s * SECOND, until_s, ()), by_process)
    return activity


def holders(
    *held: Holder, alone: bool = False, memory: Mapping[Holder, int] | None = None, blind: bool = False
) -> Holders:
    return Holders(held, held[0] if alone else None, lambda each: OWNERS[each.pid], memory or {}, blind)


def seconds(found: Usage) -> dict[Holder, float]:
    return {holder: used / SECOND for holder, used in found.used.items() if used}


def test_nothing_watched_is_nothing_known() -> None:
    assert found_in(Activity(0), holders(A, alone=True)) == Usage(0)


def test_who_holds_the_device_alone_used_all_that_it_did() -> None:
    found = found_in(seen(30), holders(A, alone=True))
    assert (found.watched_ns, seconds(found), found.method, found.samples) == (
        10 * SECOND,
        {A: 3},
        "ring",
        10,
    )


def test_an_idle_device_was_watched_all_the_same() -> None:
    found = found_in(seen(0), holders(A, alone=True))
    assert (found.watched_ns, seconds(found), found.method) == (10 * SECOND, {}, "ring")


def test_who_uses_a_device_that_another_holds_alone_pays_for_it() -> None:
    found = found_in(seen(50, {1: 30, 3: 20}), holders(A, alone=True))
    assert (seconds(found), found.method) == ({A: 3, THIEF: 2}, "ring_process")


def test_what_nobody_could_identify_is_the_lone_holders() -> None:
    found = found_in(seen(50, {None: 50}), holders(A, alone=True))
    assert seconds(found) == {A: 5}


def test_others_on_a_lone_holders_device_are_bounded_by_what_the_device_did() -> None:
    found = found_in(seen(10, {3: 60, 4: 40}), holders(A, alone=True))
    assert seconds(found) == {THIEF: 0.6, HOST: 0.4}


def test_shared_use_goes_to_whose_the_processes_are() -> None:
    found = found_in(seen(100, {1: 65, 2: 35}), holders(A, B))
    assert (seconds(found), found.method, found.samples) == ({A: 6.5, B: 3.5}, "ring_process", 10)


def test_a_shortfall_is_unattributed_and_not_spread_over_who_was_seen() -> None:
    found = found_in(seen(80, {1: 10}), holders(A, B))
    assert seconds(found) == {A: 1.05, UNATTRIBUTED: 6.95}


def test_what_rounding_took_from_rows_is_given_back_as_far_as_the_device_was_busier() -> None:
    found = found_in(seen(80, {1: 40, 2: 39}), holders(A, B))
    assert seconds(found) == {A: 4.05, B: 3.95}


def test_what_nobody_could_identify_is_unattributed_with_the_shortfall() -> None:
    found = found_in(seen(80, {1: 10, None: 20}), holders(A, B))
    assert seconds(found) == {A: 1.05, UNATTRIBUTED: 6.95}


def test_more_than_the_device_did_is_scaled_down_to_it() -> None:
    found = found_in(seen(50, {1: 60, 2: 40}), holders(A, B))
    assert seconds(found) == {A: 3, B: 2}


def test_a_free_device_that_the_host_uses() -> None:
    found = found_in(seen(40, {4: 40}), holders())
    assert seconds(found) == {HOST: 4}


def test_a_free_device_that_is_busy_for_nobody_is_unattributed() -> None:
    found = found_in(seen(40), holders())
    assert (seconds(found), found.method) == ({UNATTRIBUTED: 4}, "ring")


def test_without_use_by_process_memory_divides() -> None:
    found = found_in(seen(40), holders(A, B, memory={A: 30, B: 10, THIEF: 0}))
    assert (seconds(found), found.method, found.samples) == ({A: 3, B: 1}, "memory", 0)


def test_without_memory_holders_are_equal() -> None:
    found = found_in(seen(40), holders(A, B))
    assert (seconds(found), found.method, found.samples) == ({A: 2, B: 2}, "equal", 0)


def test_who_can_not_tell_processes_apart_does_not_call_their_holders_idle() -> None:
    found = found_in(seen(40, {None: 40}), holders(A, B, blind=True))
    assert (seconds(found), found.method, found.samples) == ({A: 2, B: 2}, "equal", 0)


def test_a_shared_device_that_was_idle_needs_no_division() -> None:
    found = found_in(seen(0), holders(A, B))
    assert (seconds(found), found.method) == ({}, "ring")


@pytest.mark.parametrize("busy", [0, 1, 33, 50, 99, 100])
@pytest.mark.parametrize("parts", tuple(permutations((0, 33, 99))))
def test_parts_never_pass_the_device_and_always_reach_it(busy: int, parts: tuple[int, int, int]) -> None:
    found = found_in(seen(busy, dict(zip((1, 2, 4), parts, strict=True))), holders(A, B))
    assert sum(found.used.values()) == busy * SECOND // 10
    assert sum(found.used.values()) <= found.watched_ns


def test_time_without_use_by_process_is_a_shortfall_where_other_time_has_it() -> None:
    activity = seen(100, {1: 60, 2: 40}, until_s=5)
    activity.add_samples(RingSample(end * SECOND, 1_000_000) for end in range(6, 11))
    found = found_in(activity, holders(A, B))
    assert seconds(found) == {A: 3.025, B: 2.025, UNATTRIBUTED: 4.95}


def test_an_idle_device_was_sampled_all_the_same() -> None:
    assert found_in(seen(0), holders(A, B)) == Usage(10 * SECOND, {}, "ring", 10)
    assert found_in(seen(30), holders()) == Usage(10 * SECOND, {UNATTRIBUTED: 3 * SECOND}, "ring", 10)


def test_rows_that_name_nobody_say_that_no_holder_did_it() -> None:
    found = found_in(seen(30, {}), holders(A, B, memory={A: 1}))
    assert (seconds(found), found.method) == ({UNATTRIBUTED: 3}, "ring_process")
