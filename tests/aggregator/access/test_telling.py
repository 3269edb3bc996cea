"""What anybody outside can cause is told some times a minute, and then no more."""

from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.access.telling import MOST_A_MINUTE, Telling


def test_it_is_told_so_often_in_each_minute() -> None:
    telling = Telling()
    told = [second for second in range(180) if telling.may_tell(second * NS_PER_SECOND)]
    assert told == [60 * minute + second for minute in range(3) for second in range(MOST_A_MINUTE)]
