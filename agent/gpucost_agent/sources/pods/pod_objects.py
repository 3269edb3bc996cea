"""What the API server's JSON says of pods and nodes, cut to what the ledger keeps: pure."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import Node, Pod, PodContainer
from gpucost_agent.sources.pods.gpu_fractions import fractions_of, reservation_of

Json = Mapping[str, Any]

LONGEST_VALUE = 256
"""Annotations can be as long as their owner likes; of a kept one this much is kept."""

KEPT_KEYS = frozenset(
    {
        "gpucost.dev/model",
        "gpucost.dev/model-version",
        "gpucost.dev/team",
        "gpucost.dev/cost-center",
        "gpucost.dev/idle-ignore",
        "gpucost.dev/idle-after",
        "gpucost.dev/expected-duration",
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/version",
        "app.kubernetes.io/component",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/managed-by",
        "app",
        "team",
        "cost-center",
        "environment",
        "model",
        "model-version",
        # KServe
        "serving.kserve.io/inferenceservice",
        "serving.kserve.io/kind",
        "kserve.io/component",
        "component",
        # llm-d
        "llm-d.ai/inference-serving",
        "llm-d.ai/model",
        "llm-d.ai/model-id",
        "llm-d.ai/role",
        "llm-d.ai/variant-cost",
        # the vLLM production stack
        "helm-release-name",
        # AIBrix
        "model.aibrix.ai/name",
        "model.aibrix.ai/port",
        "model.aibrix.ai/engine",
        "adapter.model.aibrix.ai/enabled",
        # Seldon
        "seldon-server-name",
        "seldon-deployment-id",
        # KubeRay
        "ray.io/cluster",
        "ray.io/group",
        "ray.io/node-type",
        "ray.io/originated-from-cr-name",
        "ray.io/originated-from-crd",
        "ray.io/serve",
        # Kubeflow
        "trainer.kubeflow.org/trainjob-ancestor-step",
        "jobset.sigs.k8s.io/jobset-name",
        "training.kubeflow.org/job-name",
        "training.kubeflow.org/replica-type",
        "notebook-name",
        # Kueue
        "kueue.x-k8s.io/queue-name",
        "kueue.x-k8s.io/local-queue-name",
        "kueue.x-k8s.io/cluster-queue-name",
        "kueue.x-k8s.io/podset",
        "kueue.x-k8s.io/managed",
        "kueue.x-k8s.io/pod-group-name",
        "kueue.x-k8s.io/priority-class",
        "kueue.x-k8s.io/job-uid",
        "kueue.x-k8s.io/workload",
        # LeaderWorkerSet
        "leaderworkerset.sigs.k8s.io/name",
        "leaderworkerset.sigs.k8s.io/group-index",
        "leaderworkerset.sigs.k8s.io/worker-index",
        "leaderworkerset.sigs.k8s.io/group-key",
    }
)
"""Labels and annotations of pods that are kept by default."""

_TIME = re.compile(
    r"(?P<seconds>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]+))?Z?"
)
_STATIC_UID = "kubernetes.io/config.hash"
_HASH_LABELS = {"pod-template-hash": "Deployment", "rollouts-pod-template-hash": "Rollout"}


def parse_pod(pod: Json, kept: Collection[str]) -> Pod:
    """
    A pod object. Raises KeyError, TypeError, ValueError or AttributeError if it is none.

    Containers are all that have a status or stand in the specification: init and ephemeral ones too, and an earlier
    life of a container before its present one. What schedulers of fractions and the kubelet wrote into annotations is
    read whether or not these are kept.
    """
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    owner_kind, owner_name = _owner(metadata, labels)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    annotations = metadata.get("annotations") or {}
    for value in (*labels.values(), *annotations.values()):
        _text(value)
    reserves, reserves_uuid = reservation_of(pod)
    return Pod(
        namespace=_text(metadata["namespace"]),
        name=_text(metadata["name"]),
        uid=_text(metadata["uid"]),
        phase=_text(status.get("phase", "")),
        labels=_cut(labels, kept),
        annotations=_cut(annotations, kept),
        owner_kind=owner_kind,
        owner_name=owner_name,
        containers=_containers(spec, status),
        fractions=fractions_of(pod),
        reserves=reserves,
        reserves_uuid=reserves_uuid,
        static_uid=_text(annotations.get(_STATIC_UID, "")),
        # A claim for what a container asks for as a resource is not in the specification.
        claims=bool(spec.get("resourceClaims") or status.get("extendedResourceClaimStatus")),
    )


def parse_node(node: Json) -> Node:
    """A node object. Raises KeyError, TypeError, ValueError or AttributeError if it is none."""
    metadata = node["metadata"]
    return Node(
        _text(metadata["name"]), dict(metadata.get("labels") or {}), dict(metadata.get("annotations") or {})
    )


def parse_time_ns(text: str | None) -> int | None:
    """Wall nanoseconds of an RFC 3339 time; the API server's have whole seconds. Raises ValueError."""
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        # fromisoformat alone also reads a day, an hour of four parts, and others.
        raise ValueError(f"{text!r:.80} is not a time of the API server")
    moment = datetime.fromisoformat(f"{found['seconds']}+00:00")
    return int(moment.timestamp()) * NS_PER_SECOND + int((found["fraction"] or "").ljust(9, "0")[:9])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    # JSON can spell half a character, which no message and no file takes: ValueError.
    value.encode()
    return value


def _cut(values: Mapping[str, str], kept: Collection[str]) -> dict[str, str]:
    return {key: _text(value)[:LONGEST_VALUE] for key, value in values.items() if key in kept}


def _owner(metadata: Json, labels: Mapping[str, str]) -> tuple[str, str]:
    """
    Who made the pod. A ReplicaSet is named after its Deployment and the hash of the pod's template, which the pod
    has as a label, so the Deployment needs no right to read ReplicaSets.
    """
    for owner in metadata.get("ownerReferences") or ():
        if not owner.get("controller"):
            continue
        kind, name = _text(owner["kind"]), _text(owner["name"])
        if kind == "ReplicaSet":
            for label, maker in _HASH_LABELS.items():
                suffix = f"-{labels.get(label, '')}"
                if len(suffix) > 1 and name.endswith(suffix):
                    return maker, name.removesuffix(suffix)
        return kind, name
    return "", ""


def _containers(spec: Json, status: Json) -> tuple[PodContainer, ...]:
    found: list[PodContainer] = []
    for group in ("initContainer", "container", "ephemeralContainer"):
        known: set[str] = set()
        specified = spec.get(f"{group}s") or ()
        # An init container that is restarted whenever it ends is a sidecar, and runs as long as the others.
        sidecars = {entry["name"] for entry in specified if entry.get("restartPolicy") == "Always"}
        for entry in status.get(f"{group}Statuses") or ():
            name = entry["name"]
            known.add(name)
            init = group == "initContainer" and name not in sidecars
            ended = (entry.get("lastState") or {}).get("terminated")
            if ended and ended.get("containerID"):
                found.append(_container(name, ended["containerID"], ended, init))
            state = entry.get("state") or {}
            life = state.get("running") or state.get("terminated") or {}
            found.append(
                _container(name, entry.get("containerID") or life.get("containerID") or "", life, init)
            )
        waiting = (entry["name"] for entry in specified if entry["name"] not in known)
        found += [
            PodContainer(_text(name), "", None, None, group == "initContainer" and name not in sidecars)
            for name in waiting
        ]
    return tuple(found)


def _container(name: str, container_id: str, life: Json, init: bool) -> PodContainer:
    return PodContainer(
        name=_text(name),
        # containerd://<id>, cri-o://<id>, docker://<id>
        container_id=container_id.rpartition("://")[2],
        started_at_ns=parse_time_ns(life.get("startedAt")),
        finished_at_ns=parse_time_ns(life.get("finishedAt")),
        init=init,
    )
