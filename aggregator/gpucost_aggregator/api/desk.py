"""Where questions become reports: asks the store in reader threads, and hands totals to pure reports."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gpucost.trouble import Reject
from gpucost.window import Interval

from gpucost_aggregator.api.ask import Ask
from gpucost_aggregator.api.parts import Parts
from gpucost_aggregator.api.problems import BadRequest
from gpucost_aggregator.reports import five_parts
from gpucost_aggregator.reports import idle as idle_report
from gpucost_aggregator.reports import models as models_report
from gpucost_aggregator.reports import namespaces as namespaces_report
from gpucost_aggregator.reports import period as periods
from gpucost_aggregator.reports import shadow as shadow_report
from gpucost_aggregator.reports.completeness import Completeness, completeness
from gpucost_aggregator.reports.five_parts import Shares
from gpucost_aggregator.reports.idle import IdleReport, Seen
from gpucost_aggregator.reports.models import Model
from gpucost_aggregator.reports.names import Names, unheard
from gpucost_aggregator.reports.namespaces import Namespace
from gpucost_aggregator.reports.period import Period, Record
from gpucost_aggregator.reports.report import Question, Report
from gpucost_aggregator.reports.shadow import Shadow
from gpucost_aggregator.reports.steps import steps
from gpucost_aggregator.store.closed_rows import AdjustmentPage
from gpucost_aggregator.store.rows import Dimension, QuarantineTotals, Scope, SlicePage, Total

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settled:
    """An ask whose window is known: what it is asked of, and how far the books were closed then."""

    ask: Ask
    period: Period
    known: Completeness
    now_ns: int
    names: Names = field(default_factory=Names)

    @property
    def question(self) -> Question:
        """What a report is asked."""
        return Question(self.period, self.ask.basis, self.ask.limit)

    @property
    def scope(self) -> Scope:
        """Which slices it is about."""
        return self.scope_of(self.period.answered)

    def scope_of(self, interval: Interval) -> Scope:
        """The same filter over another stretch of time."""
        return Scope(interval.start_ns, interval.end_ns, self.ask.clusters, self.ask.namespaces)

    def everybodys(self, scope: Scope) -> Scope:
        """*scope* without its filter of namespaces, as far as the reader may see."""
        return replace(scope, namespaces=self.ask.reader.namespaces)


class Desk:
    """
    Answers from the store of *parts*.

    Every method may raise what the store raises: ``Retry`` and ``Stop``.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def settle(self, ask: Ask) -> Settled:
        """
        Find out what window *ask* means now.

        Raises:
            BadRequest: It means none.
        """
        progress = await self._read(self._parts.store.progress)
        now_ns = self._parts.clock.now().wall_ns
        known = completeness(progress, ask.clusters, now_ns)
        if ask.reader.sees_holders_only:
            # How many nodes there are, and which, is not theirs.
            known = replace(known, nodes=0, silent=())
        settled = Settled(ask, _period(ask, now_ns, known), known, now_ns)
        heard = {node.node.cluster for node in progress}
        clusters = tuple(sorted(heard.intersection(ask.reader.clusters) if ask.reader.clusters else heard))
        return replace(settled, names=await self._names(settled, clusters))

    def settle_again(self, settled: Settled, window: str) -> Settled:
        """The same ask over another *window*, with the books as far closed as before."""
        ask = replace(settled.ask, window=window)
        return replace(settled, ask=ask, period=_period(ask, settled.now_ns, settled.known))

    async def record(self, settled: Settled) -> Record:
        """Whether the clusters asked for recorded anything in the window, and since when they do."""
        everybodys = settled.everybodys(settled.scope)
        begins_ns, totals = await asyncio.gather(
            self._read(lambda: self._parts.store.first_window_ns(settled.ask.clusters)),
            self.totals(everybodys, ()),
        )
        return Record(begins_ns, bool(totals))

    async def namespaces(self, settled: Settled) -> Report[Namespace]:
        """What each namespace cost."""
        totals, quarantined = await asyncio.gather(
            self.totals(settled.scope, namespaces_report.BY), self._quarantined(settled)
        )
        return namespaces_report.namespaces(settled.question, totals, quarantined)

    async def models(self, settled: Settled) -> Report[Model]:
        """What each model cost."""
        store, scope = self._parts.store, settled.scope
        totals, workloads, quarantined = await asyncio.gather(
            self.totals(scope, models_report.BY),
            self._read(lambda: store.workloads(scope)),
            self._quarantined(settled),
        )
        return models_report.models(settled.question, totals, workloads, quarantined)

    async def idle(self, settled: Settled) -> IdleReport:
        """Which GPUs were idle."""
        store, scope = self._parts.store, settled.scope
        last = idle_report.latest_window(settled.period.answered, settled.known.step_ns)
        totals, latest, workloads, gpus, quarantined = await asyncio.gather(
            self.totals(scope, idle_report.BY),
            self.totals(settled.scope_of(last), idle_report.BY),
            self._read(lambda: store.workloads(scope)),
            self._read(store.gpus),
            self._quarantined(settled),
        )
        seen = Seen(totals, latest, last, workloads, gpus)
        return idle_report.idle(settled.question, seen, quarantined)

    async def shadow(self, settled: Settled) -> Report[Shadow]:
        """Who used GPUs that nobody gave to them."""
        store, scope = self._parts.store, settled.scope
        totals, gpus, quarantined = await asyncio.gather(
            self.totals(scope, shadow_report.BY),
            self._read(store.gpus),
            self._quarantined(settled),
        )
        seen = shadow_report.Seen(totals, totals, gpus=gpus)
        if shadow_report.has_shadows(totals):
            # Whoever had been given the device may be of another namespace than those asked for.
            beside = totals
            if scope.namespaces:
                beside = await self.totals(settled.everybodys(scope), shadow_report.BY)
            workloads = await self._read(lambda: store.workloads(scope))
            seen = replace(seen, beside=beside, workloads=workloads)
        return shadow_report.shadow(settled.question, seen, quarantined)

    async def shares(self, settled: Settled) -> Shares:
        """The five parts of everything in the window."""
        return await self._shares(settled.scope)

    async def spend(self, settled: Settled, since_ns: int) -> list[tuple[Interval, Shares]]:
        """The five parts step by step, from *since_ns* on, where the books begin later than the window."""
        answered = settled.period.answered
        stretch = Interval(max(answered.start_ns, since_ns), answered.end_ns)
        pieces = steps(stretch, settled.known.step_ns)
        found = await asyncio.gather(*(self._shares(settled.scope_of(piece)) for piece in pieces))
        return list(zip(pieces, found, strict=True))

    async def slices(self, settled: Settled) -> SlicePage:
        """
        One page of the slices themselves.

        Raises:
            BadRequest: The cursor is none of this store's.
        """
        ask, scope = settled.ask, settled.scope
        try:
            return await self._read(lambda: self._parts.store.slices(scope, ask.cursor, ask.limit))
        except Reject as trouble:
            raise BadRequest(str(trouble), "take next_cursor of the page before", "cursor") from None

    async def adjustments(self, settled: Settled) -> AdjustmentPage:
        """
        One page of what adjusts the slices.

        Raises:
            BadRequest: The cursor is none of this store's.
        """
        ask, scope = settled.ask, settled.scope
        try:
            return await self._read(lambda: self._parts.store.adjustments(scope, ask.cursor, ask.limit))
        except Reject as trouble:
            raise BadRequest(str(trouble), "take next_cursor of the page before", "cursor") from None

    async def totals(self, scope: Scope, by: Sequence[Dimension]) -> list[Total]:
        """Sums of the slices in *scope*; an empty stretch of time has none, and is not asked."""
        if scope.start_ns >= scope.end_ns:
            return []
        return await self._read(lambda: self._parts.store.totals(scope, by))

    async def _quarantined(self, settled: Settled) -> QuarantineTotals:
        held = await self._read(lambda: self._parts.store.quarantined(settled.scope))
        # Nobody knows whose slices an unreadable batch has, so they are not those of a reader of namespaces.
        return replace(held, batches=0) if settled.ask.reader.sees_holders_only else held

    async def _names(self, settled: Settled, clusters: tuple[str, ...]) -> Names:
        ask = settled.ask
        names = Names(clusters=clusters, unheard_clusters=unheard(ask.clusters, clusters))
        if not ask.namespaces or (ask.clusters and ask.clusters == names.unheard_clusters):
            return names
        found = await self.totals(settled.scope, (Dimension.NAMESPACE,))
        missing = unheard(ask.namespaces, [total.key[0] for total in found])
        if not missing:
            return names
        # What held nothing in the window may have done so at another time.
        held = await self._read(lambda: self._parts.store.namespaces(ask.clusters))
        held = [name for name in held if not ask.reader.namespaces or name in ask.reader.namespaces]
        return replace(names, namespaces=tuple(held), unheard_namespaces=unheard(missing, held))

    async def _shares(self, scope: Scope) -> Shares:
        return five_parts.shares_of_totals(await self.totals(scope, five_parts.BY))

    async def _read(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.readers, call)


def _period(ask: Ask, now_ns: int, known: Completeness) -> Period:
    try:
        return periods.period(ask.window, ask.zone, now_ns, known)
    except Reject as trouble:
        raise BadRequest(str(trouble), periods.hint(ask.window), "window") from None
