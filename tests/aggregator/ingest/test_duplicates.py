"""Two agents of one name: told once in ten minutes, and shown as long as they are at it."""

from contracts.ledger_rows import NODE
from gpucost_aggregator.ingest.duplicates import SPAN_NS, TAKEOVERS, Duplicates

MINUTE_NS = SPAN_NS // 10


def test_they_are_told_once_in_ten_minutes() -> None:
    duplicates = Duplicates()
    told = [minute for minute in range(30) if duplicates.took_over(NODE, minute * MINUTE_NS)]
    assert told == [TAKEOVERS - 1, TAKEOVERS + 9, TAKEOVERS + 19]
    assert duplicates.now(29 * MINUTE_NS) == (NODE,)


def test_restarts_that_lie_apart_are_none() -> None:
    duplicates = Duplicates()
    for number in range(2 * TAKEOVERS):
        assert not duplicates.took_over(NODE, number * SPAN_NS // (TAKEOVERS - 1))
    assert duplicates.now(TAKEOVERS * SPAN_NS) == ()
