from collections.abc import Mapping

import pytest
from gpucost.facts import WorkloadFacts
from gpucost.window import Interval

from gpucost_aggregator.reports.basis import MEASURED
from gpucost_aggregator.reports.model_names import STACK_LABELS, ModelName, model_name, owner
from gpucost_aggregator.reports.models import models
from gpucost_aggregator.reports.period import Period
from gpucost_aggregator.reports.report import Question, Remainder
from gpucost_aggregator.store.rows import QuarantineTotals, Sums, Total

QUESTION = Question(Period("1h", Interval(0, 9), Interval(0, 9)), MEASURED, 100)


def facts(labels: Mapping[str, str] | None = None, **more: object) -> WorkloadFacts:
    return WorkloadFacts("chat", "pod-0", "uid", 0, labels or {}, **more)  # type: ignore[arg-type]


def test_an_annotation_goes_before_a_label_and_both_before_a_stack() -> None:
    labels = {"gpucost.dev/model": "by-label", "model.aibrix.ai/name": "by-stack"}
    annotated = facts(labels, annotations={"gpucost.dev/model": "Qwen/Qwen3-32B"})
    assert model_name(annotated) == ModelName("Qwen/Qwen3-32B", "annotation gpucost.dev/model")
    assert model_name(facts(labels)) == ModelName("by-label", "label gpucost.dev/model")


@pytest.mark.parametrize(("key", "stack"), STACK_LABELS)
def test_each_stack_names_its_models(key: str, stack: str) -> None:
    named = model_name(facts({key: "m", "app": "x"}, owner_kind="Deployment", owner_name="d"))
    assert named == ModelName("m", f"label {key}", "" if stack == "label" else stack)


def test_stacks_that_say_what_they_are_part_of() -> None:
    labels = {"app.kubernetes.io/part-of": "nim-service", "app.kubernetes.io/name": "llama"}
    assert model_name(facts(labels)) == ModelName("llama", "label app.kubernetes.io/name", "NIM operator")
    del labels["app.kubernetes.io/part-of"]
    assert model_name(facts(labels)).source == "pod"


def test_the_owner_then_the_pod_then_nothing_yet() -> None:
    assert model_name(facts(owner_kind="Job", owner_name="tune")) == ModelName("Job/tune", "owner")
    assert model_name(facts()) == ModelName("pod-0", "pod")
    assert model_name(None) == ModelName("(pending)", "pending")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ReplicaSet", "llama-3-8b-7c9f5d6b8", ("Deployment", "llama-3-8b")),
        ("ReplicaSet", "plain", ("ReplicaSet", "plain")),
        ("ReplicaSet", "web-aeiou", ("ReplicaSet", "web-aeiou")),
        ("StatefulSet", "db-7c9f5d6b8", ("StatefulSet", "db-7c9f5d6b8")),
    ],
)
def test_a_replica_set_of_a_deployment_is_the_deployment(
    kind: str, name: str, expected: tuple[str, str]
) -> None:
    assert owner(facts(owner_kind=kind, owner_name=name)) == expected


def total(cluster: str, namespace: str, pod: str, cost: int, kind: str = "container") -> Total:
    key = (cluster, kind, namespace, pod, f"uid-{pod}", "override", "2026-11-01")
    return Total(key, Sums(used_ns=cost, cost_used_nanodollars=cost), 0, 9, 9)


def test_a_model_is_one_row_over_clusters_and_a_stand_in_one_within_its_namespace() -> None:
    named = facts({"gpucost.dev/model": "llama"})
    kept = facts(owner_kind="Deployment", owner_name="web")
    workloads = {
        ("east", "chat", "p1", "uid-p1"): named,
        ("west", "search", "p2", "uid-p2"): named,
        ("east", "chat", "p3", "uid-p3"): kept,
        ("east", "search", "p4", "uid-p4"): kept,
    }
    totals = [
        total("east", "chat", "p1", 5),
        total("west", "search", "p2", 6),
        total("east", "chat", "p3", 4),
        total("east", "search", "p4", 3),
        total("east", "sandbox", "p5", 1),
        total("east", "", "", 2, "host"),
    ]
    report = models(QUESTION, totals, workloads, QuarantineTotals())
    rows = [(row.subject.name, row.subject.namespaces, row.line.sums.cost_nanodollars) for row in report.rows]
    assert rows == [
        ("llama", ("chat", "search"), 11),
        ("Deployment/web", ("chat",), 4),
        ("Deployment/web", ("search",), 3),
        ("(pending)", ("sandbox",), 1),
    ]
    assert report.rows[0].subject.clusters == ("east", "west")
    assert report.rows[0].subject.pods == 2
    assert [row.subject.is_named for row in report.rows] == [True, False, False, False]
    assert report.remainders[Remainder.HOST].sums.cost_nanodollars == 2
