"""What the API server says of a pod on its way: init containers, sidecars, claims, ports, static pods."""

import asyncio
from pathlib import Path
from typing import Any

from simnode.cluster_life import ClusterLife
from simnode.kube_store import Store
from simnode.manifests import Manifests
from simnode.scenario import load

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
HASH = "0123456789abcdef0123456789abcdef"

SCENARIO = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: {{version: 1.36.1}}
        gpus:
          - {{model: NVIDIA H100 80GB HBM3}}
          - model: NVIDIA H100 80GB HBM3
            mig:
              - {{at: 0s, instances: [{{gi: 1, profile: 3g.40gb, start: 0}}]}}
              - {{at: 50s, off: true}}
        claims:
          - {{name: mine, namespace: a, devices: [{{gpu: 0}}]}}
        pods:
          - name: stages
            namespace: a
            start: 1s
            end: 40s
            finished: 30s
            containers:
              - {{name: watch, kind: sidecar}}
              - {{name: fetch, kind: init, end: 4s, claims: [mine]}}
              - {{name: work, start: 4s, claims: [mine], gpus: [{{gpu: 1, gi: 1}}]}}
              - {{name: brief, start: 4s, end: 10s}}
          - name: at-home
            namespace: a
            host_network: true
            ports: {{metrics: 9400}}
            containers: [{{name: main}}]
          - name: static-node-0
            namespace: a
            annotations: {{kubernetes.io/config.hash: {HASH}}}
            containers: [{{name: main}}]
"""


class Api:
    """A store that is brought from instant to instant, and what it said on the way."""

    def __init__(self, folder: Path) -> None:
        file = folder / "small.yaml"
        file.write_text(SCENARIO)
        cluster = load(file, seed=7).cluster("one")
        self.node = cluster.node("node-0")
        self.store = Store()
        self.life = ClusterLife(cluster, self.store, Manifests(cluster, 7, START), {"node-0": "boot"})

    def at(self, second: float, name: str = "stages") -> Any:
        self.life.update(int(second * SECOND))
        return self.store.get("pods", "a", name)


def states(pod: Any) -> dict[str, str]:
    status = pod["status"]
    everyone = status.get("initContainerStatuses", []) + status["containerStatuses"]
    return {one["name"]: next(iter(one["state"])) for one in everyone}


def test_containers_wait_run_and_end_in_their_order(tmp_path: Path) -> None:
    async def played() -> dict[float, Any]:
        api = Api(tmp_path)
        return {second: api.at(second) for second in (1, 5, 11, 31, 41)}

    pods = asyncio.run(played())
    assert pods[1]["status"]["phase"] == "Pending"
    assert states(pods[1]) == {"fetch": "running", "watch": "running", "work": "waiting", "brief": "waiting"}
    (work, _) = pods[1]["status"]["containerStatuses"]
    assert work["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert "containerID" not in work
    conditions = {one["type"]: one["status"] for one in pods[1]["status"]["conditions"]}
    assert (conditions["Initialized"], conditions["Ready"]) == ("False", "False")

    assert pods[5]["status"]["phase"] == "Running"
    assert states(pods[5]) == {
        "fetch": "terminated",
        "watch": "running",
        "work": "running",
        "brief": "running",
    }
    fetch = pods[5]["status"]["initContainerStatuses"][1]["state"]["terminated"]
    assert (fetch["startedAt"], fetch["finishedAt"]) == ("2027-01-15T08:00:01Z", "2027-01-15T08:00:05Z")

    assert pods[5]["status"]["initContainerStatuses"][1]["ready"] is True
    assert pods[1]["status"]["initContainerStatuses"][1]["ready"] is False

    assert pods[11]["status"]["phase"] == "Running"
    assert states(pods[11])["brief"] == "terminated"

    assert pods[31]["status"]["phase"] == "Succeeded"
    assert set(states(pods[31]).values()) == {"terminated"}
    (work, brief) = pods[31]["status"]["containerStatuses"]
    assert work["state"]["terminated"]["finishedAt"] == "2027-01-15T08:00:31Z"
    assert brief["state"]["terminated"]["finishedAt"] == "2027-01-15T08:00:11Z"
    assert pods[31]["spec"]["restartPolicy"] == "Never"
    assert pods[41] is None


def test_a_finished_pod_stays_and_goes_without_another_word(tmp_path: Path) -> None:
    async def played() -> list[tuple[Any, Any]]:
        api = Api(tmp_path)
        version = api.store.version
        api.at(41)
        return [(change.after or {}, change.before) for change in api.store.since("pods", version)]

    stages = [
        after.get("status", {}).get("phase")
        for after, before in asyncio.run(played())
        if (after or before)["metadata"]["name"] == "stages"
    ]
    assert stages == ["Pending", "Pending", "Running", "Running", "Succeeded", None]


def test_what_a_pod_is_made_of(tmp_path: Path) -> None:
    async def played() -> tuple[Any, Any, Any]:
        api = Api(tmp_path)
        return api.at(5), api.at(5, "at-home"), api.at(5, "static-node-0")

    stages, at_home, static = asyncio.run(played())
    spec = stages["spec"]
    first = [(container["name"], container.get("restartPolicy")) for container in spec["initContainers"]]
    assert first == [("watch", "Always"), ("fetch", None)]
    work = spec["containers"][0]["resources"]
    assert work["claims"] == [{"name": "claim-0"}]
    assert work["limits"]["nvidia.com/mig-3g.40gb"] == "1"
    assert "nvidia.com/gpu" not in work["limits"]
    assert spec["resourceClaims"] == [{"name": "claim-0", "resourceClaimName": "mine"}]
    assert stages["status"]["resourceClaimStatuses"] == [{"name": "claim-0", "resourceClaimName": "mine"}]

    assert at_home["spec"]["hostNetwork"] is True
    assert at_home["status"]["podIP"] == at_home["status"]["hostIP"]
    port = {"name": "metrics", "containerPort": 9400, "hostPort": 9400, "protocol": "TCP"}
    assert at_home["spec"]["containers"][0]["ports"] == [port]
    assert stages["status"]["podIP"] != stages["status"]["hostIP"]

    assert static["metadata"]["uid"] != HASH
    assert static["metadata"]["annotations"]["kubernetes.io/config.mirror"] == HASH
    assert [owner["kind"] for owner in static["metadata"]["ownerReferences"]] == ["Node"]


def test_a_nodes_devices_follow_its_layouts(tmp_path: Path) -> None:
    async def played() -> list[Any]:
        api = Api(tmp_path)
        found = [api.store.get("nodes", "", "node-0")]
        api.at(50)
        return [*found, api.store.get("nodes", "", "node-0")]

    before, after = asyncio.run(played())
    assert before["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.1"
    # The first GPU is made of claims, which are no resource of the node.
    assert "nvidia.com/gpu" not in before["status"]["capacity"]
    assert before["status"]["capacity"]["nvidia.com/mig-3g.40gb"] == "1"
    assert after["status"]["capacity"]["nvidia.com/mig-3g.40gb"] == "0"
    assert after["status"]["allocatable"]["nvidia.com/gpu"] == "1"
