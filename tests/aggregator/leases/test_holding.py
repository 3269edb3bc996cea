"""The lease of a running program: by its settings, tried for again and again, and left for the next one at its end."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from gpucost.system_clock import SystemClock

from contracts.lease_api import LeaseApi, lease_api
from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.lease import Lease
from gpucost_aggregator.replica_settings import LeaseName, ReplicaSettings
from gpucost_aggregator.replicas import ReplicaParts, lease_of, replica_name

SETTINGS = ReplicaSettings(lease=LeaseName("gpucost", "aggregator"))
LEFT = {"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 7}


def parts(counts: Counts, readers: ThreadPoolExecutor) -> ReplicaParts:
    return ReplicaParts(replica_name(), readers, SystemClock(), counts, structlog.get_logger())


async def until_held(lease: Lease) -> None:
    while not lease.is_held():
        await asyncio.sleep(0.005)


async def two_after_each_other(api: LeaseApi, server: ApiServer) -> None:
    counts = Counts()
    with ThreadPoolExecutor(1) as readers:
        for number in (1, 2):
            here = parts(counts, readers)
            async with asyncio.timeout(60), lease_of(SETTINGS, here, server, step_s=0.01) as lease:
                await until_held(lease)
                assert api.spec()["holderIdentity"] == here.replica
            assert not lease.is_held()
            assert (api.spec()["holderIdentity"], api.spec()["leaseTransitions"]) == ("", 7 + number)
    assert (counts.lease.taken, counts.lease.lost, counts.lease.failures) == (2, 0, 0)


def test_it_is_tried_for_and_left(tmp_path: Path) -> None:
    with lease_api(tmp_path) as (api, server):
        api.put("aggregator", LEFT)
        asyncio.run(two_after_each_other(api, server))


async def without_one() -> None:
    with ThreadPoolExecutor(1) as readers:
        async with lease_of(ReplicaSettings(), parts(Counts(), readers)) as lease:
            assert lease.is_held()
        assert not lease.is_held()


def test_without_a_name_it_is_the_stores() -> None:
    asyncio.run(without_one())


def test_no_two_processes_have_one_name() -> None:
    assert len({replica_name() for _ in range(100)}) == 100
