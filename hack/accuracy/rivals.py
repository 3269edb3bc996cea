"""What others would bill on the same node, each in its own way, as its public source has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from accuracy.expected import Time
from accuracy.truth import Device, Hold, Truth, Who

SOURCES = {
    "peer_request": "OpenCost, pkg/costmodel/costmodel.go and allocation_helpers.go: GPUHours ="
    " container_gpu_allocation x time, of requests for nvidia.com/gpu; each replica counts as a GPU,"
    " mig-* and claims as none",
    "peer_gauge": "dcgm-exporter with --kubernetes-virtual-gpus, internal/pkg/transformation/kubernetes.go: each holder"
    " has the whole device's gauge; here nvmlDeviceGetUtilizationRates, as DCGM_FI_DEV_GPU_UTIL is",
    "peer_last_second": "nvitop-exporter, nvitop/api/device.py (processes), and HAMi-core,"
    " src/multiprocess/multiprocess_utilization_watcher.c: process samples of the last second, at each scrape",
}
"""A scrape each 15 s stands for 15 s, as in a Prometheus with its usual interval. PIDs are given their true owners."""

Readings = Mapping[tuple[Device, Who], float | None]


def requests(truth: Truth, time: Time) -> dict[tuple[Device, Who], float]:
    """Request x hours, in nanoseconds of a whole GPU."""
    found: dict[tuple[Device, Who], float] = defaultdict(float)
    for key, device in truth.devices.items():
        for who in device.everybody():
            found[key, who] = 0.0
        for hold in device.holds:
            length = min(hold.until_ns, time.end_ns) - max(hold.since_ns, time.begin_ns)
            found[key, hold.who] += max(0, length) * _requested(key, hold)
    return found


def _requested(key: Device, hold: Hold) -> int:
    return 0 if key.gi is not None or hold.claim or hold.hidden else hold.replicas


def gauges(truth: Truth, scrapes: Iterable[Mapping[str, Any]], time: Time, every_ns: int) -> Readings:
    """The device's spot reading for everybody who holds it, times the interval; None where there is no reading."""
    found: dict[tuple[Device, Who], float | None] = {}
    for key, who in ((key, who) for key, device in truth.devices.items() for who in device.everybody()):
        found[key, who] = None if key.gi is not None else 0.0
    for line in scrapes:
        key = Device(line["gpu_uuid"])
        if (
            line["gauge"] is None
            or not time.begin_ns <= line["at_ns"] < time.end_ns
            or key not in truth.devices
        ):
            continue
        for hold in truth.devices[key].holds:
            if hold.since_ns <= line["at_ns"] < hold.until_ns:
                found[key, hold.who] = (found[key, hold.who] or 0.0) + line["gauge"] * every_ns / 100
    return found


def last_seconds(truth: Truth, scrapes: Iterable[Mapping[str, Any]], time: Time, every_ns: int) -> Readings:
    """Each process's share of the last second, times the interval; None where the driver tells none."""
    found: dict[tuple[Device, Who], float | None] = {}
    silent: set[str] = set()
    for line in scrapes:
        if not time.begin_ns <= line["at_ns"] < time.end_ns:
            continue
        if line["processes"] is None:
            silent.add(line["gpu_uuid"])
            continue
        for pid, percent in line["processes"]:
            whose = truth.pids.get((line["gpu_uuid"], pid))
            if whose is not None:
                found[whose] = (found.get(whose) or 0.0) + percent * every_ns / 100
    for key, device in truth.devices.items():
        for who in device.everybody():
            if key.gi is not None or key.gpu_uuid in silent:
                found[key, who] = None
            else:
                found.setdefault((key, who), 0.0)
    return found
