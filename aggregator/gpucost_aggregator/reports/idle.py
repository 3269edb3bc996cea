"""Which GPUs did nothing, who held them, and what that cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from gpucost.identity import HolderKind
from gpucost.units import NS_PER_HOUR
from gpucost.window import Interval

from gpucost_aggregator.reports.free_time import free_time
from gpucost_aggregator.reports.holding import HOLDING, Gpus, Holding, Workloads, facts_of, gpu_model
from gpucost_aggregator.reports.line import PRICE_DIMENSIONS, Group, group_of, join_groups
from gpucost_aggregator.reports.model_names import ModelName, model_name, owner
from gpucost_aggregator.reports.reasons import UNMEASURED
from gpucost_aggregator.reports.report import OF_KIND, Question, Remainder, Report, close
from gpucost_aggregator.store.rows import Dimension, QuarantineTotals, Sums, Total

BY = (*HOLDING, Dimension.SHADOW, *PRICE_DIMENSIONS)
"""What the totals of this report are grouped by: use that nobody gave tells free from idle."""

IGNORE = "gpucost.dev/idle-ignore"
"""Annotation of a pod that may be idle; it is shown, and marked."""


class Now(Enum):
    """
    What a holding was in the latest complete window.

    IDLE: idle as a whole, watched all the time. USED: its holder used it. SHADOW: nobody holds it, and somebody
    uses it all the same. UNKNOWN: some of it could not be read. OVER: it is no more.
    """

    IDLE = auto()
    USED = auto()
    SHADOW = auto()
    UNKNOWN = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Idle:
    """
    A holding that was idle for some of the period, or that nobody holds and somebody uses.

    Use of a device while nobody holds it is use of its free time, whoever it is; so it is never called idle then.
    *since_ns* is the end of its last window with use, or of nothing used, the start of its first;
    None if its last window had some use. *since_or_earlier*: it was idle when the period began.
    *latest* is what it was in the latest complete window. *in_part*: in that window a container held the
    device too, a share of it or for some of the time.
    *pace_nanodollars_per_hour* is what that window's idle time costs an hour.
    *owner_idle*: in that window nothing of the same owner had any use, or any unknown use.
    """

    holding: Holding
    since_ns: int | None
    since_or_earlier: bool
    latest: Now
    in_part: bool
    never_used: bool
    pace_nanodollars_per_hour: int
    gpu_model: str
    model: ModelName | None
    owner_kind: str
    owner_name: str
    owner_idle: bool
    ignored: bool

    @property
    def now(self) -> bool:
        """Whether the latest complete window was watched and idle as a whole."""
        return self.latest is Now.IDLE


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Time of a holding of which nobody knows whether it was idle, and why."""

    holding: Holding
    reason: str
    unknown_ns: int
    unknown_nanodollars: int
    gpu_model: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    How many GPUs there were in the latest complete window, and how many of them were what.

    A GPU counts once: *active* if anything of it was used, else *unknown* if some holder's use is, else *idle*
    if it is held, else *unobserved* if its holder is not known; else it is *free*.
    *allocated* are those of which a container holds something.
    *pace_nanodollars_per_hour* is what all of it costs an hour.
    """

    gpus: int = 0
    nodes: int = 0
    allocated: int = 0
    active: int = 0
    unknown: int = 0
    idle: int = 0
    unobserved: int = 0
    free: int = 0
    pace_nanodollars_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class IdleReport:
    """Idle holdings with the most expensive idle time first, and apart from them what can not be said."""

    report: Report[Idle]
    cannot_tell: tuple[CannotTell, ...]
    fleet: Fleet


@dataclass(frozen=True, slots=True)
class Seen:
    """Totals of the period, and of its *latest* window, both grouped by ``BY``; and the facts at hand."""

    totals: Sequence[Total]
    latest: Sequence[Total]
    latest_window: Interval
    workloads: Workloads = field(default_factory=dict)
    gpus: Gpus = field(default_factory=dict)


def idle(question: Question, seen: Seen, quarantined: QuarantineTotals) -> IdleReport:
    """The report of what was *seen*. Time that nobody watched is never idle, and stands in *cannot_tell*."""
    groups = _by_holding(seen.totals)
    latest = _by_holding(seen.latest)
    beside = free_time(seen.totals, seen.latest)
    busy = {_owner(seen.workloads, holding) for holding, group in latest.items() if _may_be_busy(group.sums)}
    rows: list[tuple[Idle, Group]] = []
    left: dict[Remainder, list[Group]] = defaultdict(list)
    for holding, group in groups.items():
        free = holding.holder_kind == HolderKind.UNALLOCATED.value
        now = latest.get(holding, Group()).sums
        # Who uses all of a free device leaves it no idle time, and without a row it would seem to be held.
        taken = free and now.reserved_ns + now.charged_ns > 0 and holding.device in beside.used_now
        if (holding.is_held or free) and (group.sums.idle_ns or taken):
            whole = replace(group, last_used_ns=beside.last_use(holding, group)) if free else group
            found = _idle(question, seen, holding, whole, now)
            if free:
                state = Now.SHADOW if taken else found.latest
                found = replace(found, latest=state, in_part=holding.device in beside.held_now)
            owner_idle = found.now and _owner(seen.workloads, holding) not in busy
            rows.append((replace(found, owner_idle=owner_idle), group))
        else:
            left[OF_KIND.get(holding.holder_kind, Remainder.NOT_IDLE)].append(group)
    rows.sort(key=_by_idle_cost)
    remainders = {kind: join_groups(many) for kind, many in left.items()}
    return IdleReport(
        close(question, rows, remainders, quarantined),
        _cannot_tell(groups, seen.gpus),
        _fleet(latest, seen.latest_window),
    )


def latest_window(answered: Interval, window_ns: int) -> Interval:
    """The last window of a period; empty if the period is."""
    return Interval(max(answered.start_ns, answered.end_ns - window_ns), answered.end_ns)


def _by_holding(totals: Sequence[Total]) -> dict[Holding, Group]:
    many: dict[Holding, list[Total]] = defaultdict(list)
    for total in totals:
        many[Holding(*total.key[: len(HOLDING)])].append(total)
    return {holding: group_of(same) for holding, same in many.items()}


def _by_idle_cost(row: tuple[Idle, Group]) -> tuple[int, int, Holding]:
    sums = row[1].sums
    return (-sums.cost_idle_nanodollars, -sums.idle_ns, row[0].holding)


def _idle(question: Question, seen: Seen, holding: Holding, group: Group, latest: Sums) -> Idle:
    facts = facts_of(seen.workloads, holding)
    kind, name = owner(facts) if facts else ("", "")
    since, or_earlier = _since(group, question.period.answered.start_ns)
    return Idle(
        holding=holding,
        since_ns=since,
        since_or_earlier=or_earlier,
        latest=_now(latest),
        in_part=False,
        never_used=group.last_used_ns is None,
        pace_nanodollars_per_hour=_an_hour(latest.cost_idle_nanodollars, seen.latest_window),
        gpu_model=gpu_model(seen.gpus, holding),
        model=model_name(facts) if holding.is_held else None,
        owner_kind=kind,
        owner_name=name,
        owner_idle=False,
        ignored=facts is not None and facts.annotations.get(IGNORE, "").lower() in ("true", "1", "yes"),
    )


def _now(latest: Sums) -> Now:
    if latest.used_ns:
        return Now.USED
    if latest.unmeasured_ns:
        return Now.UNKNOWN
    return Now.IDLE if latest.idle_ns else Now.OVER


def _may_be_busy(sums: Sums) -> bool:
    return sums.used_ns > 0 or sums.unmeasured_ns > 0


def _owner(workloads: Workloads, holding: Holding) -> tuple[str, str, str, str]:
    facts = facts_of(workloads, holding)
    kind, name = owner(facts) if facts else ("", holding.pod)
    return holding.cluster, holding.namespace, kind, name


def _an_hour(nanodollars: int, window: Interval) -> int:
    return nanodollars * NS_PER_HOUR // window.length_ns if window.length_ns else 0


def _since(group: Group, start_ns: int) -> tuple[int | None, bool]:
    if group.last_used_ns is None:
        return group.first_ns, group.first_ns is not None and group.first_ns <= start_ns
    if group.last_ns is not None and group.last_used_ns < group.last_ns:
        return group.last_used_ns, False
    return None, False


def _cannot_tell(groups: Mapping[Holding, Group], gpus: Gpus) -> tuple[CannotTell, ...]:
    found = []
    for holding, group in groups.items():
        sums = group.sums
        if holding.holder_kind == HolderKind.UNOBSERVED.value:
            why, unknown_ns, nanodollars = holding.reason, sums.charged_ns, sums.cost_nanodollars
        else:
            why, unknown_ns = UNMEASURED, sums.unmeasured_ns
            nanodollars = sums.cost_unmeasured_nanodollars
        if unknown_ns:
            found.append(CannotTell(holding, why, unknown_ns, nanodollars, gpu_model(gpus, holding)))
    return tuple(sorted(found, key=lambda row: (-row.unknown_nanodollars, -row.unknown_ns, row.holding)))


def _fleet(latest: Mapping[Holding, Group], window: Interval) -> Fleet:
    gpus = {holding.gpu for holding in latest}
    # Who uses a GPU that nobody gave to it holds nothing.
    allocated = {
        holding.gpu for holding, group in latest.items() if holding.is_held and group.sums.reserved_ns
    }
    active = {holding.gpu for holding, group in latest.items() if group.sums.used_ns}
    unread = {
        holding.gpu for holding, group in latest.items() if holding.is_held and group.sums.unmeasured_ns
    }
    unobserved = {
        holding.gpu for holding in latest if holding.holder_kind == HolderKind.UNOBSERVED.value
    } - allocated
    return Fleet(
        gpus=len(gpus),
        nodes=len({(holding.cluster, holding.node) for holding in latest}),
        allocated=len(allocated),
        active=len(active),
        unknown=len(unread - active),
        idle=len(allocated - unread - active),
        unobserved=len(unobserved - active),
        free=len(gpus - active - allocated - unread - unobserved),
        pace_nanodollars_per_hour=_an_hour(
            sum(group.sums.cost_nanodollars for group in latest.values()), window
        ),
    )
