"""The page of idle GPUs: what can be stopped now, what is free, and what is not known."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpucost import format as fmt
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.reports.idle import CannotTell, Idle, IdleReport
from gpucost_aggregator.reports.reasons import words_of
from gpucost_aggregator.reports.report import Report, Row
from gpucost_aggregator.reports.shadow import Shadow
from gpucost_aggregator.ui.absence import Absence, absence
from gpucost_aggregator.ui.devices import count_devices, kinds_of_devices, place_of
from gpucost_aggregator.ui.figures import Scale
from gpucost_aggregator.ui.free_states import (
    FREE_NOW,
    FREE_NOW_FIRST,
    IN_USE,
    MARKS,
    free_words,
    state_of_free,
    state_seen,
)
from gpucost_aggregator.ui.pages import render
from gpucost_aggregator.ui.replicas import silence
from gpucost_aggregator.ui.sentences import over_time
from gpucost_aggregator.ui.shadow_table import ShadowTable, shadow_table
from gpucost_aggregator.ui.shell import shell
from gpucost_aggregator.ui.sight import NOW_IN_USE, NOW_QUIET, Now, Sight, as_of, freshness
from gpucost_aggregator.ui.surroundings import Surroundings

HOURS_PER_MONTH = 730
NOTHING_SEEN = Sight()
MOST_TO_ACT_ON = 30
MOST_ROWS = 20
"""Of the other tables. A page stays readable; the exports have all."""


@dataclass(frozen=True, slots=True)
class IdleRow:
    """
    One holder or one free GPU as texts; *mark* is the shape beside its name.

    *pod* (empty: of nobody) and *devices* are what live data is matched by in the browser; *lately* is what it says.
    """

    name: str
    detail: str
    mark: str
    state: str
    lasting: str
    cost: str
    since: str
    pace: str
    gpus: str
    why: str
    owner: str
    owner_kind: str
    command: str
    node: str
    pod: str
    devices: str
    lately: str = ""


@dataclass(frozen=True, slots=True)
class IdlePage:
    """All tables of the page, largest first; *empty* where nothing was recorded at all."""

    headline: str
    lede: str
    act: tuple[IdleRow, ...]
    quiet: tuple[IdleRow, ...]
    free: tuple[IdleRow, ...]
    partly: tuple[IdleRow, ...]
    unknown: tuple[tuple[str, str, str, str], ...]
    shadow: ShadowTable | None
    beyond: Mapping[str, str]
    unit: str
    exports: tuple[tuple[str, str], ...]
    empty: Absence | None
    fresh: str
    as_of: str
    live_href: str
    live_seconds: str
    silence: str


def idle_page(
    found: IdleReport, shadows: Report[Shadow], scale: Scale, around: Surroundings, seen: Sight
) -> str:
    """The page of *found* and of *shadows* and of what is *seen* now, with amounts in *scale* of the whole range."""
    act, quiet, partly, free = idle_rows(found, scale, around, seen)
    shown = (*act[:MOST_TO_ACT_ON], *free[:MOST_ROWS], *partly[:MOST_ROWS])
    nothing = absence(around, found.report.total.group.first_ns, "Which GPUs are idle?")
    view = IdlePage(
        headline=nothing.sentence if nothing else _headline(found, act, scale, seen),
        lede=_lede(found, scale, around, seen),
        act=act[:MOST_TO_ACT_ON],
        quiet=quiet[:MOST_ROWS],
        free=free[:MOST_ROWS],
        partly=partly[:MOST_ROWS],
        unknown=tuple(_unknown(row, scale, around) for row in found.cannot_tell[:MOST_ROWS]),
        beyond={
            name: f" · {most} of {len(rows):,} shown, the exports have all"
            for name, rows, most in (
                ("act", act, MOST_TO_ACT_ON),
                ("partly", partly, MOST_ROWS),
                ("quiet", quiet, MOST_ROWS),
                ("free", free, MOST_ROWS),
                ("unknown", found.cannot_tell, MOST_ROWS),
            )
            if len(rows) > most
        },
        shadow=shadow_table(shadows, scale, around),
        unit=scale.unit,
        exports=(("CSV", around.export("idle", "csv")), ("JSON", around.export("idle", "json"))),
        empty=nothing,
        fresh="" if nothing else freshness(seen, around),
        as_of=as_of(around),
        live_href=around.live(dict.fromkeys(row.node for row in shown)),
        live_seconds=f"{seen.interval_ns / NS_PER_SECOND:.0f}",
        silence=silence(seen.replicas),
    )
    return render("idle.html", shell("Idle", around), view=view)


Rows = tuple[IdleRow, ...]


def idle_rows(
    found: IdleReport, scale: Scale, around: Surroundings, seen: Sight = NOTHING_SEEN
) -> tuple[Rows, Rows, Rows, Rows]:
    """To act on, quiet on purpose, idle in part, and free: one row a pod, or a free device."""
    pods: dict[tuple[str, bool], list[Row[Idle]]] = defaultdict(list)
    free = []
    for row in found.report.rows:
        holding = row.subject.holding
        if not holding.is_held:
            free.append(row)
        else:
            pod = f"{holding.cluster}/{holding.namespace}/{holding.pod}/{holding.pod_uid}"
            pods[pod, _is_idle_now(row.subject, seen)].append(row)
    lists: dict[str, list[list[Row[Idle]]]] = {"act": [], "quiet": [], "partly": []}
    for (_, now), rows in pods.items():
        lists["partly" if not now else "quiet" if rows[0].subject.ignored else "act"].append(rows)
    for name in ("act", "quiet"):
        lists[name].sort(key=lambda rows: -_pace(rows))
    lists["partly"].sort(key=lambda rows: -_idle_cost(rows))
    act, quiet, partly = (tuple(_held(rows, scale, around, seen) for rows in lists[name]) for name in lists)
    free.sort(key=lambda row: FREE_NOW_FIRST.index(state_seen(row.subject, seen)))
    return act, quiet, partly, tuple(_free(row, scale, around, seen) for row in free)


def waste_pace(found: IdleReport, seen: Sight = NOTHING_SEEN) -> int:
    """Nano-dollars an hour of what is held, idle now and not quiet on purpose."""
    return _pace(row for row in found.report.rows if _to_act_on(row.subject, seen))


def _to_act_on(subject: Idle, seen: Sight) -> bool:
    return _is_idle_now(subject, seen) and subject.holding.is_held and not subject.ignored


def _is_idle_now(subject: Idle, seen: Sight) -> bool:
    """By the latest complete window, and nobody has seen it used since."""
    return subject.now and seen.of(subject.holding) is not Now.IN_USE


def _headline(found: IdleReport, act: Rows, scale: Scale, seen: Sight) -> str:
    if not act:
        return "Nothing that is held is idle now."
    what = count_devices(row.subject.holding for row in found.report.rows if _to_act_on(row.subject, seen))
    who = fmt.count(len(act), "workload holds", "workloads hold")
    said = f"{who} {what} and {'does' if len(act) == 1 else 'do'} nothing."
    if not scale.in_money:
        return said
    pace = fmt.money_sentence(waste_pace(found, seen) * HOURS_PER_MONTH)
    return f"{said} Left alone, {'it costs' if len(act) == 1 else 'they cost'} {pace} a month."


def _lede(found: IdleReport, scale: Scale, around: Surroundings, seen: Sight) -> str:
    fleet = found.fleet
    if not fleet.gpus:
        return "Time that nobody watched is never called idle."
    held = [row for row in found.report.rows if row.subject.holding.is_held]
    spent = sum(row.line.sums.cost_idle_nanodollars for row in held)
    when = over_time(around, found.report.total.group.first_ns)
    cost = f" Idle holders cost {fmt.money_sentence(spent)} {when}." if scale.in_money else ""
    # A filter of namespaces leaves out what nobody holds: there is no table of it, and nothing to say.
    free = "" if around.picked_namespaces else free_words((row.subject for row in found.report.rows), seen)
    return (
        f"Of {fmt.count(fleet.gpus, 'GPU')}, {fmt.count(fleet.allocated, 'is', 'are')} held,"
        f" {fleet.idle:,} of these without any use{free}.{cost}"
        " Time that nobody watched is never called idle."
    )


def _held(rows: Sequence[Row[Idle]], scale: Scale, around: Surroundings, seen: Sight) -> IdleRow:
    subject, holding = rows[0].subject, rows[0].subject.holding
    idle_now = _is_idle_now(subject, seen)
    looks = {seen.of(row.subject.holding) for row in rows}
    since = [row.subject.since_ns for row in rows if row.subject.since_ns is not None]
    place = [
        holding.namespace,
        kinds_of_devices((row.subject.holding, row.subject.gpu_model) for row in rows),
    ]
    if len(around.clusters) > 1:
        place.append(holding.cluster)
    never = all(row.subject.never_used for row in rows)
    state = ("Never used" if never else "Idle") if idle_now else "In use in part"
    if subject.now and not idle_now:
        lately = f"{NOW_IN_USE.lower()} {seen.lasting(row.subject.holding for row in rows)}"
    else:
        lately = NOW_QUIET if looks == {Now.QUIET} and not idle_now else ""
    return IdleRow(
        name=holding.pod,
        detail=" · ".join(place),
        mark="part" if not idle_now else "never" if never else "full",
        state=state,
        lasting=_lasting(min(since, default=None), any(row.subject.since_or_earlier for row in rows), around),
        cost=_cost(rows, scale),
        since=_since(min(since, default=None), around),
        pace=_pace_text(rows, scale),
        gpus=count_devices(row.subject.holding for row in rows),
        why=_why(rows, scale),
        owner=subject.owner_name or holding.pod,
        owner_kind=subject.owner_kind
        or ("facts pending" if not subject.model or subject.model.source == "pending" else "bare pod"),
        command=_command(subject) if idle_now else "",
        node=holding.node,
        pod=f"{holding.cluster}/{holding.namespace}/{holding.pod}/{holding.pod_uid}",
        devices=_devices(rows),
        lately=lately,
    )


def _free(row: Row[Idle], scale: Scale, around: Surroundings, seen: Sight) -> IdleRow:
    subject, holding = row.subject, row.subject.holding
    name, detail = place_of(holding, subject.gpu_model)
    state, before = state_seen(subject, seen), state_of_free(subject)
    lasting = _lasting(subject.since_ns, subject.since_or_earlier, around) if subject.now else ""
    if state != before:
        lasting = seen.lasting([holding])
    elif state == IN_USE:
        lasting = "not given"
    return IdleRow(
        name=name,
        detail=detail,
        mark=MARKS.get(state, "free"),
        state=state,
        lasting=lasting,
        cost=_cost([row], scale),
        since=_since(subject.since_ns, around),
        pace=_pace_text([row], scale) if subject.now else fmt.DOES_NOT_APPLY,
        gpus="",
        why=scale.hours(row.line.sums.idle_ns),
        owner="",
        owner_kind="",
        command="",
        node=holding.node,
        pod="",
        devices=_devices([row]) if before == FREE_NOW else "",
    )


def _devices(rows: Iterable[Row[Idle]]) -> str:
    held = (row.subject.holding for row in rows)
    return " ".join(dict.fromkeys(f"{each.gpu_uuid}:{each.gi}:{each.ci}" for each in held))


def _pace(rows: Iterable[Row[Idle]]) -> int:
    return sum(row.subject.pace_nanodollars_per_hour for row in rows)


def _idle_cost(rows: Iterable[Row[Idle]]) -> int:
    return sum(row.line.sums.cost_idle_nanodollars for row in rows)


def _pace_text(rows: Sequence[Row[Idle]], scale: Scale) -> str:
    unpriced = all(row.line.sums.unpriced_ns == row.line.sums.charged_ns for row in rows)
    if unpriced or not scale.in_money:
        return fmt.price(None)
    return fmt.money(_pace(rows) * HOURS_PER_MONTH, 0)


def _cost(rows: Sequence[Row[Idle]], scale: Scale) -> str:
    if scale.in_money:
        unpriced = all(row.line.sums.unpriced_ns == row.line.sums.charged_ns for row in rows)
        return fmt.price(None) if unpriced else scale.money(_idle_cost(rows))
    return scale.hours(sum(row.line.sums.idle_ns for row in rows))


def _lasting(since_ns: int | None, or_earlier: bool, around: Surroundings) -> str:
    if since_ns is None:
        return ""
    length = fmt.duration(around.period.answered.end_ns - since_ns)
    return f"for over {length}" if or_earlier else f"for {length}"


def _since(since_ns: int | None, around: Surroundings) -> str:
    if since_ns is None:
        return ""
    return f"since {fmt.instant(since_ns, around.zone).rsplit(' ', 1)[0].split(' ', 1)[1]}"


def _why(rows: Sequence[Row[Idle]], scale: Scale) -> str:
    idle = sum(row.line.sums.idle_ns for row in rows)
    used = sum(row.line.sums.used_ns for row in rows)
    unknown = sum(row.line.sums.unmeasured_ns for row in rows)
    said = f"{fmt.percent(idle, idle + used + unknown)} of what it pays for was idle"
    if not used and not unknown:
        said = "Watched all the time, and no activity at all"
    elif unknown:
        said = f"{said}, {fmt.percent(unknown, idle + used + unknown)} unknown"
    return f"{said}; {scale.hours(idle)} GPU-hours"


def _command(subject: Idle) -> str:
    """For a person to run: stops the whole owner only where nothing else of it works."""
    holding = subject.holding
    words = ["kubectl", "-n", holding.namespace]
    if subject.owner_kind == "Job" and subject.owner_idle:
        words += ["delete", f"job/{subject.owner_name}"]
    elif subject.owner_kind in ("Deployment", "StatefulSet") and subject.owner_idle:
        words += ["scale", f"{subject.owner_kind.lower()}/{subject.owner_name}", "--replicas=0"]
    elif subject.owner_kind in ("Deployment", "StatefulSet", "Job"):
        words += ["describe", f"pod/{holding.pod}"]
    else:
        words += ["delete", f"pod/{holding.pod}"]
    return shlex.join(words)


def _unknown(row: CannotTell, scale: Scale, around: Surroundings) -> tuple[str, str, str, str]:
    holding = row.holding
    name, place = place_of(holding, row.gpu_model)
    if holding.is_held:
        name, place = holding.pod, f"{holding.namespace} · {holding.device_name}"
        if len(around.clusters) > 1:
            place = f"{place} · {holding.cluster}"
    amount = scale.money(row.unknown_nanodollars) if scale.in_money else scale.hours(row.unknown_ns)
    return name, place, words_of(row.reason), amount
