"""Who used GPUs that nobody gave to them, and who had been given these."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpucost.identity import HolderKind

from gpucost_aggregator.reports.holding import HOLDING, Gpus, Holding, Workloads, facts_of, gpu_model
from gpucost_aggregator.reports.line import PRICE_DIMENSIONS, Group, group_of, join_groups
from gpucost_aggregator.reports.model_names import owner
from gpucost_aggregator.reports.report import OF_KIND, Question, Remainder, Report, by_cost, close
from gpucost_aggregator.store.rows import SHADOW, Dimension, QuarantineTotals, Total

BY = (*HOLDING, Dimension.SHADOW, *PRICE_DIMENSIONS)
"""What the totals of this report are grouped by: who is a shadow now and then is another group then."""

MOST_HOLDERS = 10
"""More holders of one device than this are counted, not named."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """
    A container on a device of which neither it nor another of its pod held anything, or the host's processes.

    *first_ns* is the start of the first and *last_ns* the end of the last window with such use. *holders* are
    the pods to which the device was given within that time, as ``namespace/pod``, at most ``MOST_HOLDERS`` of
    *holders_in_all*. *free*: within that time nobody held some of it. *unsure* are the reasons why it is not
    known, for some of that time, who held it.
    """

    holding: Holding
    first_ns: int
    last_ns: int
    holders: tuple[str, ...]
    holders_in_all: int
    free: bool
    unsure: tuple[str, ...]
    gpu_model: str
    owner_kind: str
    owner_name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """
    Totals of the period, grouped by ``BY``; and the facts at hand.

    *beside* are those of everybody on the same devices, where *totals* are of some namespaces only.
    """

    totals: Sequence[Total]
    beside: Sequence[Total]
    workloads: Workloads = field(default_factory=dict)
    gpus: Gpus = field(default_factory=dict)


Key = tuple[Holding, bool]
"""A holder on a device, and whether nobody gave it to it."""


def shadow(question: Question, seen: Seen, quarantined: QuarantineTotals) -> Report[Shadow]:
    """The report of what was *seen*, the most expensive first. What a pod's own containers use is *given*."""
    beside = defaultdict(list)
    for (holding, _), group in _groups(seen.beside).items():
        beside[holding.device].append((holding, group))
    rows: list[tuple[Shadow, Group]] = []
    left: dict[Remainder, list[Group]] = defaultdict(list)
    for (holding, unasked), group in _groups(seen.totals).items():
        if unasked:
            rows.append((_shadow(seen, holding, group, beside[holding.device]), group))
        else:
            left[OF_KIND.get(holding.holder_kind, Remainder.GIVEN)].append(group)
    rows.sort(key=lambda row: (*by_cost(row[1]), row[0].holding))
    remainders = {kind: join_groups(many) for kind, many in left.items()}
    return close(question, rows, remainders, quarantined)


def has_shadows(totals: Sequence[Total]) -> bool:
    """Whether there is a row in the report of *totals*."""
    return any(unasked for _, unasked in _groups(totals))


def _groups(totals: Sequence[Total]) -> Mapping[Key, Group]:
    many: dict[Key, list[Total]] = defaultdict(list)
    for total in totals:
        holding, flag = Holding(*total.key[: len(HOLDING)]), total.key[len(HOLDING)]
        # The kubelet gives nothing to the host.
        many[holding, flag == SHADOW or holding.holder_kind == HolderKind.HOST.value].append(total)
    return {key: group_of(same) for key, same in many.items()}


def _shadow(seen: Seen, holding: Holding, group: Group, beside: Sequence[tuple[Holding, Group]]) -> Shadow:
    facts = facts_of(seen.workloads, holding)
    kind, name = owner(facts) if facts else ("", "")
    near = [(other, them) for other, them in beside if _meet(group, them)]
    holders = sorted(
        {
            f"{other.namespace}/{other.pod}"
            for other, them in near
            if other.is_held and them.sums.reserved_ns and other.pod_key != holding.pod_key
        }
    )
    return Shadow(
        holding=holding,
        first_ns=group.first_ns or 0,
        last_ns=group.last_ns or 0,
        holders=tuple(holders[:MOST_HOLDERS]),
        holders_in_all=len(holders),
        free=any(other.holder_kind == HolderKind.UNALLOCATED.value for other, _ in near),
        unsure=tuple(sorted({other.reason for other, _ in near if other.reason})),
        gpu_model=gpu_model(seen.gpus, holding),
        owner_kind=kind,
        owner_name=name,
    )


def _meet(one: Group, other: Group) -> bool:
    """Whether the windows that two groups span have some time in common."""
    if one.first_ns is None or one.last_ns is None or other.first_ns is None or other.last_ns is None:
        return False
    return one.first_ns < other.last_ns and other.first_ns < one.last_ns
