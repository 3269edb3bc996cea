"""What a scenario may say, what it draws, and how it complains."""

import re
from pathlib import Path

import pytest

from simnode.scenario import Constant, Hold, Nothing, ScenarioError, living, load, processes

DEMO = Path(__file__).resolve().parents[2] / "hack/scenarios/demo.yaml"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

HEAD = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        gpus:
          - {model: NVIDIA H100 80GB HBM3, replicas: 2}
          - {model: NVIDIA H100 80GB HBM3}
"""


def scenario(folder: Path, rest: str, seed: int | None = None):
    file = folder / "s.yaml"
    file.write_text(HEAD + rest)
    return load(file, seed)


def pod(name: str, container: str, more: str = "") -> str:
    return f"          - {{name: {name}, namespace: a, {more}containers: [{{name: x, {container}}}]}}\n"


def test_the_demo_loads_with_its_defaults():
    demo = load(DEMO)
    node = demo.cluster("prod-us").node("us-gpu-0")
    assert (demo.seed, demo.window_seconds, node.booted_ns) == (1, 10, 0)
    assert (node.driver.sample_period_ns, node.driver.ring_depth) == (167_000_000, 72)
    assert [gpu.memory_mib for gpu in node.gpus] == [81559] * 3
    assert {n.name for n in demo.clusters[0].namespaces} >= {"chat", "training", "kube-system"}
    assert node.pods[2].containers[0].processes[0].busy == Nothing()
    assert node.pods[1].containers[0].processes[0].busy == Constant(0.08)
    trainer = node.pods[3].containers[0].processes[0]
    assert (trainer.start_ns, trainer.end_ns) == (8 * 10**9, 37 * 10**9)


def test_draws_depend_on_seed_and_path_only():
    first, same, other = load(DEMO, 7), load(DEMO, 7), load(DEMO, 8)
    assert first == same
    uuids = [[g.uuid for c in s.clusters for n in c.nodes for g in n.gpus] for s in (first, other)]
    assert not set(uuids[0]) & set(uuids[1])
    assert all(UUID.fullmatch(uuid.removeprefix("GPU-")) for uuid in uuids[0])
    assert (
        first.clusters[0].nodes[0].pods[0].containers[0].id
        != other.clusters[0].nodes[0].pods[0].containers[0].id
    )


def test_replicas_of_holders_at_the_same_time_differ(tmp_path):
    for seed in range(8):
        pods = (
            pod("p", "gpus: [0]", "end: 10s, ")
            + pod("q", "gpus: [0]")
            + pod("r", "gpus: [0]", "start: 10s, ")
        )
        node = scenario(tmp_path, "        pods:\n" + pods, seed).clusters[0].nodes[0]
        numbers = [p.containers[0].holds[0].replicas[0] for p in node.pods]
        assert numbers[0] != numbers[1]
        assert numbers[2] == numbers[0]
        assert node.gpus[0].device_ids(Hold(0, (1,))) == (f"{node.gpus[0].uuid}::1",)
        assert node.gpus[1].device_ids(Hold(1, (0,))) == (node.gpus[1].uuid,)


def test_a_repeating_entry_is_many_processes_with_their_own_pids(tmp_path):
    spec = "processes: [{gpu: 0, start: 1s, every: 10s, for: 4s}, {gpu: 0, pid: 100500}]"
    node = scenario(tmp_path, "        pods:\n" + pod("p", spec, "end: 34s, ")).clusters[0].nodes[0]
    found = list(processes(node, 10**15))
    spans = [(p.start_ns // 10**9, p.end_ns // 10**9) for p in found if p.spec.pid is None]
    assert spans == [(1, 5), (11, 15), (21, 25), (31, 34)]
    assert len({p.pid for p in found}) == 5
    assert {p.pid for p in living(node, 12 * 10**9)} == {100500, found[2].pid}
    assert {p.pid for p in living(node, 15 * 10**9)} == {100500}


def test_drawn_pids_never_meet_those_that_are_named(tmp_path):
    hosts = "".join(f"          - {{gpu: 0, pid: {100_000 + i}, memory_mib: 0}}\n" for i in range(40))
    hosts += "          - {gpu: 0, memory_mib: 0, every: 1s, for: 1s}\n"
    node = scenario(tmp_path, "        host_processes:\n" + hosts).clusters[0].nodes[0]
    found = [p.pid for p in processes(node, 3000 * 10**9)]
    assert len(found) == len(set(found)) == 3040


BAD = [
    ("        pods:\n" + pod("p", "gpus: [2]"), "10:67: GPU 2 does not exist; this node's GPUs are 0 to 1"),
    (
        "        pods:\n" + pod("p", "gpus: [1]") + pod("q", "gpus: [1]"),
        "11:67: GPU 1 has one replica, 1 held",
    ),
    ("        pods:\n" + pod("p", "gpus: [{gpu: 0, replicas: 3}]"), "10:67: GPU 0 has 2 replicas, 0 held"),
    ("        pods:\n" + pod("p", "gpu: [0]"), "10:60: a container has no key `gpu`; did you mean `gpus`?"),
    ("        pods:\n" + pod("p", "gpus: 0"), "10:66: gpus must be a list"),
    ("        pods:\n" + pod("p", "gpus: []") * 2, "11:13: a pod a/p lives already"),
    ("        pods:\n" + pod("p", "gpus: []", "start: 5s, end: 5s, "), "end must be after its start"),
    ("        pods:\n" + pod("p", "processes: [{gpu: 0, end: 9s}]", "end: 8s, "), "nothing outlives its pod"),
    ("        pods:\n" + pod("P_1", "gpus: []"), "10:20: a pod's name must be a Kubernetes name"),
    ("        host_processes: [{gpu: 0, every: 2s}]\n", "9:26: `every` and `for` belong together"),
    ("        host_processes: [{gpu: 0, every: 1s, for: 2s}]\n", "every must not be shorter than for"),
    ("        host_processes: [{gpu: 0, pid: 9}, {gpu: 0, pid: 9}]\n", "9:44: PID 9 is another living"),
    ("        host_processes: [{gpu: 0, memory_mib: 90000}]\n", "lower a memory_mib"),
    ("        host_processes: [{gpu: 0, start: soon}]\n", "9:42: a process's start must be a time such as"),
    ("        host_processes: [{gpu: 0, busy: {pattern: duty, on_ms: 3}}]\n", "needs `period_ms`"),
    ("        host_processes: [{gpu: 0, busy: {pattern: wild}}]\n", "must be one of none, constant"),
    ("        host_processes: [{gpu: 0, busy: {pattern: constant, share: 2}}]\n", "at most 1, not 2"),
    ("        host_processes: [{gpu: 0, busy: {pattern: constant, share: .nan}}]\n", "share must be"),
    ("        driver: {owner: first}\n", "9:25: owner must be one of proportional"),
    ("        labels: {a: 1}\n", "9:21: the value of `a` in labels must be text"),
    ("        booted: 3s\n", "9:17: booted must not be after the start"),
    ("      - {name: n, gpus: [{model: NVIDIA L4}]}\n", "9:16: there is a node n already"),
    ("      - {name: m, gpus: [{model: Foo}]}\n", "9:26: the memory of 'Foo' is not known; add `memory_mib`"),
    ("      - {name: m, gpus: [{model: NVIDIA L4, uuid: gpu-1}]}\n", "uuid must look like GPU-"),
    ("        region: eu\n        region: us\n", "10:9: the key `region` stands here twice"),
    ("        pods: [\n", "not YAML: "),
]


@pytest.mark.parametrize(("rest", "complaint"), BAD)
def test_what_is_wrong_is_named_with_its_place(tmp_path, rest, complaint):
    with pytest.raises(ScenarioError) as caught:
        scenario(tmp_path, rest)
    assert re.match(rf"{re.escape(str(tmp_path))}/s\.yaml:\d+:\d+: ", str(caught.value))
    assert complaint in str(caught.value)


def test_no_file_and_an_empty_file(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.yaml:1:1: the scenario cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ScenarioError, match="the scenario is empty"):
        load(tmp_path / "empty.yaml")
