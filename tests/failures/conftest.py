"""All runs, once for all tests of this folder."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from contracts.failing_run import Run, play_clock, play_days, play_failures


@pytest.fixture(scope="session")
def runs() -> dict[str, Run]:
    """By name; all at the same time, but for their beginnings, which are most of the work."""
    found: dict[str, Run] = {}
    troubles: list[BaseException] = []
    begun = Event()

    def go(name: str, play: Callable[[], Run]) -> None:
        try:
            found[name] = play()
        except BaseException as trouble:  # noqa: BLE001 - raised again below
            troubles.append(trouble)
        finally:
            begun.set()

    first = Thread(target=go, args=("failures", lambda: play_failures(begun)))
    others = [Thread(target=go, args=each) for each in (("clock", play_clock), ("days", play_days))]
    first.start()
    begun.wait()
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join()
    if troubles:
        raise troubles[0]
    return found


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    """Where the driver and the cluster fail."""
    return runs["failures"]
