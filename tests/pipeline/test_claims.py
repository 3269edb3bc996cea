"""Resource claims from what a node tells of them to the slices' holders."""

import copy
from pathlib import Path

import pytest
import yaml
from gpucost.identity import HolderKind

from contracts.mapping_stage import NodeStory, Run, charged_ns, named, play, reserved_ns

NODES = Path(__file__).with_name("claims.yaml")
WAYS: dict[str, dict[str, object]] = {
    "written": {},
    "by-cdi": {"dra_checkpoint": False},
    "by-name": {"dra_checkpoint": False, "cdi": False},
    "without-state": {"dra_checkpoint": True, "checkpoint": False},
    "doubled": {"doubled_claims": True},
    "doubled-by-cdi": {"doubled_claims": True, "dra_checkpoint": False},
}
"""How the node's kubelet and driver tell of claims, by the node's name."""


def scenario() -> str:
    described = yaml.safe_load(NODES.read_text())
    nodes = described["clusters"][0]["nodes"]
    first = nodes.pop(0)
    for name, kubelet in (*WAYS.items(), ("without-api", {})):
        node = copy.deepcopy(first) | {"name": name, "kubelet": kubelet}
        for entry in node["claims"] + node["pods"]:
            entry["namespace"] = name
        nodes.append(node)
    return str(yaml.safe_dump(described))


@pytest.fixture(scope="module")
def run() -> Run:
    return play(scenario(), seconds=8, flags={"without-api": {"kube-api": "none"}})


@pytest.fixture(params=[*WAYS, "without-api"])
def node(run: Run, request: pytest.FixtureRequest) -> NodeStory:
    name: str = request.param
    return run.nodes[name]


def test_a_claimed_gpu_is_that_of_its_name_and_of_each_container_that_refers_to_it(node: NodeStory) -> None:
    first = node.gpus[0]
    assert named(node.on(first)) == {"one/main"}
    assert {row.key.device.is_whole for row in node.on(first)} == {True}
    assert reserved_ns(node.of("one")) == charged_ns(node.of("one")) == node.length_ns(first)
    assert all(row.key.holder.pod_uid for row in node.of("one"))
    assert not node.of("one", "helper")


def test_two_pods_that_share_a_claim_pay_for_it_once(node: NodeStory) -> None:
    second = node.gpus[1]
    assert named(node.on(second)) == {"left/main", "right/main"}
    left, right = reserved_ns(node.of("left")), reserved_ns(node.of("right"))
    assert left + right == node.length_ns(second)
    assert abs(left - right) <= len(node.of("left"))
    assert {row.flags for row in node.on(second)} == {("oversubscribed",)}


def test_instances_that_were_made_for_a_claim_are_held_by_it_and_no_others(node: NodeStory) -> None:
    third = node.gpus[2]
    held = {(row.key.device.gi, row.key.device.ci, row.key.device.profile) for row in node.of("cut")}
    assert held == {(2, 0, "3g.40gb"), (7, 0, "1g.10gb")}
    free = {row.key.device.profile for row in node.on(third)} - {profile for _, _, profile in held}
    assert free == {"2g.20gb", "remainder"}
    assert named(node.on(third)) == {"cut/main", "unallocated"}
    for gi in (2, 7):
        rows = [row for row in node.on(third) if row.key.device.gi == gi]
        assert named(rows) == {"cut/main"}


def test_a_gpu_that_nobody_claimed_is_free(node: NodeStory) -> None:
    assert named(node.on(node.gpus[3])) == {"unallocated"}


def test_a_kubelet_that_hides_claims_makes_no_gpu_free(run: Run) -> None:
    node = run.nodes["hidden"]
    assert named(node.on(node.gpus[1])) == {"plain/main"}
    for uuid in (node.gpus[0], node.gpus[2]):
        assert named(node.on(uuid)) == {"unobserved claims_hidden"}
    assert node.by(HolderKind.UNALLOCATED) == ()
    assert node.log.count('"claims_hidden"') == 1


def test_no_law_is_broken_and_no_id_is_left_over(node: NodeStory) -> None:
    assert "law_broken" not in node.log
    assert "thread_failed" not in node.log
    assert "device_ids_unmapped" not in node.log
    assert node.gauge("gpucost_unmapped_device_ids") == 0
