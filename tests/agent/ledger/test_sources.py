"""Several sources of activity: the best that watched about as long as any says how busy a device was."""

import pytest
from gpucost.window import Interval

from contracts.books_by_hand import (
    LATENESS,
    MINUTE,
    ONE,
    SECOND,
    START,
    Bill,
    a_look,
    a_span,
    an_instant,
    an_object,
    bill,
    close_all,
    hear,
    learn,
    new_books,
    row_of,
    uses,
)
from gpucost_agent.ledger.activity import ACCOUNTING, RING_PROCESS, Activity, Seen
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.spans import NOT_KNOWN, Efficiency, Spans
from gpucost_agent.readings import (
    ActivitySource,
    ActivitySpan,
    DcgmReading,
    ProcessIdentity,
    ProcessWindow,
    RingSample,
    RunningProcess,
)

END = START + MINUTE
A, B = ProcessIdentity(1, 1, "uid-a"), ProcessIdentity(2, 1, "uid-b")
HUNDRED = Interval(0, 100)


def told(**sources: tuple[int, int]) -> Seen:
    """What is taken of sources that watched so many of a hundred nanoseconds, and were so busy (percent)."""
    activity = Activity[str](0)
    for name, (watched, percent) in sources.items():
        activity.add_span(ActivitySource(name), a_span(0, watched, percent))
    return activity.seen(HUNDRED)


@pytest.mark.parametrize(
    ("sources", "method"),
    [
        ({"gpm": (100, 1), "dcgm": (100, 2), "ring": (100, 3), "rate": (100, 4)}, "gpm"),
        ({"rate": (100, 4), "ring": (100, 3), "dcgm": (100, 2)}, "dcgm"),
        ({"rate": (100, 4), "ring": (100, 3)}, "ring"),
        ({"rate": (100, 4)}, "rate"),
        ({"gpm": (90, 1), "ring": (100, 3)}, "gpm"),
        ({"gpm": (89, 1), "ring": (100, 3)}, "ring"),
        ({"gpm": (0, 1), "ring": (10, 3)}, "ring"),
        ({"gpm": (50, 1), "dcgm": (95, 2), "ring": (100, 3), "rate": (40, 4)}, "dcgm"),
    ],
    ids=str,
)
def test_the_best_source_that_watched_about_as_long_as_any(
    sources: dict[str, tuple[int, int]], method: str
) -> None:
    watched, percent = sources[method]
    assert told(**sources) == Seen(method, watched, watched * percent // 100, 1)


def test_no_source_is_nothing_seen() -> None:
    assert told() == Seen()
    assert Activity[str](0).used(HUNDRED) is None


def test_efficiency_is_another_sources_where_the_best_one_says_nothing_of_it() -> None:
    activity = Activity[str](0)
    activity.add_span(ActivitySource.GPM, a_span(0, 100, 50))
    activity.add_span(ActivitySource.DCGM, ActivitySpan(0, 100, None, 60, 300_000, 200_000, 100_000))
    assert activity.seen(HUNDRED) == Seen("gpm", 100, 50, 1, Efficiency(30, 20, 10))


def test_a_span_that_does_not_say_how_busy_it_was_was_not_watched_and_its_efficiency_is_known() -> None:
    spans = Spans(0)
    spans.add(ActivitySpan(0, 60, None, None, 500_000))
    spans.add(ActivitySpan(60, 100, None, 1_500_000, None, 0))
    found = spans.watched(HUNDRED)
    assert (found.watched_ns, found.busy_ns, found.samples) == (40, 40, 1)
    assert found.efficiency == Efficiency(30, 0, None)
    assert spans.watched(Interval(100, 200)).efficiency == NOT_KNOWN


def test_a_span_is_cut_by_the_one_before_it_and_counts_where_it_ends() -> None:
    spans = Spans(10)
    for since, until in ((0, 30), (20, 50), (40, 45), (70, 90)):
        spans.add(a_span(since, until, 100))
    assert spans.known_to_ns == 90
    assert [spans.watched(Interval(*each)).watched_ns for each in ((0, 20), (20, 60), (60, 100))] == [
        10,
        30,
        20,
    ]
    assert [spans.watched(Interval(*each)).samples for each in ((10, 30), (30, 50), (50, 90))] == [1, 1, 1]


def test_what_is_forgotten_of_spans_moves_nothing_later() -> None:
    spans = Spans(0)
    for end in (10, 20, 30):
        spans.add(a_span(end - 10, end, 100))
    spans.forget_before(15)
    assert spans.watched(Interval(15, 30)).watched_ns == 15
    spans.forget_before(99)
    assert spans.known_to_ns == 30, "a sample goes on where the last one ended"
    Spans(7).forget_before(8)


def a_ring(until: int = 100) -> Activity[str]:
    activity = Activity[str](0)
    activity.add_samples(RingSample(end, 1_000_000) for end in range(10, until + 1, 10))
    return activity


def test_accounting_is_better_than_rows_by_process() -> None:
    activity = a_ring()
    activity.add_uses(ProcessWindow(0, 100, 10, ()), {"a": 300_000})
    activity.add_accounting(ProcessWindow(0, 95, 10, ()), {"a": 200_000})
    used = activity.used(HUNDRED)
    assert used is not None
    assert (used.method, used.by_process, used.samples) == (ACCOUNTING, {"a": 19}, 9)
    assert used.rounded_off == {}, "the driver integrated it: nothing was cut to whole percents"


def test_rows_by_process_stand_in_where_accounting_watched_less() -> None:
    activity = a_ring()
    activity.add_uses(ProcessWindow(0, 100, 10, ()), {"a": 300_000})
    activity.add_accounting(ProcessWindow(0, 80, 8, ()), {"a": 200_000})
    used = activity.used(HUNDRED)
    assert used is not None
    assert (used.method, used.by_process) == (RING_PROCESS, {"a": 30})


@pytest.mark.parametrize(("until", "method"), [(90, ACCOUNTING), (85, RING_PROCESS)])
def test_what_watched_nine_tenths_of_the_longest_watched_as_long(until: int, method: str) -> None:
    activity = a_ring()
    activity.add_uses(ProcessWindow(0, 100, 10, ()), {"a": 300_000})
    for since, end in ((0, 40), (40, until)):
        activity.add_accounting(ProcessWindow(since, end, 5, ()), {"a": 200_000})
    used = activity.used(HUNDRED)
    assert used is not None
    assert used.method == method


def test_rows_count_for_their_own_window_alone() -> None:
    activity = a_ring()
    for since, until in ((0, 20), (40, 70), (90, 100)):
        activity.add_uses(ProcessWindow(since, until, 2, ()), {"a": 1_000_000})
    for interval, used_ns in ((HUNDRED, 60), (Interval(30, 100), 40), (Interval(50, 95), 25)):
        used = activity.used(interval)
        assert used is not None
        assert used.by_process == {"a": used_ns}


def test_rows_that_are_forgotten_move_nothing_later() -> None:
    activity = a_ring()
    for since in range(0, 50, 10):
        activity.add_uses(ProcessWindow(since, since + 10, 1, ()), {"a": 1_000_000})
    activity.forget_before(35)
    used = activity.used(Interval(35, 50))
    assert used is not None
    assert used.by_process == {"a": 15}


def test_rows_of_two_windows_are_summed_in_their_parts() -> None:
    activity = a_ring()
    activity.add_uses(ProcessWindow(0, 40, 4, ()), {"a": 500_000})
    activity.add_uses(ProcessWindow(30, 100, 7, ()), {"a": 1_000_000, "b": 100_000})
    used = activity.used(Interval(20, 60))
    assert used is not None
    assert (used.by_process, used.samples) == ({"a": 30, "b": 2}, 4)


def test_rows_of_before_the_first_look_are_not_taken() -> None:
    activity = Activity[str](50)
    activity.add_samples([RingSample(60, 0), RingSample(70, 0)])
    activity.add_uses(ProcessWindow(0, 50, 4, ()), {"a": 1_000_000})
    assert activity.used(HUNDRED) is None
    activity.add_uses(ProcessWindow(0, 60, 4, ()), {"a": 1_000_000})
    used = activity.used(HUNDRED)
    assert used is not None
    assert used.by_process == {"a": 10}


def shared(held: tuple[str, ...] = ("a", "b")) -> Books:
    books = new_books()
    learn(books, START, an_object("a"), an_object("b"))
    hear(books, START, END, {ONE: held}, replicas=2)
    return books


def minute(books: Books) -> list[ClosedWindow]:
    return close_all(books, END + LATENESS)


def paid(books: Books) -> tuple[Bill, str, int]:
    closed = minute(books)
    evidence = row_of(closed, ONE, "a").evidence
    return bill(closed), evidence.method, evidence.samples


def test_on_a_shared_gpu_the_best_source_says_how_busy_and_the_rows_say_who() -> None:
    """GPM: half of the time. Of the samples a has 60 and b 20 %, scaled down to what the device did."""
    books = shared()
    for end in range(START + SECOND, END + 1, SECOND):
        window = uses(end - SECOND, end, {1: 60, 2: 20})
        look = a_look(end, ring=[(end, 90)], uses=window, gpm=[a_span(end - SECOND, end, 50)])
        books.read_gpu(look, {1: A, 2: B})
    assert paid(books) == (
        {(ONE, "a"): (30, 22.5, 7.5, 0), (ONE, "b"): (30, 7.5, 22.5, 0)},
        "ring_process",
        60,
    )


def test_accounting_says_who_where_the_administrator_enabled_it() -> None:
    books = shared()
    for end in range(START + SECOND, END + 1, SECOND):
        rows, booked = (uses(end - SECOND, end, percents) for percents in ({1: 60, 2: 20}, {1: 20, 2: 50}))
        books.read_gpu(a_look(end, ring=[(end, 80)], uses=rows, accounting=booked), {1: A, 2: B})
    assert paid(books) == (
        {
            (ONE, "a"): (30, 12, 12, 0),
            (ONE, "b"): (30, 30, 0, 0),
            (ONE, "unattributed"): (0, 6, 0, 0),
        },
        "accounting",
        60,
    )


def test_a_spot_reading_is_the_last_resort() -> None:
    books = shared(("a", "a"))
    for end in range(START + SECOND, END + 1, SECOND):
        books.read_gpu(a_look(end, rate=a_span(end - SECOND, end, 50), memory={1: 5}), {1: A})
    assert paid(books)[0] == {(ONE, "a"): (60, 30, 30, 0)}
    assert paid(shared())[1] == ""


def test_what_an_exporter_says_of_a_whole_gpu_counts() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]})
    for end in range(START + 15 * SECOND, END + 1, 15 * SECOND):
        spans = {ONE: (a_span(end - 15 * SECOND, end, 20, sm_percent=10),)}
        books.read_dcgm(DcgmReading(an_instant(end), spans))
    closed = minute(books)
    assert bill(closed) == {(ONE, "a"): (60, 12, 48, 0)}
    row = row_of(closed, ONE, "a")
    assert (row.evidence.method, row.evidence.samples) == ("dcgm", 4)
    assert (row.measures.sm_active_ns, row.measures.tensor_active_ns) == (6 * SECOND, None)


def test_where_nobody_could_be_identified_memory_can_not_divide_and_holders_are_equal() -> None:
    """An agent that does not see the host's processes must not call who holds a device idle."""
    books = shared()
    for end in range(START + SECOND, END + 1, SECOND):
        processes = [RunningProcess(1, 7), RunningProcess(2, 1)]
        window = uses(end - SECOND, end, {1: 60, 2: 20})
        books.read_gpu(a_look(end, ring=[(end, 80)], uses=window, processes=processes), {1: None, 2: None})
    assert paid(books) == (
        {(ONE, "a"): (30, 24, 6, 0), (ONE, "b"): (30, 24, 6, 0)},
        "equal",
        0,
    )


def test_where_one_process_alone_could_be_identified_the_others_use_is_unattributed() -> None:
    books = shared()
    for end in range(START + SECOND, END + 1, SECOND):
        processes = [RunningProcess(1, 7), RunningProcess(2, 1)]
        window = uses(end - SECOND, end, {1: 50, 2: 50})
        books.read_gpu(a_look(end, ring=[(end, 100)], uses=window, processes=processes), {1: A})
    found, method, _ = paid(books)
    assert (found[ONE, "a"][1], found[ONE, "unattributed"][1], method) == (30, 30, "ring_process")


def test_processes_of_one_holder_and_those_of_nobody_are_summed() -> None:
    books = shared()
    who = {1: A, 2: B, 3: ProcessIdentity(3, 1, "uid-a")}
    for end in range(START + SECOND, END + 1, SECOND):
        window = uses(end - SECOND, end, {1: 10, 2: 20, 3: 30, 4: 15, 5: 25})
        books.read_gpu(a_look(end, ring=[(end, 100)], uses=window), who)
    used = {key[1]: paid[1] for key, paid in bill(minute(books)).items()}
    assert used == {"a": 24, "b": 12, "unattributed": 24}


def test_energy_that_did_not_move_is_none_that_was_drawn() -> None:
    books = new_books()
    hear(books, START, END, {ONE: ["a"]})
    for second in (0, 60):
        books.read_gpu(a_look(START + second * SECOND, energy_uj=7), {})
    assert row_of(minute(books), ONE, "a").measures.energy_uj == 0


def test_energy_is_of_who_is_alone_and_between_the_readings_next_to_the_windows_ends() -> None:
    books = new_books()
    hear(books, START, START + 2 * MINUTE, {ONE: ["a"]})
    for second in (0, 30, 90, 120, 130):
        books.read_gpu(a_look(START + second * SECOND, energy_uj=1_000 + 10 * second), {})
    closed = close_all(books, START + 2 * MINUTE + LATENESS)
    assert [row_of([window], ONE, "a").measures.energy_uj for window in closed] == [600, 600]


def test_energy_that_went_back_or_was_not_read_around_is_not_known() -> None:
    back, short = new_books(), new_books()
    for books, end in ((back, 61), (short, 59)):
        hear(books, START, END, {ONE: ["a"]})
        for second, energy in ((0, 900), (end, 100 if end == 61 else 1_000)):
            books.read_gpu(a_look(START + second * SECOND, energy_uj=energy), {})
        assert row_of(minute(books), ONE, "a").measures.energy_uj is None


def test_energy_of_several_holders_is_nobodys() -> None:
    books = shared()
    for second in range(62):
        books.read_gpu(a_look(START + second * SECOND, energy_uj=second), {})
    assert row_of(minute(books), ONE, "a").measures.energy_uj is None
