"""What is left of a batch for which there is no room."""

from collections import defaultdict

from gpucost.cost_slice import SYNTHETIC, breaches
from gpucost.identity import HolderKind, NodeId
from gpucost.wire import BatchContent, WindowSlices, batch_from_bytes, batch_from_message, batch_to_bytes

from contracts.books_by_hand import MINUTE, ONE, START, close_all, hear, new_books, watch
from gpucost_agent.abridging import SPOOL_FULL, abridging, lost
from gpucost_agent.ledger.books import ClosedWindow

NODE = NodeId("c", "n")


def a_window() -> ClosedWindow:
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: ["a", "b"]})
    watch(books, ONE, START, START + MINUTE, 20)
    return close_all(books, START + 2 * MINUTE)[0]


def test_the_time_and_the_money_of_each_gpu_stay_and_its_holders_go() -> None:
    slices = a_window().slices
    rows = lost(slices)
    charged, cost = defaultdict(int), defaultdict(int)
    for row in slices:
        charged[row.key.device.gpu_uuid] += row.time.charged_ns
        cost[row.key.device.gpu_uuid] += row.cost.nanodollars
    assert {row.key.device.gpu_uuid: row.time.unmeasured_ns for row in rows} == charged
    assert {row.key.device.gpu_uuid: row.cost.nanodollars for row in rows} == cost
    assert {row.length_ns for row in rows} == {MINUTE}
    assert {(row.key.holder.kind, row.key.holder.reason, row.flags) for row in rows} == {
        (HolderKind.UNOBSERVED, SPOOL_FULL, (SYNTHETIC,))
    }
    assert [words for row in rows for words in breaches(row)] == []
    assert lost(rows) == rows


def test_a_batch_keeps_its_number_and_how_far_it_closes() -> None:
    closed = a_window()
    start_ns = closed.interval.start_ns
    content = BatchContent(
        7, WindowSlices(start_ns, MINUTE, closed.slices), (), (), closed.interval.end_ns, "v1"
    )
    whole = batch_to_bytes(content)
    short = abridging(NODE)(whole)
    assert len(short) < len(whole)
    said = batch_from_message(batch_from_bytes(short), NODE)
    assert (said.sequence_number, said.closed_through_ns, said.price_book_version) == (
        7,
        closed.interval.end_ns,
        "v1",
    )
    assert said.slices == lost(closed.slices)
    assert abridging(NODE)(short) == short


def test_what_can_not_be_read_stays_as_it_is() -> None:
    assert abridging(NODE)(b"no batch") == b"no batch"
