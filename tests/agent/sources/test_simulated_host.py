"""The simulated kubelet, its files, NVIDIA's DRA driver's files and a dcgm-exporter, read by the real sources."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gpucost.identity import Device

from contracts.hand_clock import HandClock
from contracts.source_contract import check_holdings
from gpucost_agent.readings import Gpu, HoldingReading
from gpucost_agent.sources.dcgm import Dcgm
from gpucost_agent.sources.host.host_files import HostFiles
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.pod_resources import NodeFiles, PodResources
from simnode import host_files
from simnode.dcgm_exporter import DcgmExporter
from simnode.kubelet import Kubelet
from simnode.kubelet_answers import allocatable, listed_pods
from simnode.mapping_reader import EngineCounters
from simnode.pod_logs import PodLogs
from simnode.proc_tree import ProcTree
from simnode.scenario import load
from simnode.world import Node

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
A, B, C = (f"GPU-00000000-0000-4000-8000-00000000000{digit}" for digit in "abc")
M1, M2, M3 = (f"MIG-00000000-0000-5000-8000-00000000000{digit}" for digit in "123")

SCENARIO = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: {{version: "1.35.8", numa_nodes: 2, doubled_claims: true, %s}}
        dcgm: {{interval: 100ms, %s}}
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {A}, minor: 2}}
          - {{model: NVIDIA H100 80GB HBM3, uuid: {B}, minor: 0, replicas: 4}}
          - model: NVIDIA H100 80GB HBM3
            uuid: {C}
            minor: 1
            mig:
              - at: 0s
                instances:
                  - gi: 1
                    profile: 3g.40gb
                    start: 0
                    compute_instances: [{{ci: 0, slices: 1, uuid: {M1}}}, {{ci: 1, slices: 2, uuid: {M2}}}]
                  - {{gi: 9, profile: 1g.10gb, start: 4, compute_instances: [{{ci: 0, uuid: {M3}}}]}}
        claims:
          - {{name: mine, namespace: a, devices: [{{gpu: 0}}, {{gpu: 2, gi: 9, ci: 0}}]}}
        pods:
          - name: setting-up
            namespace: a
            containers:
              - {{name: setup, kind: init, end: 30s, gpus: [{{gpu: 1, replicas: 1}}]}}
              - {{name: mesh, kind: sidecar}}
              - {{name: main}}
          - {{name: shares, namespace: b, containers: [{{name: main, gpus: [{{gpu: 1, replicas: 2}}]}}]}}
          - {{name: parted, namespace: b, containers: [{{name: main, gpus: [{{gpu: 2, gi: 1, ci: 1}}]}}]}}
          - {{name: claims-1, namespace: a, containers: [{{name: main, claims: [mine]}}]}}
          - {{name: claims-2, namespace: a, containers: [{{name: main, claims: [mine]}}]}}
          - {{name: ended, namespace: b, end: 10s, containers: [{{name: main, gpus: [{{gpu: 2, gi: 1, ci: 0}}]}}]}}
"""

INSTANCES = {
    M1: Device(C, 1, 0, "3g.40gb", 0),
    M2: Device(C, 1, 1, "3g.40gb", 0),
    M3: Device(C, 9, 0, "1g.10gb", 4),
}


@dataclass
class Simulated:
    node: Node
    source: PodResources
    files: host_files.HostFiles
    clock: HandClock
    now_ns: int = SECOND

    def read(self) -> HoldingReading:
        reading = self.source.read()
        check_holdings(reading)
        return reading


@contextmanager
def simulated(root: Path, kind: str = "", dcgm: str = "") -> Iterator[Simulated]:
    scenario = root / "small.yaml"
    scenario.write_text(SCENARIO % (kind or "cdi: true", dcgm or "names: old"))
    loaded = load(scenario, seed=7)
    node = loaded.cluster("one").node("node-0")
    proc = ProcTree(root / "proc", root / "staging", node, loaded.seed, START)
    proc.create(SECOND)
    PodLogs(root / "host", node).create(SECOND)
    files = host_files.HostFiles(root / "host", node)
    files.create(SECOND)
    known = KnownGpus(
        tuple(Gpu(gpu.uuid, gpu.index, gpu.minor, gpu.model, None) for gpu in node.gpus), INSTANCES
    )
    names = HostFiles(root / "host").pod_name
    with tempfile.TemporaryDirectory(prefix="kubelet-") as folder:
        socket = Path(folder) / "kubelet.sock"
        clock = HandClock()
        source = PodResources(socket, lambda: known, clock, NodeFiles(root / "host", root / "proc", names))
        made = Simulated(node, source, files, clock)
        kubelet = Kubelet(
            socket, lambda: listed_pods(node, made.now_ns), lambda: allocatable(node, made.now_ns)
        )
        kubelet.start()
        try:
            yield made
        finally:
            source.close()
            kubelet.stop()


CLAIMED = (Device(A), Device(C, 9, 0, "1g.10gb", 4))
LISTED = {
    ("b", "shares", "main"): (Device(B), Device(B)),
    ("b", "parted", "main"): (Device(C, 1, 1, "3g.40gb", 0),),
    ("b", "ended", "main"): (Device(C, 1, 0, "3g.40gb", 0),),
}
CLAIMS = {("a", "claims-1", "main"): CLAIMED, ("a", "claims-2", "main"): CLAIMED}
INIT = {("a", "setting-up", "setup"): (Device(B),)}


def held(reading: HoldingReading) -> dict[tuple[str, str, str], tuple[Device | None, ...]]:
    return {
        (each.namespace, each.pod, each.container): tuple(device.device for device in each.devices)
        for each in reading.allocations
    }


@pytest.mark.parametrize(
    "kind", ["cdi: true", "cdi: false", "dra_checkpoint: false", "dra_checkpoint: false, cdi: false"]
)
def test_everyone_who_holds_something_is_found(kind: str, tmp_path: Path) -> None:
    with simulated(tmp_path, kind) as node:
        reading = node.read()
    assert held(reading) == LISTED | CLAIMS | INIT
    uids = {pod.name: pod.uid for pod in node.node.pods}
    for each in reading.allocations:
        assert each.listed is (each.container != "setup")
        assert each.pod_uid == ("" if each.pod.startswith("claims") else uids[each.pod])
    assert reading.changed_at_ns is not None
    assert not reading.claims_hidden
    assert reading.allocatable is not None
    # The plugin gives out what the DRA driver does not.
    assert {each.device for each in reading.allocatable} == {Device(B), INSTANCES[M1], INSTANCES[M2]}


def test_without_the_kubelets_checkpoint_init_containers_and_uids_are_missing(tmp_path: Path) -> None:
    with simulated(tmp_path, "checkpoint: false") as node:
        reading = node.read()
    assert held(reading) == LISTED | CLAIMS
    assert {each.pod_uid for each in reading.allocations} == {""}
    assert reading.changed_at_ns is None


def test_a_kubelet_that_lists_no_claims_shows_by_what_the_driver_prepared(tmp_path: Path) -> None:
    with simulated(tmp_path, "dynamic_resources: false") as node:
        reading = node.read()
    assert held(reading) == LISTED | INIT
    assert reading.claims_hidden


def test_a_pod_that_ended_holds_nothing_though_its_entry_stays(tmp_path: Path) -> None:
    with simulated(tmp_path) as node:
        node.read()
        node.now_ns = 15 * SECOND
        node.files.update(node.now_ns)
        reading = node.read()
        uid = next(pod.uid for pod in node.node.pods if pod.name == "ended")
        assert uid in (tmp_path / "host" / host_files.DEVICE_CHECKPOINT).read_text()
    assert ("b", "ended", "main") not in held(reading)
    assert held(reading) == {
        key: devices for key, devices in (LISTED | CLAIMS | INIT).items() if key[1] != "ended"
    }


class Exporter:
    """The exporter on an event loop of its own, with counters that the test sets."""

    def __init__(self, node: Node) -> None:
        self.counters: list[EngineCounters] = []
        self.now_ns = SECOND
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._exporter = DcgmExporter(node, lambda: self.counters, lambda: self.now_ns)
        self.url = self._exporter.url

    def take(self, second: int, *busy: tuple[tuple[int, int | None, int | None], str, float]) -> None:
        self.now_ns = second * SECOND
        self.counters = [
            EngineCounters(
                *place, uuid, self.now_ns, *(int(share * self.now_ns * part) for part in (1, 0.5, 0.25, 0.125)),
                1 << 30, 80 << 30, 5_000, 300_500,
            )
            for place, uuid, share in busy
        ]  # fmt: skip
        asyncio.run_coroutine_threadsafe(self._exporter.update(), self._loop).result(30)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._exporter.close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.mark.parametrize("kind", ["names: old, labels: old", "names: new, labels: new, sentinels: true"])
def test_an_exporter_of_old_and_new_names(kind: str, tmp_path: Path) -> None:
    engines = (
        ((0, None, None), A, 0.5),
        ((1, None, None), B, 0.75),
        ((2, 1, 0), M1, 0.9),
        ((2, 1, 1), M2, 0.3),
        ((2, 9, 0), M3, 0.0),
    )
    with simulated(tmp_path, dcgm=kind) as node:
        exporter = Exporter(node.node)
        try:
            source = Dcgm(lambda: exporter.url, node.clock)
            exporter.take(5, *engines)
            assert dict(source.read().spans) == {}
            node.clock.pass_ns(10 * SECOND)
            exporter.take(15, *engines)
            reading = source.read()
        finally:
            exporter.end()
    assert (reading.missing, reading.troubles) == ((), ())
    shares = {
        (uuid, span.gi): (span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm)
        for uuid, spans in reading.spans.items()
        for span in spans
    }
    # Of an instance of three slices, one at 90 % and two at 30 %.
    assert shares == {
        (A, None): (500_000, 250_000, 125_000, 62_500),
        (B, None): (750_000, 375_000, 187_500, 93_750),
        (C, 1): (500_000, 250_000, 125_000, 62_500),
        (C, 9): (0, 0, 0, 0),
    }
    assert {span.until_ns - span.since_ns for spans in reading.spans.values() for span in spans} == {
        10 * SECOND
    }


def test_an_exporter_of_percents_is_not_believed(tmp_path: Path) -> None:
    with simulated(tmp_path, dcgm="scale: 100") as node:
        exporter = Exporter(node.node)
        try:
            source = Dcgm(lambda: exporter.url, node.clock)
            for second in (5, 15):
                exporter.take(second, ((0, None, None), A, 0.5))
                reading = source.read()
                node.clock.pass_ns(10 * SECOND)
        finally:
            exporter.end()
    assert dict(reading.spans) == {}
    assert reading.troubles == ("above_one",)
