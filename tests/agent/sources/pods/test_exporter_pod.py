"""dcgm-exporter among a node's pods."""

from typing import Any

import pytest

from contracts.hand_clock import HandClock
from gpucost_agent.sources.pods.exporter_pod import exporter_url
from gpucost_agent.sources.pods.pod_memory import PodMemory

CHART = {"app.kubernetes.io/name": "dcgm-exporter"}
OPERATOR = {"app": "nvidia-dcgm-exporter"}


def pod(labels: dict[str, str] | None = None, uid: str = "u1", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "gpu-operator",
            "name": f"exporter-{uid}",
            "uid": uid,
            "labels": labels or CHART,
        },
        "spec": {"containers": [{"name": "exporter", "ports": [{"name": "metrics", "containerPort": 9500}]}]},
        "status": {"phase": "Running", "podIP": "10.1.2.3", **status},
    }


@pytest.mark.parametrize("labels", [CHART, OPERATOR, {"app": "dcgm-exporter"}])
def test_it_is_known_by_its_labels(labels: dict[str, str]) -> None:
    assert exporter_url(pod(labels)) == "http://10.1.2.3:9500/metrics"


@pytest.mark.parametrize(
    "labels", [{"app": "x"}, {"app.kubernetes.io/name": "gpucost"}, {"name": "dcgm-exporter"}]
)
def test_other_pods_are_not_it(labels: dict[str, str]) -> None:
    assert exporter_url(pod(labels)) == ""


def test_a_port_without_a_name_is_the_usual_one() -> None:
    entry = pod(podIP="fd00::7")
    entry["spec"]["containers"][0]["ports"] = [{"containerPort": 1}, {"name": "other", "containerPort": 2}]
    assert exporter_url(entry) == "http://[fd00::7]:9400/metrics"
    del entry["spec"]
    assert exporter_url(entry) == "http://[fd00::7]:9400/metrics"


def test_one_that_does_not_run_does_not_answer() -> None:
    assert exporter_url(pod(phase="Pending")) == ""
    assert exporter_url(pod(podIP=None)) == ""
    ending = pod()
    ending["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert exporter_url(ending) == ""


def test_it_comes_and_goes_with_its_pod() -> None:
    now = HandClock().now()
    memory = PodMemory(())
    assert memory.dcgm_url == ""
    memory.put(pod(podIP=""))
    assert memory.dcgm_url == ""
    memory.put(pod())
    assert memory.dcgm_url == "http://10.1.2.3:9500/metrics"
    memory.put(pod(uid="u2", podIP="10.1.2.4"))
    memory.remove(pod(), now)
    assert memory.dcgm_url == "http://10.1.2.4:9500/metrics"
    memory.replace([pod({"app": "x"}, uid="u3")], now)
    assert memory.dcgm_url == ""
    memory.put(pod(uid="u3"))
    memory.put(pod({"app": "x"}, uid="u3"))
    assert memory.dcgm_url == ""
