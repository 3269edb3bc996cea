"""Pods and nodes as the API server words them."""

from typing import Any

import pytest

from contracts.hand_clock import HandClock
from gpucost_agent.readings import GpuFraction, Node, PodContainer
from gpucost_agent.sources.pods.pod_memory import REMEMBERED_NS, PodMemory
from gpucost_agent.sources.pods.pod_objects import (
    KEPT_KEYS,
    LONGEST_VALUE,
    parse_node,
    parse_pod,
    parse_time_ns,
)

SECOND = 1_000_000_000


def a_pod(name: str = "llama-7c9f5d6b8-x2v4q", uid: str = "u1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "chat", "name": name, "uid": uid, **metadata},
        "spec": {"containers": [{"name": "server"}]},
        "status": {"phase": "Pending"},
    }


def owned_by(kind: str, name: str, labels: dict[str, str] | None = None) -> tuple[str, str]:
    references = [
        {"kind": "Other", "name": "no-controller"},
        {"kind": kind, "name": name, "controller": True},
    ]
    pod = parse_pod(a_pod(ownerReferences=references, labels=labels or {}), KEPT_KEYS)
    return pod.owner_kind, pod.owner_name


def test_a_deployments_name_is_its_replica_sets_without_the_hash() -> None:
    assert owned_by("ReplicaSet", "llama-7c9f5d6b8", {"pod-template-hash": "7c9f5d6b8"}) == (
        "Deployment",
        "llama",
    )
    assert owned_by("ReplicaSet", "a-b-7c", {"rollouts-pod-template-hash": "7c"}) == ("Rollout", "a-b")


@pytest.mark.parametrize("labels", [{}, {"pod-template-hash": "other"}, {"pod-template-hash": ""}])
def test_a_replica_set_of_its_own_stays_one(labels: dict[str, str]) -> None:
    assert owned_by("ReplicaSet", "llama-7c9f5d6b8", labels) == ("ReplicaSet", "llama-7c9f5d6b8")


def test_a_job_stays_a_job_and_nobody_is_nobody() -> None:
    assert owned_by("Job", "nightly-29012345") == ("Job", "nightly-29012345")
    pod = parse_pod(a_pod(), KEPT_KEYS)
    assert (pod.owner_kind, pod.owner_name) == ("", "")


def test_labels_and_annotations_are_cut_to_what_is_kept() -> None:
    labels = {"app": "llama", "secret": "x", "model.aibrix.ai/name": "bge"}
    annotations = {"gpucost.dev/model": "m" * 1_000, "kubectl.kubernetes.io/last-applied": "x", "mine": "y"}
    pod = parse_pod(a_pod(labels=labels, annotations=annotations), KEPT_KEYS | {"mine"})
    assert pod.labels == {"app": "llama", "model.aibrix.ai/name": "bge"}
    assert pod.annotations == {"gpucost.dev/model": "m" * LONGEST_VALUE, "mine": "y"}


def test_containers_of_all_kinds_and_of_an_earlier_life() -> None:
    entry = a_pod()
    entry["spec"] = {
        "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}],
        "containers": [{"name": "server"}, {"name": "waiting"}],
    }
    entry["status"] = {
        "phase": "Running",
        "initContainerStatuses": [
            {
                "name": "setup",
                "containerID": "containerd://aa",
                "state": {
                    "terminated": {"startedAt": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:00:05Z"}
                },
            }
        ],
        "containerStatuses": [
            {
                "name": "server",
                "containerID": "cri-o://cc",
                "lastState": {
                    "terminated": {
                        "containerID": "cri-o://bb",
                        "startedAt": "2027-01-15T08:00:06Z",
                        "finishedAt": "2027-01-15T08:00:07Z",
                    }
                },
                "state": {"running": {"startedAt": "2027-01-15T08:00:08Z"}},
            },
            {"name": "waiting", "state": {"waiting": {"reason": "ContainerCreating"}}},
        ],
        "ephemeralContainerStatuses": [
            {"name": "debug", "containerID": "docker://dd", "state": {"running": {}}}
        ],
    }
    eight = 1_800_000_000 * SECOND
    assert parse_pod(entry, KEPT_KEYS).containers == (
        PodContainer("setup", "aa", eight, eight + 5 * SECOND, init=True),
        PodContainer("mesh", "", None, None),
        PodContainer("server", "bb", eight + 6 * SECOND, eight + 7 * SECOND),
        PodContainer("server", "cc", eight + 8 * SECOND, None),
        PodContainer("waiting", "", None, None),
        PodContainer("debug", "dd", None, None),
    )


def test_annotations_of_schedulers_are_read_though_they_are_not_kept() -> None:
    uuid = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
    pod = parse_pod(a_pod(annotations={"hami.io/vgpu-devices-allocated": f"{uuid},NVIDIA,2,30:;"}), KEPT_KEYS)
    assert pod.fractions == (GpuFraction("server", uuid, memory_bytes=2 << 20, cores_ppm=300_000),)
    assert pod.annotations == {}
    entry = a_pod(labels={"runai-gpu-group": "g"}, annotations={"run.ai/reserve_for_gpu_index": uuid})
    entry["metadata"]["namespace"] = "kai-resource-reservation"
    placeholder = parse_pod(entry, KEPT_KEYS)
    assert (placeholder.reserves, placeholder.reserves_uuid, placeholder.labels) == ("g", uuid, {})


def test_a_static_pods_id_on_its_node() -> None:
    digits = "0123456789abcdef" * 2
    pod = parse_pod(a_pod(annotations={"kubernetes.io/config.hash": digits}), KEPT_KEYS)
    assert (pod.static_uid, pod.uid) == (digits, "u1")
    assert parse_pod(a_pod(), KEPT_KEYS).static_uid == ""


def test_a_pod_refers_to_claims_in_its_specification_or_by_an_extended_resource() -> None:
    entry = a_pod()
    assert not parse_pod(entry, KEPT_KEYS).claims
    entry["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    assert parse_pod(entry, KEPT_KEYS).claims
    entry = a_pod()
    entry["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": "c"}
    assert parse_pod(entry, KEPT_KEYS).claims


def test_an_init_container_is_one_before_and_while_it_runs_and_a_sidecar_never() -> None:
    entry = a_pod()
    entry["spec"]["initContainers"] = [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}]
    running = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}
    waiting = parse_pod(entry, KEPT_KEYS)
    entry["status"]["initContainerStatuses"] = [
        {
            "name": name,
            "containerID": "containerd://aa",
            "state": running,
            "lastState": {"terminated": {"containerID": "containerd://bb"}},
        }
        for name in ("setup", "mesh")
    ]
    for pod in (waiting, parse_pod(entry, KEPT_KEYS)):
        assert {each.name for each in pod.containers if each.init} == {"setup"}
        assert {each.name for each in pod.containers if not each.init} == {"mesh", "server"}


def test_times_to_the_nanosecond() -> None:
    assert parse_time_ns("2027-01-15T08:00:00Z") == 1_800_000_000 * SECOND
    assert parse_time_ns("2027-01-15T08:00:00.000123Z") == 1_800_000_000 * SECOND + 123_000
    assert parse_time_ns(None) is None


def test_a_node_is_taken_as_it_is() -> None:
    node = parse_node({"metadata": {"name": "n", "labels": {"a": "b"}, "annotations": None}})
    assert node == Node("n", {"a": "b"}, {})


def test_a_pod_that_is_gone_is_remembered_for_five_minutes() -> None:
    clock = HandClock()
    memory = PodMemory(KEPT_KEYS)
    memory.replace([a_pod(uid="u1"), a_pod("web-0", "u2")], clock.now())
    gone_at = clock.now()
    memory.remove(a_pod(uid="u1"), gone_at)
    assert [(pod.uid, pod.deleted_at_ns) for pod in memory.pods(clock.now())] == [
        ("u1", gone_at.wall_ns),
        ("u2", None),
    ]
    clock.pass_ns(REMEMBERED_NS + 1)
    assert [pod.uid for pod in memory.pods(clock.now())] == ["u2"]


def test_a_pod_of_the_same_name_is_another_one() -> None:
    clock = HandClock()
    memory = PodMemory(KEPT_KEYS)
    memory.put(a_pod("web-0", "old"))
    memory.remove(a_pod("web-0", "old"), clock.now())
    memory.put(a_pod("web-0", "new"))
    assert [pod.uid for pod in memory.pods(clock.now())] == ["old", "new"]


def test_who_is_missing_in_a_new_list_is_gone() -> None:
    clock = HandClock()
    memory = PodMemory(KEPT_KEYS)
    memory.replace([a_pod(uid="u1"), a_pod("web-0", "u2")], clock.now())
    memory.replace([a_pod("web-0", "u2")], clock.now())
    assert [(pod.uid, pod.deleted_at_ns is None) for pod in memory.pods(clock.now())] == [
        ("u1", False),
        ("u2", True),
    ]


@pytest.mark.parametrize(
    "entry", [{}, {"metadata": {}}, {"metadata": None}, {"metadata": {"namespace": "a"}}]
)
def test_what_is_no_pod_is_left_out_and_counted(entry: dict[str, Any]) -> None:
    memory = PodMemory(KEPT_KEYS)
    memory.put(entry)
    memory.replace([entry], HandClock().now())
    assert memory.pods(HandClock().now()) == ()
    assert memory.malformed == 2
