"""When the kubelet is asked: what its ids mean is known once the GPUs were looked at; and what is told meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest
import structlog
from gpucost.system_clock import SystemClock
from gpucost.trouble import Retry
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from gpucost_agent.fleet_clock import FleetClock
from gpucost_agent.ledger.books import Books
from gpucost_agent.loops import holders
from gpucost_agent.loops.holders import watch_holders
from gpucost_agent.loops.room import Room
from gpucost_agent.metrics import Metrics
from gpucost_agent.readings import ClusterReading, Gpu, HoldingReading, Partition
from gpucost_agent.sources.host.host_files import HostFiles

READ, FALLEN_OFF = Gpu("GPU-1", 0, 0, "A", None), Gpu("GPU-2", -1, None, "A", None)


class Kubelet:
    """Tells when it is asked, and does not answer."""

    changed = False

    def __init__(self) -> None:
        self.asked = threading.Event()

    def read(self) -> HoldingReading:
        self.asked.set()
        raise Retry("no answer")


class Pods:
    """What tells of pods; fails as it is told to."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def latest(self) -> ClusterReading | None:
        return None


@contextmanager
def asking(
    *gpus: Gpu, pods: Pods | None = None, log: FilteringBoundLogger | None = None
) -> Iterator[tuple[Room, Kubelet]]:
    """A thread that asks a kubelet on a node with these GPUs."""
    nobody = structlog.wrap_logger(None, processors=[_drop])
    books = cast(Books, SimpleNamespace(gpus=lambda: gpus, partitions=dict))
    room = Room(books, FleetClock(SystemClock()), Metrics(), log or nobody, pods, threading.Event(), 0)
    kubelet = Kubelet()
    thread = threading.Thread(target=watch_holders, args=(room, kubelet, cast(HostFiles, None)))
    thread.start()
    try:
        yield room, kubelet
    finally:
        room.stop.set()
        thread.join(30)
        assert not thread.is_alive()


def _drop(*_: object) -> structlog.typing.EventDict:
    raise structlog.DropEvent


def test_the_kubelet_is_asked_once_each_gpu_was_looked_at() -> None:
    with asking(READ) as (room, kubelet):
        assert not kubelet.asked.wait(0.3)
        room.last_read_ns[READ.uuid] = 1
        assert kubelet.asked.wait(30)


def test_a_gpu_that_fell_off_before_this_agent_is_not_waited_for() -> None:
    with asking(FALLEN_OFF) as (_, kubelet):
        assert kubelet.asked.wait(holders.FIRST_LOOKS_S / 2)


def test_a_gpu_that_hangs_keeps_nobody_from_asking_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "FIRST_LOOKS_S", 0.2)
    with asking(READ) as (_, kubelet):
        assert kubelet.asked.wait(30)


def test_a_source_of_pods_that_fails_is_told_once_and_again_when_it_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holders, "HOLDERS_PERIOD_S", 0.2)
    heard, pods = LogCapture(), Pods()
    pods.trouble = "403: pods is forbidden"
    with asking(pods=pods, log=structlog.wrap_logger(None, processors=[heard])) as (_, kubelet):
        for trouble in (pods.trouble, pods.trouble, None, None):
            pods.trouble = trouble
            for _ in range(2):
                kubelet.asked.clear()
                assert kubelet.asked.wait(30)
    told = [(entry["event"], entry.get("reason")) for entry in heard.entries if entry.get("source") == "pods"]
    assert told == [("source_fails", "403: pods is forbidden"), ("source_works_again", None)]


def test_a_gpu_that_was_cut_anew_is_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "HOLDERS_PERIOD_S", 3600.0)
    with asking() as (room, kubelet):
        assert kubelet.asked.wait(30)
        kubelet.asked.clear()
        cut = Partition(True, (), 7, 8)
        monkeypatch.setattr(room.books, "partitions", lambda: {"GPU-1": cut})
        assert kubelet.asked.wait(30)
