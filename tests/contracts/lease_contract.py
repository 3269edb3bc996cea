"""What every lease promises; inherit it and give a fixture ``stage``."""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from gpucost_aggregator.lease import Lease


class Candidate(Lease, Protocol):
    """A lease, and the process that wants it."""

    def end(self) -> None:
        """It stops, in order."""
        ...

    def die(self) -> None:
        """It is killed."""
        ...


class LeaseStage(Protocol):
    """Where several want one lease."""

    def join(self) -> Candidate:
        """One more process."""
        ...

    def go_on(self) -> None:
        """All that are left try for it, until nothing changes any more."""
        ...

    def cut(self) -> None:
        """Whoever has to be asked for it is away from now on."""
        ...


class LeaseContract:
    """Inherit it; every test gets a fresh ``stage``."""

    def test_the_only_one_holds_it(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.go_on()
        assert one.is_held()

    def test_of_two_the_first_one_does(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.go_on()
        other = stage.join()
        stage.go_on()
        assert (one.is_held(), other.is_held()) == (True, False)

    def test_who_comes_at_the_same_time_does_not_hold_it_together(self, stage: LeaseStage) -> None:
        all_of_them = [stage.join() for _ in range(3)]
        for _ in range(3):
            stage.go_on()
            assert [each.is_held() for each in all_of_them].count(True) == 1

    def test_after_an_end_another_one_does(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.go_on()
        other = stage.join()
        one.end()
        assert (one.is_held(), other.is_held()) == (False, False)
        stage.go_on()
        assert (one.is_held(), other.is_held()) == (False, True)

    def test_after_a_death_another_one_does(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.go_on()
        other = stage.join()
        stage.go_on()
        one.die()
        stage.go_on()
        assert other.is_held()

    def test_any_thread_may_ask(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.go_on()
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda _: one.is_held(), range(200))) == {True}

    def test_it_says_so_where_nobody_can_be_asked(self, stage: LeaseStage) -> None:
        one = stage.join()
        stage.cut()
        stage.go_on()
        assert one.is_held() in (True, False)
        one.end()
        assert not one.is_held()
