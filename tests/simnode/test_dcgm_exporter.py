"""The simulated dcgm-exporter prints what real ones print, with their traps."""

import asyncio
import re
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from simnode.dcgm_exporter import DcgmExporter, addresses, with_pods
from simnode.dcgm_text import page
from simnode.dcgm_values import Means
from simnode.kubelet_answers import listed_pods
from simnode.manifests import Manifests
from simnode.mapping_reader import EngineCounters
from simnode.scenario import load
from simnode.world import Cluster, Dcgm, Node

SECOND = 1_000_000_000
GIB = 1 << 30
A, B, C, D = (f"GPU-00000000-0000-0000-0000-00000000000{digit}" for digit in "abcd")
M1, M2, M3, M4 = (f"MIG-00000000-0000-0000-0000-00000000000{digit}" for digit in "1234")
WHOLE, SHARED, PARTED, CLAIMED = range(4)

SCENARIO = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        dcgm: {{interval: 10s}}
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {A}}}
          - {{model: NVIDIA H100 80GB HBM3, uuid: {B}, replicas: 3}}
          - model: NVIDIA H100 80GB HBM3
            uuid: {C}
            mig:
              - at: 0s
                instances:
                  - gi: 1
                    profile: 3g.40gb
                    start: 0
                    compute_instances: [{{ci: 0, slices: 1, uuid: {M1}}}, {{ci: 1, slices: 2, uuid: {M2}}}]
                  - {{gi: 9, profile: 1g.10gb, start: 4, compute_instances: [{{ci: 0, uuid: {M4}}}]}}
              - at: 20s
                instances:
                  - {{gi: 1, profile: 7g.80gb, start: 0, compute_instances: [{{ci: 0, uuid: {M3}}}]}}
              - {{at: 60s, instances: []}}
          - {{model: NVIDIA H100 80GB HBM3, uuid: {D}, minor: 9}}
        claims:
          - {{name: mine, namespace: a, devices: [{{gpu: 3}}]}}
        pods:
          - {{name: alone, namespace: a, end: 30s, containers: [{{name: main, gpus: [0]}}]}}
          - {{name: one, namespace: a, uid: uid-of-one, containers: [{{name: main, gpus: [{{gpu: 1, replicas: 2}}]}}]}}
          - {{name: two, namespace: b, containers: [{{name: main, gpus: [{{gpu: 1, replicas: 1}}]}}]}}
          - {{name: part, namespace: b, end: 20s, containers: [{{name: main, gpus: [{{gpu: 2, gi: 1, ci: 1}}]}}]}}
          - {{name: claims, namespace: a, containers: [{{name: main, claims: [mine]}}]}}
"""

Place = tuple[int, int | None, int | None]
Series = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO)
    return load(file, seed=7).cluster("one")


@pytest.fixture
def node(cluster: Cluster) -> Node:
    return cluster.node("node-0")


UUIDS = {
    (0, None, None): A,
    (1, None, None): B,
    (3, None, None): D,
    (2, 1, 0): M1,
    (2, 1, 1): M2,
    (2, 9, 0): M4,
}
"""Of the engines of the first layout."""


def counters(place: Place, second: int, busy: float, uuid: str = "") -> EngineCounters:
    """An engine that has been busy for a part of the time since the start, with half of its SMs."""
    ran = int(busy * second * SECOND)
    work = (second * SECOND, ran, ran // 2, ran // 4, ran // 8)
    return EngineCounters(*place, uuid or UUIDS[place], *work, 2 * GIB, 80 * GIB, 5000 * second, 300_500)


def parse(text: str) -> Series:
    found: Series = defaultdict(list)
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()  # type: ignore[union-attr]
            found[name].append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return found


def shown(node: Node, moments: Sequence[tuple[int, Sequence[EngineCounters]]], **kind: object) -> Series:
    """The page after the counters were taken at these seconds."""
    dcgm = replace(node.dcgm or Dcgm(), **kind)  # type: ignore[arg-type]
    node = replace(node, dcgm=dcgm)
    means, entities = Means(node), ()
    for _, found in moments:
        entities = means.take(found)  # type: ignore[assignment]
    return parse(page(node, dcgm, entities, moments[-1][0] * SECOND))


def of_one(place: Place, **kind: object) -> Callable[[Node], Series]:
    moments = [(second, [counters(place, second, 0.5)]) for second in (5, 15)]
    return lambda node: shown(node, moments, **kind)


def test_a_whole_gpu_with_its_pod(node: Node) -> None:
    found = of_one((WHOLE, None, None))(node)
    ((labels, value),) = found["DCGM_FI_PROF_GR_ENGINE_ACTIVE"]
    assert value == 0.5
    assert labels == {
        "gpu": "0",
        "UUID": A,
        "pci_bus_id": "00000000:10:00.0",
        "device": "nvidia0",
        "modelName": "NVIDIA H100 80GB HBM3",
        "hostname": "node-0",
        "DCGM_FI_DRIVER_VERSION": node.driver.version,
        "container": "main",
        "namespace": "a",
        "pod": "alone",
    }
    values = {name: series[0][1] for name, series in found.items()}
    assert values == {
        "DCGM_FI_DEV_GPU_UTIL": 50,
        "DCGM_FI_DEV_POWER_USAGE": 300.5,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 75_000,
        "DCGM_FI_DEV_FB_USED": 2048,
        "DCGM_FI_DEV_FB_FREE": 81920 - 2048,
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.5,
        "DCGM_FI_PROF_SM_ACTIVE": 0.25,
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.125,
        "DCGM_FI_PROF_DRAM_ACTIVE": 0.0625,
    }


def test_a_gpu_that_nobody_holds_names_nobody(node: Node) -> None:
    moments = [(second, [counters((WHOLE, None, None), second, 0.5)]) for second in (25, 35)]
    ((new, _),) = shown(node, moments)["DCGM_FI_DEV_FB_USED"]
    assert {"pod", "namespace", "container"} & new.keys() == set()
    ((old, _),) = shown(node, moments, labels="old")["DCGM_FI_DEV_FB_USED"]
    assert [old[key] for key in ("pod_name", "pod_namespace", "container_name")] == ["", "", ""]


def test_a_sum_over_the_pods_of_a_shared_gpu_is_too_much(node: Node) -> None:
    series = of_one((SHARED, None, None))(node)["DCGM_FI_PROF_GR_ENGINE_ACTIVE"]
    assert [value for _, value in series] == [0.5, 0.5, 0.5]
    assert sorted(labels["pod"] for labels, _ in series) == ["one", "one", "two"]
    assert sorted(labels["vgpu"] for labels, _ in series) == ["0", "1", "2"]
    assert {labels["pod_uid"] for labels, _ in series if labels["pod"] == "one"} == {"uid-of-one"}


def test_instances_have_series_of_their_own_and_the_boards_power_each(node: Node) -> None:
    places = [(PARTED, 1, 0), (PARTED, 1, 1), (PARTED, 9, 0)]
    busy = (0.3, 0.9, 0.5)
    moments = [
        (s, [counters(place, s, part) for place, part in zip(places, busy, strict=True)]) for s in (5, 15)
    ]
    found = shown(node, moments)
    active = {labels["GPU_I_ID"]: (labels, value) for labels, value in found["DCGM_FI_PROF_GR_ENGINE_ACTIVE"]}
    # By slices: one third of the first instance was busy for 0.3 of the time, two thirds for 0.9.
    assert {gi: value for gi, (_, value) in active.items()} == {"1": 0.7, "9": 0.5}
    assert active["1"][0]["UUID"] == C
    assert (active["1"][0]["GPU_I_PROFILE"], active["1"][0]["pod"]) == ("3g.40gb", "part")
    assert "pod" not in active["9"][0]
    assert [value for _, value in found["DCGM_FI_DEV_POWER_USAGE"]] == [300.5, 300.5]
    assert [value for _, value in found["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"]] == [75_000, 75_000]
    used = {labels["GPU_I_ID"]: value for labels, value in found["DCGM_FI_DEV_FB_USED"]}
    assert used == {"1": 2048, "9": 2048}
    assert "DCGM_FI_DEV_GPU_UTIL" not in found


def test_an_instance_made_anew_starts_from_nothing(node: Node) -> None:
    old, new = counters((PARTED, 1, 0), 15, 0.5), counters((PARTED, 1, 0), 25, 0.1, M3)
    found = shown(node, [(15, [old]), (25, [new])])
    assert "DCGM_FI_PROF_GR_ENGINE_ACTIVE" not in found
    assert found["DCGM_FI_DEV_FB_USED"][0][0]["GPU_I_PROFILE"] == "7g.80gb"
    assert shown(node, [(65, [])]) == {}


def test_what_has_no_value_is_left_out_or_printed_as_a_sentinel(node: Node) -> None:
    moments = [(5, [counters((PARTED, 9, 0), 5, 0.5)])]
    assert "DCGM_FI_PROF_SM_ACTIVE" not in shown(node, moments)
    printed = shown(node, moments, sentinels=True)
    assert printed["DCGM_FI_PROF_SM_ACTIVE"][0][1] == 140737488355328
    assert printed["DCGM_FI_DEV_GPU_UTIL"][0][1] == float(9223372036854775794)


def test_names_labels_and_scale_are_as_told(node: Node) -> None:
    found = of_one((WHOLE, None, None), names="new", labels="old", scale=1.5)(node)
    ((labels, value),) = found["DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"]
    assert value == 0.75
    assert (labels["uuid"], labels["Hostname"], labels["pod_name"]) == (A, "node-0", "alone")
    assert {"UUID", "hostname", "pod"} & labels.keys() == set()
    assert {"DCGM_FI_DEV_BOARD_POWER_WATTS", "DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_DEV_FB_USED"} <= set(
        found
    )
    assert "DCGM_FI_DEV_POWER_USAGE" not in found


def test_a_claims_device_says_whose_it_is(node: Node) -> None:
    ((labels, _),) = of_one((CLAIMED, None, None))(node)["DCGM_FI_DEV_FB_USED"]
    assert (labels["pod"], labels["dra_claim_name"], labels["dra_device_name"]) == ("claims", "mine", "gpu-9")
    assert (labels["dra_driver_name"], labels["dra_pool_name"]) == ("gpu.nvidia.com", "node-0")


def test_it_takes_a_minor_number_for_its_own_and_drops_resources_that_it_does_not_know(node: Node) -> None:
    alone, shared = (replace(gpu, layouts=(), replicas=1) for gpu in node.gpus[:2])
    swapped = (replace(alone, minor=1, id="nvidia{minor}"), replace(shared, minor=0, id="nvidia{minor}"))
    moments = [(5, [counters((gpu, None, None), 5, 0.5) for gpu in (WHOLE, SHARED)])]
    found = shown(replace(node, gpus=swapped, claims=(), pods=node.pods[:1]), moments)["DCGM_FI_DEV_FB_USED"]
    assert [(labels["gpu"], labels.get("pod")) for labels, _ in found] == [("0", None), ("1", "alone")]
    renamed = (replace(alone, resource="nvidia.com/gpu.shared"), shared)
    found = shown(replace(node, gpus=renamed, claims=(), pods=node.pods[:1]), moments)["DCGM_FI_DEV_FB_USED"]
    assert [labels.get("pod") for labels, _ in found] == [None, None]


class Played:
    """An exporter whose time moves when told."""

    def __init__(self, node: Node, **kind: object) -> None:
        self.second = 0
        self.exporter = DcgmExporter(
            replace(node, dcgm=replace(node.dcgm or Dcgm(), **kind)),  # type: ignore[arg-type]
            lambda: [counters((WHOLE, None, None), self.second, 0.5 if self.second <= 20 else 0.1)],
            lambda: self.second * SECOND,
        )

    async def at(self, second: int) -> float | None:
        """What it shows of the first GPU's activity."""
        self.second = second
        await self.exporter.update()
        text = await asyncio.to_thread(fetch, self.exporter.url + "/metrics")
        series = parse(text)["DCGM_FI_PROF_GR_ENGINE_ACTIVE"]
        return series[0][1] if series else None


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_a_scrape_gives_what_was_taken_last(node: Node) -> None:
    async def played() -> None:
        play = Played(node)
        try:
            assert await play.at(0) is None
            assert await play.at(9) is None
            assert await play.at(10) == 0.5
            assert await play.at(19) == 0.5
            text = await asyncio.to_thread(fetch, play.exporter.url + "/metrics")
            assert all(re.fullmatch(r"#.*|\S+\{.*\} \S+", line) for line in text.splitlines())
            assert "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n" in text
            assert await asyncio.to_thread(fetch, play.exporter.url + "/health") == "OK"
        finally:
            await play.exporter.close()

    asyncio.run(played())


def test_while_it_is_down_its_port_refuses_and_it_forgets(node: Node) -> None:
    async def played() -> None:
        play = Played(node, down=((15 * SECOND, 25 * SECOND),))
        try:
            await play.at(0)
            assert await play.at(10) == 0.5
            with pytest.raises(urllib.error.URLError, match="refused"):
                await play.at(15)
            assert await play.at(25) is None
            assert await play.at(34) is None
            assert await play.at(35) is not None
        finally:
            await play.exporter.close()

    asyncio.run(played())


def test_it_has_a_pod_by_which_it_is_found(cluster: Cluster) -> None:
    extended = with_pods(cluster, 7, {"node-0": 41233})
    node = extended.node("node-0")
    pod = node.pods[-1]
    manifest = Manifests(extended, 7, 0, addresses(extended)).pod(node, pod, SECOND)
    assert re.fullmatch("dcgm-exporter-[0-9a-f]{5}", manifest["metadata"]["name"])
    assert manifest["metadata"]["namespace"] == "gpu-operator"
    assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "dcgm-exporter"
    assert manifest["metadata"]["labels"]["app"] == "nvidia-dcgm-exporter"
    assert manifest["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
    assert manifest["status"]["podIP"] == "127.0.0.1"
    port = {"name": "metrics", "containerPort": 41233, "protocol": "TCP"}
    assert manifest["spec"]["containers"][0]["ports"] == [port]
    assert "gpu-operator" in [namespace.name for namespace in extended.namespaces]
    (listed,) = [one for one in listed_pods(node, SECOND) if one.name == pod.name]
    assert [container.devices for container in listed.containers] == [()]
    assert (
        Manifests(extended, 7, 0, addresses(extended)).pod(node, node.pods[0], 0)["status"]["podIP"]
        != "127.0.0.1"
    )


def test_without_a_pod_the_cluster_is_as_it_was(cluster: Cluster) -> None:
    hidden = replace(cluster, nodes=tuple(replace(n, dcgm=Dcgm(pod=False)) for n in cluster.nodes))
    assert with_pods(hidden, 7, {"node-0": 1}) is hidden
