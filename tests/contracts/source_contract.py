"""What every source of readings keeps, the real ones and those that stand in for them."""

from collections.abc import Sequence
from itertools import pairwise

from gpucost_agent.readings import ClusterReading, GpuReading, HoldingReading

PPM = 1_000_000


def check_gpu_readings(readings: Sequence[GpuReading], first_look_ns: int) -> None:
    """*readings* are all those of one reader, in their order, without a step of the clock."""
    assert len({reading.gpu_uuid for reading in readings}) == 1
    assert all(a.read_at.monotonic_ns <= b.read_at.monotonic_ns for a, b in pairwise(readings))
    samples = [sample for reading in readings for sample in reading.ring or ()]
    # Each sample once, in order, and none of before the first look.
    assert all(a.ended_at_ns < b.ended_at_ns for a, b in pairwise(samples))
    assert all(sample.ended_at_ns >= first_look_ns // 1_000 * 1_000 for sample in samples)
    assert all(0 <= sample.busy_ppm <= PPM for sample in samples)
    windows = [reading.process_window for reading in readings if reading.process_window is not None]
    assert all(a.until_ns <= b.since_ns for a, b in pairwise(windows)), "windows do not overlap"
    for window in windows:
        covered = [s for s in samples if window.since_ns < s.ended_at_ns <= window.until_ns]
        assert len(covered) == window.samples > 0
        assert covered[-1].ended_at_ns == window.until_ns
        busy = sum(sample.busy_ppm for sample in covered)
        assert sum(use.busy_ppm for use in window.uses) * window.samples <= busy
        assert all(0 <= use.busy_ppm <= PPM and use.pid > 0 for use in window.uses)
        pids = [use.pid for use in window.uses]
        assert sorted(set(pids)) == pids
    for reading in readings:
        if reading.process_window is not None:
            assert reading.ring is not None
        for span in reading.gpm:
            assert span.since_ns < span.until_ns <= reading.read_at.wall_ns
            shares = (span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm)
            assert any(share is not None for share in shares)
            assert all(0 <= share <= PPM for share in shares if share is not None)
        whole = reading.partition is None or not reading.partition.mig
        missing = (reading.partition, reading.processes, reading.energy_uj)
        # A GPU in MIG mode has no ring, and that is no trouble.
        if None in missing or (whole and reading.ring is None):
            assert reading.troubles, "what is missing has a name"
        assert len(set(reading.troubles)) == len(reading.troubles)


def check_holdings(reading: HoldingReading) -> None:
    """Each id once in a container, and no container without one."""
    for allocation in reading.allocations:
        assert allocation.namespace
        assert allocation.pod
        assert allocation.container
        ids = [(device.resource, device.raw) for device in allocation.devices]
        assert ids
        assert len(set(ids)) == len(ids)
    names = [(a.namespace, a.pod, a.container) for a in reading.allocations]
    assert len(set(names)) == len(names)
    if reading.allocatable is not None:
        ids = [(device.resource, device.raw) for device in reading.allocatable]
        assert len(set(ids)) == len(ids)


def check_cluster(reading: ClusterReading) -> None:
    """Each pod once, by UID; the living have names of their own."""
    uids = [pod.uid for pod in reading.pods]
    assert len(set(uids)) == len(uids)
    living = [(pod.namespace, pod.name) for pod in reading.pods if pod.deleted_at_ns is None]
    assert len(set(living)) == len(living)
    assert all("://" not in container.container_id for pod in reading.pods for container in pod.containers)
