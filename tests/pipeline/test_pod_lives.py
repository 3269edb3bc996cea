"""Pods that live for seconds, wait for each other or come again: who held what, against what really happened."""

import copy
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from contracts.mapping_stage import NodeStory, Run, charged_ns, named, play, reserved_ns
from contracts.node_stage import SECOND

NODES = Path(__file__).with_name("pod_lives.yaml")
KINDS: dict[str, dict[str, object]] = {"told": {}, "by-files": {}, "old": {"version": "1.30.4"}}
"""The kubelet of each node, by its name; the agent of one asks no API server."""
NEAR_NS = 2 * SECOND
"""A kubelet is asked each second, and the API server cuts times to seconds."""
UNTOLD = ("by-files", "fetches")
"""Files do not tell when an init container has ended: there the container that is listed holds the GPU."""

Hold = tuple[str, str, str]
"""A pod's UID, a container, and a GPU."""


def scenario(lead_s: int) -> str:
    text = re.sub(r"T\+(\d+)s", lambda found: f"{lead_s + int(found[1])}s", NODES.read_text())
    described = yaml.safe_load(text)
    nodes = described["clusters"][0]["nodes"]
    first = nodes.pop()
    for name, kubelet in KINDS.items():
        node = copy.deepcopy(first) | {"name": name, "kubelet": kubelet}
        for pod in node["pods"]:
            pod["namespace"] = name
        nodes.append(node)
    return str(yaml.safe_dump(described))


@pytest.fixture(scope="module")
def run() -> Run:
    return play(scenario, seconds=16, flags={"by-files": {"kube-api": "none"}})


@pytest.fixture(params=list(KINDS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def node(run: Run, name: str) -> NodeStory:
    return run.nodes[name]


def truly_held(run: Run, name: str) -> dict[Hold, int]:
    """GPU-time that each container really held of each GPU while the agent kept books."""
    node, held = run.nodes[name], defaultdict[Hold, int](int)
    for line in run.truth:
        if line["kind"] == "hold" and line["node"] == name:
            begin_ns = max(line["since_ns"], node.end_ns - node.length_ns(line["gpu_uuid"]))
            length_ns = max(0, min(line["until_ns"], node.end_ns) - begin_ns)
            part_ns = length_ns * len(line["replicas"]) // line["of_replicas"]
            container = "main" if (name, line["pod"]) == UNTOLD else line["container"]
            held[line["pod_uid"], container, line["gpu_uuid"]] += part_ns
    return held


def test_who_held_what_and_for_how_long(run: Run, name: str) -> None:
    node, held = run.nodes[name], truly_held(run, name)
    assert len(held) >= 10
    found = defaultdict[Hold, int](int)
    for row in node.slices:
        if row.key.holder.pod and row.time.reserved_ns:
            holder = row.key.holder
            found[holder.pod_uid, holder.container, row.key.device.gpu_uuid] += row.time.reserved_ns
    assert found.keys() == held.keys()
    apart = {hold: (found[hold] - held[hold]) / SECOND for hold in held}
    assert max(abs(seconds) for seconds in apart.values()) <= NEAR_NS / SECOND, apart


def test_who_ends_while_it_works_is_no_shadow(node: NodeStory) -> None:
    assert {row.flags for row in node.slices} == {()}
    assert not any(row.key.holder.pod and not row.key.holder.container for row in node.slices)


def test_the_name_of_a_dead_pod_is_not_the_dead_pod(run: Run, node: NodeStory) -> None:
    uids = list(dict.fromkeys(row.key.holder.pod_uid for row in node.of("again")))
    assert len(uids) == len(set(uids)) == 2
    assert "" not in uids
    first, second = ([row for row in node.of("again") if row.key.holder.pod_uid == uid] for uid in uids)
    assert max(row.key.window_start_ns for row in first) <= min(row.key.window_start_ns for row in second)
    assert "unallocated" in named(node.on(node.gpus[3]))


def test_a_sidecar_holds_the_gpu_that_it_asked_for(node: NodeStory) -> None:
    assert named(node.on(node.gpus[1])) == {"proxied/side"}


def test_an_init_container_pays_for_its_own_time(node: NodeStory) -> None:
    assert named(node.on(node.gpus[0])) - {"unattributed"} == {"fetches/fetch", "fetches/main", "unallocated"}
    assert named(node.on(node.gpus[4])) - {"unattributed"} == {"prepares/prepare", "unallocated"}
    apart_ns = charged_ns(node.of("fetches")) - reserved_ns(node.of("fetches"))
    assert abs(apart_ns) < SECOND // 2, "but for what was used just before and after it was held"


def test_no_law_is_broken(node: NodeStory) -> None:
    assert "law_broken" not in node.log
    assert "thread_failed" not in node.log
