"""MIG layouts as a scenario says them: what is drawn, what goes on, and what is refused."""

import re

import pytest

from simnode.engines import timeline
from simnode.mig_profiles import PARTITIONINGS
from simnode.scenario import ScenarioError, load, processes

SECOND = 10**9

HEAD = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        gpus:
          - model: NVIDIA H100 80GB HBM3
            mig:
"""


def node(folder, layouts: str, rest: str = ""):
    file = folder / "s.yaml"
    file.write_text(HEAD + layouts + rest)
    return load(file).clusters[0].nodes[0]


LAYOUTS = """\
              - {at: 5s, instances: [{gi: 1, profile: 3g.40gb}, {gi: 9, profile: 1g.10gb}]}
              - {at: 10s, instances: [{gi: 9, profile: 1g.10gb}, {gi: 1, profile: 3g.40gb}]}
              - {at: 20s, instances: [{gi: 9, profile: 1g.10gb}]}
              - {at: 30s, instances: [{gi: 9, profile: 1g.10gb}, {gi: 1, profile: 3g.40gb}]}
              - {at: 40s, off: true}
"""


def test_an_instance_goes_on_while_layouts_have_it(tmp_path):
    gpu = node(tmp_path, LAYOUTS).gpus[0]
    found = [
        (e.instance.gi, e.instance.start, e.begin_ns // SECOND, e.end_ns // SECOND)
        for e in timeline(gpu).engines
    ]
    assert found == [(1, 0, 5, 20), (9, 4, 5, 40), (1, 0, 30, 40)]
    uuids = [engine.part.uuid for engine in timeline(gpu).engines]
    assert len(set(uuids)) == 3
    assert all(re.fullmatch(r"MIG-[0-9a-f]{8}-[0-9a-f]{4}-4[-0-9a-f]+", uuid) for uuid in uuids)
    assert [(home.instance.gi, home.begin_ns // SECOND) for home in timeline(gpu).homes] == [
        (1, 5),
        (9, 5),
        (1, 30),
    ]
    assert timeline(gpu).whole == ((0, 5 * SECOND), (40 * SECOND, None))
    assert gpu.layout(SECOND) is gpu.layout(40 * SECOND) is None


def test_a_uuid_of_its_own_makes_an_instance_anew(tmp_path):
    named = "{{gi: 0, profile: 7g.80gb, compute_instances: [{{uuid: MIG-00000000-0000-4000-8000-{:012d}}}]}}"
    layouts = "".join(
        f"              - {{at: {at}s, instances: [{named.format(number)}]}}\n"
        for at, number in ((0, 1), (10, 1), (20, 2))
    )
    engines = timeline(node(tmp_path, layouts).gpus[0]).engines
    assert [(e.begin_ns // SECOND, e.end_ns and e.end_ns // SECOND, e.part.uuid[-1]) for e in engines] == [
        (0, 20, "1"),
        (20, None, "2"),
    ]


def test_a_process_ends_with_its_instance(tmp_path):
    host = """\
        host_processes:
          - {gpu: 0, pid: 50}
          - {gpu: 0, pid: 51, gi: 9, start: 6s}
          - {gpu: 0, gi: 1, start: 31s, every: 3s, for: 2s}
"""
    layouts = LAYOUTS.replace("1g.10gb}", "1g.10gb, start: 0}").replace("3g.40gb}", "3g.40gb, start: 4}")
    found = [
        (p.start_ns // SECOND, p.end_ns // SECOND) for p in processes(node(tmp_path, layouts, host), 10**15)
    ]
    assert found == [(0, 5), (6, 40), (31, 33), (34, 36), (37, 39)]


def test_the_table_of_profiles_fits_itself():
    for model, plan in PARTITIONINGS.items():
        assert len({profile.id for profile in plan.profiles.values()}) == len(plan.profiles), model
        for name, profile in plan.profiles.items():
            assert name.startswith(f"{profile.slices}g."), name
            assert max(profile.starts) + profile.size <= plan.memory_slices
            assert profile.slices * profile.most <= plan.slices
    assert (PARTITIONINGS["NVIDIA A30"].slices, PARTITIONINGS["NVIDIA A30"].memory_slices) == (4, 4)
    assert (PARTITIONINGS["NVIDIA H200"].slices, PARTITIONINGS["NVIDIA H200"].memory_slices) == (7, 8)


ONE = "              - {at: 5s, instances: [INSTANCES]}\n"
BAD = [
    ("{gi: 1}", "9:38: an instance needs `profile`"),
    ("{gi: 1, profile: 3g.20gb}", "has no profile 3g.20gb (1g.10gb, 1g.10gb+me"),
    ("{gi: 1, profile: 3g.40gb}, {gi: 1, profile: 1g.10gb}", "9:65: this layout has an instance 1 already"),
    ("{gi: 1, profile: 3g.40gb, start: 6}", "ends past the GPU's 8 memory slices"),
    (
        "{gi: 1, profile: 3g.40gb, start: 4}, {gi: 2, profile: 2g.20gb, start: 4}",
        "lies on another one's memory slices",
    ),
    ("{gi: 1, profile: 4g.40gb}, {gi: 2, profile: 4g.40gb}", "there is no free place"),
    (
        "{gi: 1, profile: 4g.40gb}, {gi: 2, profile: 4g.40gb, start: 4}",
        "more than the GPU's 7 compute slices",
    ),
    ("{gi: 1, profile: 3g.40gb, compute_instances: [{slices: 2}, {slices: 2}]}", "more slices than the 3"),
    ("{gi: 1, profile: 3g.40gb, compute_instances: [{ci: 1}, {ci: 1}]}", "a compute instance 1 already"),
    ("{gi: 1, profile: 3g.40gb, id: '{uuid}/{replicas}'}", "id may name {uuid}, {minor}"),
    ("{gi: 1, profile: 3g.40gb, id: x, compute_instances: [{replicas: 2}]}", "id must contain {replica}"),
]


@pytest.mark.parametrize(("instances", "complaint"), BAD)
def test_layouts_that_no_gpu_can_have(tmp_path, instances, complaint):
    with pytest.raises(ScenarioError) as caught:
        node(tmp_path, ONE.replace("INSTANCES", instances))
    assert complaint in str(caught.value)


ELSEWHERE = [
    (
        "        host_processes: [{gpu: 0, start: 6s}]\n",
        "GPU 0 is partitioned at 6s; name an instance by `gi`",
    ),
    ("        host_processes: [{gpu: 0, gi: 1}]\n", "has no compute instance 0 of a GPU instance 1 at 0s"),
    (
        "        host_processes: [{gpu: 0, gi: 1, ci: 1, start: 6s}]\n",
        "no compute instance 1 of a GPU instance 1",
    ),
    ("        host_processes: [{gpu: 0, ci: 1}]\n", "`ci` needs `gi`"),
    (
        "        host_processes: [{gpu: 0, gi: 1, start: 6s, memory_mib: 50000}]\n",
        "on instance 1 of GPU 0 hold 50000 MiB",
    ),
    ("        host_processes: [{gpu: 0, threads: 0.5}]\n", "limits processes of a GPU with `sharing: mps`"),
    ("          - {model: NVIDIA L4, mig: [{off: true}]}\n", "NVIDIA L4 cannot be partitioned"),
    (
        "          - {model: NVIDIA A30, mig: [{at: 1s, off: true}, {at: 1s, off: true}]}\n",
        "must be after the one before",
    ),
    (
        "          - {model: NVIDIA A30, mig: [{at: 1s}]}\n",
        "either `instances`, which may be empty, or `off: true`",
    ),
    ("        failures: [{kind: lost, at: 5s, until: 4s}]\n", "until must be after at"),
    ("        failures: [{kind: lost, at: 5s, call: x}]\n", "leave `call` out"),
    ("        failures: [{kind: hang, at: 5s, code: 3}]\n", "belongs to failures of the kind error"),
    ("        kubelet: {version: 1.34}\n", "version must be text"),
    ("        dcgm: {interval: 1ms}\n", "interval must be at least 100ms"),
]


@pytest.mark.parametrize(("rest", "complaint"), ELSEWHERE)
def test_what_does_not_fit_a_layout_or_the_surroundings(tmp_path, rest, complaint):
    with pytest.raises(ScenarioError, match=re.escape(complaint)):
        node(tmp_path, ONE.replace("INSTANCES", "{gi: 1, profile: 3g.40gb}"), rest)
