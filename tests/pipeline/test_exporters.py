"""What a node's dcgm-exporter tells, whatever its version and its faults, and what is not known without one."""

import copy
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from gpucost.cost_slice import CostSlice
from gpucost.identity import HolderKind

from contracts.mapping_stage import NodeStory, Run, charged_ns, named, play, used_ns
from contracts.node_stage import SECOND

NODES = Path(__file__).with_name("exporters.yaml")
TELLING: dict[str, dict[str, object]] = {
    "old": {"interval": "2s", "names": "old", "labels": "old"},
    "new": {"interval": "2s", "names": "new", "labels": "new"},
    "blanks": {"interval": "2s", "names": "old", "sentinels": True},
    "found": {"interval": "2s", "pod": True},
}
"""Exporters to believe; the last is found by its pod, the others by their address."""
SILENT: dict[str, dict[str, object] | None] = {
    "above-one": {"interval": "2s", "scale": 1.6},
    "none": None,
    "down": {"interval": "2s", "down": [{"at": "0s"}]},
}
"""Exporters that tell nothing to believe of what is busy for three quarters of its time, or that are not there."""


def scenario() -> str:
    described = yaml.safe_load(NODES.read_text())
    nodes = described["clusters"][0]["nodes"]
    first = nodes.pop(0)
    for name, dcgm in (TELLING | SILENT).items():
        node = copy.deepcopy(first) | {"name": name, "dcgm": dcgm}
        for pod in node["pods"]:
            pod["namespace"] = name
        if dcgm is None:
            del node["dcgm"]
        nodes.append(node)
    return str(yaml.safe_dump(described))


@pytest.fixture(scope="module")
def run() -> Run:
    return play(scenario(), seconds=22, flags={"found": {"dcgm-url": ""}})


@pytest.fixture(params=list(TELLING))
def telling(run: Run, request: pytest.FixtureRequest) -> NodeStory:
    name: str = request.param
    return run.nodes[name]


@pytest.fixture(params=list(SILENT))
def silent(run: Run, request: pytest.FixtureRequest) -> NodeStory:
    name: str = request.param
    return run.nodes[name]


def settled(rows: Iterable[CostSlice]) -> list[CostSlice]:
    """Of windows that were watched; at first the exporter has no mean, and nobody says since when it holds."""
    return [row for row in rows if row.evidence.watched_ns > 4 * SECOND and row.evidence.samples]


def test_an_instance_before_hopper_is_measured_by_the_exporter(telling: NodeStory) -> None:
    rows = settled(telling.of("cut", "busy"))
    assert rows
    for row in rows:
        assert row.evidence.method == "dcgm"
        assert row.evidence.samples > 0
        watched_ns = row.time.charged_ns - row.time.unmeasured_ns
        assert 0.6 < row.time.used_ns / watched_ns < 0.9


def test_an_instance_that_does_nothing_is_idle_as_far_as_it_was_watched(telling: NodeStory) -> None:
    rows = settled(telling.of("cut", "idle"))
    assert rows
    assert used_ns(rows) == 0
    assert all(row.time.idle_ns > 0 for row in rows)


def test_columns_that_only_the_exporter_tells_are_filled(telling: NodeStory) -> None:
    for row in settled(telling.of("cut", "busy")):
        columns = (row.measures.sm_active_ns, row.measures.tensor_active_ns, row.measures.dram_active_ns)
        assert None not in columns
        for told_ns, part in zip(columns, (0.8, 0.4, 0.2), strict=True):
            assert told_ns is not None
            assert abs(told_ns - part * row.time.used_ns) < 0.1 * row.time.used_ns


def test_what_is_repeated_for_each_pod_is_counted_once(telling: NodeStory) -> None:
    shared = telling.gpus[1]
    rows = telling.on(shared)
    users = {who for who in named(row for row in rows if row.time.used_ns) if "/" in who}
    assert users == {"shared/one", "shared/two"}
    windows = {row.key.window_start_ns for row in settled(rows)}
    watched = [row for row in rows if row.key.window_start_ns in windows]
    assert 0.45 < used_ns(watched) / charged_ns(watched) < 0.75
    assert {row.evidence.method for row in settled(telling.of("shared"))} == {"ring_process"}


def test_without_one_that_is_believed_an_instance_is_not_measured_and_never_idle(silent: NodeStory) -> None:
    rows = [row for row in silent.on(silent.gpus[0]) if row.key.holder.kind is HolderKind.CONTAINER]
    by_name = {who: [row for row in rows if row.key.holder.container == who] for who in ("busy", "idle")}
    assert named(rows) == {"cut/busy", "cut/idle"}
    for row in by_name["busy"]:
        assert row.time.used_ns == row.time.idle_ns == 0
        assert row.time.unmeasured_ns == row.time.charged_ns
        assert row.evidence.method == ""
        assert row.measures.sm_active_ns is None


def test_a_whole_gpu_is_measured_by_the_driver_then(silent: NodeStory) -> None:
    shared = silent.gpus[1]
    rows = [row for row in silent.on(shared) if row.evidence.watched_ns > 4 * SECOND and row.evidence.samples]
    assert {row.evidence.method for row in rows} <= {"ring_process", "ring"}
    assert used_ns(silent.of("shared")) > 0.4 * silent.length_ns(shared)


def test_impossible_values_are_counted_and_an_exporter_that_does_not_answer_is_told_once(run: Run) -> None:
    assert run.nodes["above-one"].gauge("gpucost_source_troubles_total", source="dcgm", trouble="above_one")
    assert run.nodes["down"].log.count('"source": "dcgm_exporter"') == 1
    assert "dcgm_exporter" not in run.nodes["none"].log
    for name in TELLING:
        assert "dcgm_exporter" not in run.nodes[name].log, name


def test_no_law_is_broken(run: Run) -> None:
    for node in run.nodes.values():
        assert "law_broken" not in node.log
        assert "thread_failed" not in node.log
