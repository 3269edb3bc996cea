"""What containers hold and for how long: instances, fractions, claims, init containers, finished pods."""

import pytest

from simnode.holdings import held_span
from simnode.scenario import Node, ScenarioError, load

SECOND = 10**9

HEAD = """\
name: t
clusters:
  - name: c
    nodes:
      - name: n
        claims:
          - {name: both, namespace: a, devices: [{gpu: 0}, {gpu: 1, gi: 1}]}
          - {name: half, namespace: a, devices: [{gpu: 0}], share_id: x}
          - {name: rest, namespace: a, devices: [{gpu: 0}], share_id: y}
        gpus:
          - {model: NVIDIA L4, resource: vendor.com/gpu, id: "nvidia{minor}"}
          - model: NVIDIA H100 80GB HBM3
            mig:
              - at: 0s
                instances:
                  - {gi: 1, profile: 3g.40gb, compute_instances: [{slices: 1, replicas: 2}, {slices: 2}]}
              - {at: 60s, instances: [{gi: 1, profile: 1g.10gb+me, id: "nvidia{minor}/gi{gi}/{profile}"}]}
          - {model: NVIDIA L4, replicas: 4}
        pods:
"""


def read(folder, *pods: str, seed: int | None = None) -> Node:
    file = folder / "s.yaml"
    lines = "".join(f"          - {{namespace: a, {pod}}}\n" for pod in pods)
    file.write_text(HEAD + lines)
    return load(file, seed).clusters[0].nodes[0]


def held(node: Node) -> dict[tuple[str, str], list]:
    """By pod and container: GPU, ids, since and until in seconds."""
    found = {}
    for pod in node.pods:
        for container in pod.containers:
            found[pod.name, container.name] = rows = []
            for hold in container.holds:
                since, until = held_span(node, pod, container, hold)
                ids = node.gpus[hold.gpu].device_ids(hold)
                rows.append((hold.gpu, ids, since // SECOND, None if until is None else until // SECOND))
    return found


def test_ids_go_by_templates_and_resources_by_profiles(tmp_path):
    node = read(
        tmp_path,
        "name: p, end: 50s, containers: [{name: x, gpus: [0, {gpu: 1, gi: 1, replicas: 2}, {gpu: 1, gi: 1, ci: 1}]}]",
        "name: q, start: 60s, containers: [{name: x, gpus: [{gpu: 1, gi: 1}, {gpu: 0, ids: [one, two]}]}]",
    )
    first, second = (pod.containers[0].holds for pod in node.pods)
    gpus = node.gpus
    parts = gpus[1].layouts[0].instances[0].compute_instances
    assert [gpus[h.gpu].device_ids(h) for h in first] == [
        ("nvidia0",),
        (f"{parts[0].uuid}::0", f"{parts[0].uuid}::1"),
        (parts[1].uuid,),
    ]
    assert [gpus[h.gpu].resource_of(h) for h in first] == [
        "vendor.com/gpu",
        "nvidia.com/mig-1c.3g.40gb",
        "nvidia.com/mig-2c.3g.40gb",
    ]
    assert [gpus[h.gpu].device_ids(h) for h in second] == [("one", "two"), ("nvidia1/gi1/1g.10gb+me",)]
    assert gpus[1].resource_of(second[1]) == "nvidia.com/mig-1g.10gb.me"
    assert [gpus[h.gpu].replicas_of(h) for h in first] == [1, 2, 1]


def test_a_hold_ends_with_its_instance(tmp_path):
    node = read(tmp_path, "name: p, start: 5s, containers: [{name: x, gpus: [{gpu: 1, gi: 1}]}]")
    assert [row[2:] for row in held(node)["p", "x"]] == [(5, 60)]


def test_what_an_init_container_held_goes_to_the_next(tmp_path):
    for seed in range(4):
        node = read(
            tmp_path,
            "name: p, end: 50s, finished: 40s, containers: [{name: m, gpus: [{gpu: 2, replicas: 2}]}, "
            "{name: i, kind: init, end: 3s, gpus: [{gpu: 2, replicas: 2}]}, "
            "{name: j, kind: init, end: 9s, gpus: [{gpu: 2, replicas: 1}, 0]}]",
            "name: q, containers: [{name: x, gpus: [{gpu: 2, replicas: 2}]}]",
            seed=seed,
        )
        assert [c.name for c in node.pods[0].containers] == ["i", "j", "m"]
        assert [c.start_ns // SECOND for c in node.pods[0].containers] == [0, 3, 9]
        rows = held(node)
        assert rows["p", "m"][0][1] == rows["p", "i"][0][1]
        assert rows["p", "j"][1][1][0] in rows["p", "i"][0][1]
        assert not set(rows["p", "m"][0][1]) & set(rows["q", "x"][0][1])
        assert [rows["p", name][-1][2:] for name in "ijm"] == [(0, 3), (3, 9), (9, 40)]
        assert rows["p", "j"][0] == (0, ("nvidia0",), 0, 40)  # nobody after it holds this one


def test_a_finished_pod_holds_nothing(tmp_path):
    node = read(
        tmp_path,
        "name: p, end: 50s, finished: 20s, containers: [{name: x, gpus: [0]}]",
        "name: q, start: 20s, containers: [{name: x, gpus: [0]}]",
    )
    assert (held(node)["p", "x"][0][2:], held(node)["q", "x"][0][2:]) == ((0, 20), (20, None))
    assert node.pods[0].containers[0].end_ns == 20 * SECOND
    with pytest.raises(ScenarioError, match="finished must be after the pod's start and before its end"):
        read(tmp_path, "name: p, end: 50s, finished: 50s, containers: [{name: x}]")


def test_fractions_share_a_device_and_are_hidden(tmp_path):
    share = "containers: [{name: x, gpus: [{gpu: 0, share: %s, hidden: true}]}]"
    node = read(
        tmp_path,
        f"name: p, end: 9s, {share % 0.4}",
        f"name: q, {share % 0.6}",
        f"name: r, start: 9s, {share % 0.4}",
    )
    hold = node.pods[0].containers[0].holds[0]
    assert (hold.share, hold.hidden, hold.replicas) == (0.4, True, (0,))
    with pytest.raises(ScenarioError, match=r"the shares of GPU 0 sum up to 1.1 then"):
        read(tmp_path, f"name: p, {share % 0.5}", f"name: q, {share % 0.6}")
    with pytest.raises(ScenarioError, match=r"the shares of GPU 0 sum up to 1.5 then"):
        read(tmp_path, f"name: p, {share % 0.5}", "name: q, containers: [{name: x, gpus: [0]}]")


def test_a_claim_is_held_by_all_who_refer_to_it(tmp_path):
    node = read(
        tmp_path,
        "name: p, containers: [{name: x, claims: [both]}, {name: y, claims: [both]}]",
        "name: q, start: 3s, containers: [{name: x, claims: [both]}]",
    )
    for pod in node.pods:
        for container in pod.containers:
            assert [(h.gpu, h.gi, h.ci, h.claim, h.replicas) for h in container.holds] == [
                (0, None, None, "both", (0,)),
                (1, 1, 0, "both", (0, 1)),
            ]
    with pytest.raises(ScenarioError, match="GPU 0 has one replica, 1 held"):
        read(
            tmp_path,
            "name: p, containers: [{name: x, claims: [both]}]",
            "name: q, containers: [{name: x, gpus: [0]}]",
        )
    with pytest.raises(ScenarioError, match="GPU 0 has one replica, 1 held"):
        read(
            tmp_path,
            "name: p, containers: [{name: x, claims: [both]}]",
            "name: q, containers: [{name: x, claims: [half]}]",
        )
    read(
        tmp_path,
        "name: p, containers: [{name: x, claims: [half]}]",
        "name: q, containers: [{name: x, claims: [rest]}]",
    )
    with pytest.raises(ScenarioError, match="no claim more in the namespace a"):
        read(tmp_path, "name: p, containers: [{name: x, claims: [more]}]")


def test_instances_are_oversubscribed_on_their_own(tmp_path):
    one = "containers: [{name: x, gpus: [{gpu: 1, gi: 1, ci: %d}]}]"
    read(tmp_path, f"name: p, {one % 0}", f"name: q, {one % 0}", f"name: r, {one % 1}")
    with pytest.raises(ScenarioError, match="instance 1/1 of GPU 1 has one replica, 1 held"):
        read(tmp_path, f"name: p, {one % 1}", f"name: q, {one % 1}")
    with pytest.raises(ScenarioError, match="GPU 1 is partitioned at 0s"):
        read(tmp_path, "name: p, containers: [{name: x, gpus: [1]}]")


def test_ids_that_mean_nothing_are_listed_only(tmp_path):
    node = read(
        tmp_path,
        "name: p, containers: [{name: x, ids: [{id: GPU-none}]}], host_network: true, ports: {metrics: 9400}",
    )
    pod = node.pods[0]
    assert (pod.containers[0].listed[0].resource, pod.containers[0].holds) == ("nvidia.com/gpu", ())
    assert (pod.host_network, dict(pod.ports)) == (True, {"metrics": 9400})


def test_containers_live_inside_their_pod(tmp_path):
    for pod, complaint in (
        ("end: 9s, containers: [{name: x, end: 10s}]", "a container's end is after its pod's end"),
        ("containers: [{name: x, kind: init}]", "an init container needs `end`"),
        (
            "containers: [{name: x, start: 5s, processes: [{gpu: 0, start: 4s}]}]",
            "before its container's start",
        ),
        ("containers: [{name: x, end: 5s, processes: [{gpu: 0, end: 6s}]}]", "after its container's end"),
        (
            "containers: [{name: i, kind: init, end: 5s}, {name: x, start: 4s}]",
            "a container's start is before its pod's",
        ),
    ):
        with pytest.raises(ScenarioError, match=complaint):
            read(tmp_path, f"name: p, {pod}")
