"""What the check of `chaos` takes for right, and how it counts what it does not watch."""

from dataclasses import replace

from accuracy.truth import Who
from chaos.log_book import LogBook, Step
from contracts.chaos_by_hand import LENGTH_S, NS, SHARED, START, WHOLE, WINDOW_S, books, rows, verdict, who

GAP = Who("unobserved", container="agent_gap")
FREE = Who("unallocated")


def of_window(number: int, uuid: str) -> int:
    assert uuid in (WHOLE, SHARED)
    return START + number * WINDOW_S * NS


def without(number: int, uuid: str) -> list:
    start = of_window(number, uuid)
    return [row for row in books() if (row.device.gpu_uuid, row.start_ns) != (uuid, start)]


def log(begin_s: float, end_s: float) -> LogBook:
    book = LogBook()
    book.begin([WHOLE], "agent", START + round(begin_s * NS))
    book.end(WHOLE, "agent", START + round(end_s * NS))
    return book


def test_what_is_right_is_green() -> None:
    found = verdict(books())
    assert (found.lost, found.doubled, found.unexplained, found.excess_ns) == (0, 0, 0, 0)
    assert found.expected == found.held > 0
    assert found.windows == 2 * LENGTH_S // WINDOW_S
    assert (found.unwatched_ns, found.findings) == (0, [])


def test_time_that_nobody_watched_needs_downtime() -> None:
    start = of_window(1, WHOLE)
    gap = [*without(1, WHOLE), *rows(WHOLE, start, {who("alone"): 4 * NS, GAP: 6 * NS})]
    green = verdict(gap, log(11, 16))
    assert (green.lost, green.doubled, green.unexplained, green.excess_ns) == (0, 0, 0, 0)
    assert (green.unwatched_ns, green.downtime_ns) == (6 * NS, 5 * NS)
    assert green.by_reason == {"agent_gap": 6 * NS}
    # One window more than the log has, and no longer.
    assert verdict(gap).excess_ns == 6 * NS
    whole = [
        *(row for row in books() if row.device.gpu_uuid != WHOLE or row.start_ns >= START + 30 * NS),
        *(row for number in range(3) for row in rows(WHOLE, of_window(number, WHOLE), {GAP: 10 * NS})),
    ]
    assert verdict(whole, log(11, 16)).excess_ns == 15 * NS


def test_carried_time_is_not_watched_either() -> None:
    carried = [
        replace(row, flags=frozenset({"carried"})) if row.device.gpu_uuid == SHARED else row
        for row in books()
    ]
    found = verdict(carried)
    assert found.unwatched_ns == found.excess_ns == LENGTH_S * NS


def test_what_is_set_aside_is_held_and_not_watched() -> None:
    start = of_window(1, WHOLE)
    aside = [row for row in books() if (row.device.gpu_uuid, row.start_ns) == (WHOLE, start)]
    found = verdict(without(1, WHOLE), log(10, 20), aside)
    assert (found.lost, found.doubled, found.unexplained, found.excess_ns) == (0, 0, 0, 0)
    assert found.by_reason == {"quarantined": 10 * NS}


def test_an_adjustment_counts_with_its_sign() -> None:
    start = of_window(1, WHOLE)
    (right,) = rows(WHOLE, start, {who("alone"): 10 * NS})
    (lost,) = rows(WHOLE, start, {Who("unobserved", container="store_lost"): 10 * NS}, ["synthetic"])
    back = replace(lost, charged_ns=-lost.charged_ns, cost=-lost.cost, is_adjustment=True)
    found = verdict([*without(1, WHOLE), lost, back, replace(right, is_adjustment=True)])
    assert (found.lost, found.doubled, found.unexplained, found.unwatched_ns) == (0, 0, 0, 0)


def test_a_window_in_two_parts_is_one() -> None:
    start = of_window(1, WHOLE)
    parts = [
        *rows(WHOLE, start, {who("alone"): 3 * NS + 1}),
        *rows(WHOLE, start + 3 * NS + 1, {who("alone"): 7 * NS - 1}),
    ]
    found = verdict([*without(1, WHOLE), *parts])
    assert (found.lost, found.doubled, found.unexplained) == (0, 0, 0)


def test_a_change_of_holders_is_known_to_the_second() -> None:
    start = of_window(2, WHOLE)
    late = rows(WHOLE, start, {who("alone"): 4_900_000_000, FREE: 5_100_000_000})
    assert verdict([*without(2, WHOLE), *late]).unexplained == 0
    later = rows(WHOLE, start, {who("alone"): 5_500_000_000, FREE: 4_500_000_000})
    assert verdict([*without(2, WHOLE), *later]).unexplained > 0


def test_a_window_with_a_step_has_the_length_that_the_steps_leave_it() -> None:
    steps = [(START + 41 * NS, 3 * NS), (START + 52 * NS, 0)]
    stepped = [row for row in books() if row.start_ns < START + 40 * NS]
    for number, length in ((4, 7 * NS + 20_000_000), (5, 13 * NS - 20_000_000)):
        start = of_window(number, WHOLE)
        stepped += [replace(row, cost=row.cost) for row in rows(WHOLE, start, {FREE: length})]
        half = length // 2
        stepped += rows(SHARED, start, {who("half"): half, FREE: length - half})
    book = LogBook(jumps=[("one", at_ns) for at_ns, _ in steps])
    found = verdict(stepped, book, steps=steps)
    assert (found.lost, found.doubled, found.unexplained) == (0, 0, 0)
    assert verdict(books(), steps=steps).lost > 0
    # Where the agent saw it a little later the windows differ, and their sum does not.
    shorter = [row for row in stepped if (row.device.gpu_uuid, row.start_ns) != (WHOLE, of_window(5, WHOLE))]
    assert (
        verdict(
            [*shorter, *rows(WHOLE, of_window(5, WHOLE), {FREE: 13 * NS - 25_000_000})], book, steps=steps
        ).lost
        > 0
    )


def test_a_deleted_nodes_books_end_at_its_last_sign_of_life() -> None:
    book = LogBook(deaths={WHOLE: START + 44 * NS})
    book.begin([WHOLE], "node_deleted", START + 29 * NS)
    kept = [row for row in books() if row.device.gpu_uuid == SHARED or row.start_ns < START + 30 * NS]
    tail = rows(WHOLE, START + 30 * NS, {Who("unobserved", container="node_gone"): 8 * NS})
    found = verdict([*kept, *tail], book)
    assert (found.lost, found.doubled, found.unexplained, found.excess_ns) == (0, 0, 0, 0)
    assert found.unwatched_ns == 8 * NS + 6 * NS
    assert verdict(books(), book).doubled > 0


def test_a_step_while_the_agent_is_away_lies_somewhere_in_that_time() -> None:
    back, right = Step("one", START + 12 * NS, -2 * NS), Step("one", START + 41 * NS, 0)
    steps = [(step.at_ns, step.ahead_ns) for step in (back, right)]
    book = LogBook(steps=[back, right], jumps=[("one", at_ns) for at_ns, _ in steps])
    for uuid in (WHOLE, SHARED):
        book.begin([uuid], "agent", START + 38 * NS)
        book.end(uuid, "agent", START + 53 * NS)
    found = [row for row in books() if row.start_ns not in (of_window(1, WHOLE), of_window(5, WHOLE))]
    for number, length in ((1, 12 * NS), (5, 8 * NS)):
        start = of_window(number, WHOLE)
        whole = {who("alone"): length} if number == 1 else {FREE: length}
        found += [
            *rows(WHOLE, start, whole),
            *rows(SHARED, start, {who("half"): length // 2, FREE: length // 2}),
        ]
    seen_late = verdict(found, book, steps=steps)
    assert (seen_late.lost, seen_late.doubled) == (0, 0)
    short = [row for row in found if row.start_ns != of_window(5, WHOLE)]
    for uuid, shares in ((WHOLE, {FREE: 9 * NS}), (SHARED, {FREE: 9 * NS})):
        short += rows(uuid, of_window(5, WHOLE), shares)
    assert verdict(short, book, steps=steps).doubled > 0
