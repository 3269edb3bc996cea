"""What each namespace cost."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gpucost_aggregator.reports.line import PRICE_DIMENSIONS, group_of
from gpucost_aggregator.reports.report import OF_KIND, Question, Remainder, Report, by_cost, close
from gpucost_aggregator.store.rows import Dimension, QuarantineTotals, Total

BY = (Dimension.CLUSTER, Dimension.HOLDER_KIND, Dimension.NAMESPACE, *PRICE_DIMENSIONS)
"""What the totals of this report are grouped by."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of one cluster; the same name in another cluster is another row."""

    cluster: str
    namespace: str


def namespaces(
    question: Question, totals: Sequence[Total], quarantined: QuarantineTotals
) -> Report[Namespace]:
    """The report of *totals*, which are grouped by ``BY``."""
    paid: dict[Namespace, list[Total]] = defaultdict(list)
    left: dict[Remainder, list[Total]] = defaultdict(list)
    for total in totals:
        cluster, kind, namespace, *_ = total.key
        if kind in OF_KIND:
            left[OF_KIND[kind]].append(total)
        else:
            paid[Namespace(cluster, namespace)].append(total)
    rows = [(subject, group_of(many)) for subject, many in paid.items()]
    rows.sort(key=lambda row: (*by_cost(row[1]), row[0].cluster, row[0].namespace))
    return close(question, rows, {kind: group_of(many) for kind, many in left.items()}, quarantined)
