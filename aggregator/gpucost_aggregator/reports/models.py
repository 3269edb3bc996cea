"""What each model cost, over all clusters."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gpucost_aggregator.reports.holding import Workloads
from gpucost_aggregator.reports.line import PRICE_DIMENSIONS, group_of
from gpucost_aggregator.reports.model_names import ModelName, model_name
from gpucost_aggregator.reports.report import OF_KIND, Question, Remainder, Report, by_cost, close
from gpucost_aggregator.store.rows import Dimension, QuarantineTotals, Total

BY = (
    Dimension.CLUSTER,
    Dimension.HOLDER_KIND,
    Dimension.NAMESPACE,
    Dimension.POD,
    Dimension.POD_UID,
    *PRICE_DIMENSIONS,
)
"""What the totals of this report are grouped by."""


@dataclass(frozen=True, slots=True)
class Model:
    """
    A model, where it ran, and who says that it is called so: *sources* and *stacks*.

    An owner or a pod stands in for a model that nobody named; such a row is one within a namespace.
    """

    name: str
    sources: tuple[str, ...]
    stacks: tuple[str, ...]
    clusters: tuple[str, ...]
    namespaces: tuple[str, ...]
    pods: int

    @property
    def is_named(self) -> bool:
        """Whether somebody said what the model is called."""
        return not {"owner", "pod", "pending"}.intersection(self.sources)


def models(
    question: Question, totals: Sequence[Total], workloads: Workloads, quarantined: QuarantineTotals
) -> Report[Model]:
    """The report of *totals*, which are grouped by ``BY``; pods without *workloads* are pending."""
    paid: dict[tuple[str, str], list[tuple[ModelName, Total]]] = defaultdict(list)
    left: dict[Remainder, list[Total]] = defaultdict(list)
    for total in totals:
        cluster, kind, namespace, pod, uid, *_ = total.key
        if kind in OF_KIND:
            left[OF_KIND[kind]].append(total)
            continue
        named = model_name(workloads.get((cluster, namespace, pod, uid)))
        paid[named.name, "" if named.is_given else namespace].append((named, total))
    rows = [(_model(many), group_of(total for _, total in many)) for many in paid.values()]
    rows.sort(key=lambda row: (*by_cost(row[1]), row[0].name, row[0].namespaces))
    return close(question, rows, {kind: group_of(many) for kind, many in left.items()}, quarantined)


def _model(many: Sequence[tuple[ModelName, Total]]) -> Model:
    names = [named for named, _ in many]
    keys = [total.key for _, total in many]
    return Model(
        name=names[0].name,
        sources=tuple(sorted({named.source for named in names})),
        stacks=tuple(sorted({named.stack for named in names if named.stack})),
        clusters=tuple(sorted({key[0] for key in keys})),
        namespaces=tuple(sorted({key[2] for key in keys})),
        pods=len({key[:5] for key in keys}),
    )
