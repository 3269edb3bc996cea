"""What the loops say of their sources: once when one begins to fail, once when it works again."""

import threading
from collections.abc import Collection
from types import SimpleNamespace
from typing import cast

import pytest
import structlog
from structlog.testing import LogCapture

from gpucost_agent.loops.gpus import Sight
from gpucost_agent.loops.room import Complaint, Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.readings import ProcessIdentity


@pytest.fixture
def told() -> LogCapture:
    return LogCapture()


@pytest.fixture
def room(told: LogCapture) -> Room:
    log = structlog.wrap_logger(
        None, processors=[told], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    # A complaint knows the metrics and the log of its room, and nothing else.
    return cast(Room, SimpleNamespace(metrics=Metrics(), log=log, stop=threading.Event()))


class Host:
    """A /proc that holds some processes."""

    def __init__(self, *pids: int) -> None:
        self.pids = set(pids)

    def identify(self, pid: int) -> ProcessIdentity | None:
        return ProcessIdentity(pid, 1) if pid in self.pids else None

    def blindness(self, pids: Collection[int]) -> str | None:
        return None if self.pids & set(pids) else "the pod needs hostPID"


def test_a_failure_is_told_once_and_its_end_too(room: Room, told: LogCapture) -> None:
    complaint = Complaint(room, "pod_resources")
    complaint.works()
    complaint.failing("no socket")
    complaint.failing("no socket")
    complaint.failing("no answer")
    complaint.works()
    complaint.works()
    assert [(entry["event"], entry.get("reason")) for entry in told.entries] == [
        ("source_fails", "no socket"),
        ("source_fails", "no answer"),
        ("source_works_again", None),
    ]


def test_one_process_that_ended_is_no_blindness(room: Room, told: LogCapture) -> None:
    sight = Sight(room, Host(1))
    for _ in range(3):
        sight.look({7})
        sight.look({7})
        sight.look({1, 8})
    assert not told.entries


def test_lasting_blindness_names_the_remedy(room: Room, told: LogCapture) -> None:
    host = Host()
    sight = Sight(room, host)
    for _ in range(20):
        sight.look(set())
    assert not told.entries
    for _ in range(20):
        sight.look({7})
    host.pids = {7}
    sight.look({7})
    assert [entry["event"] for entry in told.entries] == ["source_fails", "source_works_again"]
    assert "hostPID" in told.entries[0]["reason"]
