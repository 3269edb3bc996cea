"""What the model of a pod is called, and who says so."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from gpucost.facts import WorkloadFacts

PENDING = "(pending)"
"""The name of what is known from slices only: facts travel apart and may come later."""

EXPLICIT = "gpucost.dev/model"

STACK_LABELS = (
    ("llm-d.ai/model", "llm-d"),
    ("serving.kserve.io/inferenceservice", "KServe"),
    ("model.aibrix.ai/name", "AIBrix"),
    ("seldon-deployment-id", "Seldon Core"),
    ("seldon-server-name", "Seldon Core"),
    ("ray.io/originated-from-cr-name", "KubeRay"),
    ("ray.io/cluster", "KubeRay"),
    ("leaderworkerset.sigs.k8s.io/name", "LeaderWorkerSet"),
    ("training.kubeflow.org/job-name", "Kubeflow Trainer"),
    ("jobset.sigs.k8s.io/jobset-name", "JobSet"),
    ("notebook-name", "Kubeflow Notebooks"),
    ("model", "label"),
)
"""
Labels that name a model or the object that serves it, the surest first, and the stack that sets them.

Keys are those in the stacks' own sources: KServe pkg/constants, AIBrix and llm-d API constants, KubeRay
utils/constant, LeaderWorkerSet and JobSet API types; Seldon's and Kubeflow's from their documentation.
The bare ``model`` (vLLM production-stack sets it, others may) is the last.
"""

PART_OF_LABELS = (
    ("nim-service", "NIM operator"),
    ("llminferenceservice", "KServe LLMInferenceService"),
)
"""Stacks that say ``app.kubernetes.io/part-of`` and put the model's name in ``app.kubernetes.io/name``."""

_REPLICA_SET = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{5,10}")
"""A Deployment's ReplicaSet ends in a hash of these characters (apimachinery's SafeEncodeString)."""


class ModelName(NamedTuple):
    """
    A name and its *source*: the annotation or label, ``owner``, ``pod`` or ``pending``.

    *stack* is the serving stack that set it, empty if none. Only names that somebody gave a model are one
    model wherever they occur; an owner or a pod is one within its namespace.
    """

    name: str
    source: str
    stack: str = ""

    @property
    def is_given(self) -> bool:
        """Whether it names a model, rather than whatever runs."""
        return self.source not in ("owner", "pod")


def model_name(facts: WorkloadFacts | None) -> ModelName:
    """The best name that *facts* give; ``(pending)`` without facts."""
    if facts is None:
        return ModelName(PENDING, "pending")
    return (
        _explicit(facts)
        or _by_part_of(facts.labels)
        or _by_stack(facts.labels)
        or _by_owner(facts)
        or ModelName(facts.pod, "pod")
    )


def _explicit(facts: WorkloadFacts) -> ModelName | None:
    for where, words in (("annotation", facts.annotations), ("label", facts.labels)):
        if name := words.get(EXPLICIT):
            return ModelName(name, f"{where} {EXPLICIT}")
    return None


def _by_stack(labels: Mapping[str, str]) -> ModelName | None:
    for key, stack in STACK_LABELS:
        if name := labels.get(key):
            return ModelName(name, f"label {key}", "" if stack == "label" else stack)
    return None


def _by_part_of(labels: Mapping[str, str]) -> ModelName | None:
    stack = dict(PART_OF_LABELS).get(labels.get("app.kubernetes.io/part-of", ""))
    name = labels.get("app.kubernetes.io/name")
    return ModelName(name, "label app.kubernetes.io/name", stack) if stack and name else None


def _by_owner(facts: WorkloadFacts) -> ModelName | None:
    kind, name = owner(facts)
    return ModelName(f"{kind}/{name}", "owner") if name else None


def owner(facts: WorkloadFacts) -> tuple[str, str]:
    """Kind and name of what keeps the pod alive; a Deployment's ReplicaSet is read as the Deployment."""
    if facts.owner_kind == "ReplicaSet" and (hashed := _REPLICA_SET.fullmatch(facts.owner_name)):
        return "Deployment", hashed[1]
    return facts.owner_kind, facts.owner_name
