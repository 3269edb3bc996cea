"""The quarantine of the store in memory."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpucost.trouble import Reject

from gpucost_aggregator.store.quarantine_rows import (
    QuarantineId,
    QuarantinePage,
    QuarantineScope,
    Replay,
    SetAside,
)
from gpucost_aggregator.store.rows import AcceptedBatch, QuarantineTotals, Refused, Scope

_PREFIX = "aside:"


class MemoryQuarantine:
    """What is set aside, by its id; a content is there once."""

    def __init__(self) -> None:
        self._aside: dict[QuarantineId, SetAside] = {}
        self._messages: dict[QuarantineId, bytes] = {}

    def put(self, batch: AcceptedBatch) -> None:
        """What *batch* could not be accepted with."""
        for refused in batch.refused:
            if all(each.row != refused.row for each in self._aside.values()):
                self._add(batch, refused)
        known = {(each.agent, each.sequence_number) for each in self._aside.values() if each.row is None}
        if batch.malformed and (batch.agent, batch.sequence_number) not in known:
            entry = self._add(batch, None)
            self._messages[entry] = batch.malformed.message

    def page(self, scope: QuarantineScope, cursor: str | None, limit: int) -> QuarantinePage:
        """As the store's ``set_aside``."""
        found = sorted((each for each in self._aside.values() if _is_in(each, scope)), key=_order)
        if cursor is not None:
            number = cursor.removeprefix(_PREFIX)
            if number == cursor:
                raise Reject("this cursor is none of this store's")
            last = self._aside[QuarantineId.read(number)]
            found = [each for each in found if _order(each) > _order(last)]
        page = tuple(found[:limit])
        return QuarantinePage(page, f"{_PREFIX}{page[-1].id}" if len(found) > limit else None)

    def by_id(self, ids: Sequence[QuarantineId]) -> list[SetAside]:
        """As the store's ``set_aside_by_id``."""
        return [self._aside[each] for each in sorted(set(ids)) if each in self._aside]

    def message_of(self, wanted: QuarantineId) -> bytes | None:
        """As the store's ``malformed_message``."""
        return self._messages.get(wanted)

    def mark(self, replays: Sequence[Replay], at_ns: int, keep: Callable[[AcceptedBatch], None]) -> None:
        """Hand what *replays* accept to *keep*, and mark them; what was replayed before is left alone."""
        for each in replays:
            entry = self._aside.get(each.id)
            if entry is None or entry.replayed_at_ns is not None:
                continue
            if each.batch is not None:
                keep(each.batch)
                self.put(each.batch)
            change = (
                {"reason": each.reason, "tried_at_ns": at_ns} if each.reason else {"replayed_at_ns": at_ns}
            )
            self._aside[each.id] = replace(entry, **change)

    def totals(self, scope: Scope) -> QuarantineTotals:
        """As the store's ``quarantined``."""
        waiting = [each for each in self._aside.values() if each.replayed_at_ns is None]
        rows = {each.row: each.reason for each in waiting if each.row and _row_is_in(each, scope)}
        batches = [
            each
            for each in waiting
            if each.row is None
            and not scope.namespaces
            and each.received_at_ns >= scope.start_ns
            and (not scope.clusters or each.agent.node.cluster in scope.clusters)
        ]
        return QuarantineTotals(
            len(rows),
            sum(row.time.charged_ns for row in rows),
            sum(row.cost.nanodollars for row in rows),
            Counter(rows.values()),
            len(batches),
        )

    def _add(self, batch: AcceptedBatch, refused: Refused | None) -> QuarantineId:
        is_batch = refused is None
        number = 1 + sum(each.is_batch == is_batch for each in self._aside)
        own = QuarantineId(is_batch, number)
        reason = refused.reason if refused else batch.malformed.reason if batch.malformed else ""
        self._aside[own] = SetAside(
            own,
            batch.agent,
            batch.sequence_number,
            batch.received_at_ns,
            reason,
            refused.row if refused else None,
            len(batch.malformed.message) if is_batch and batch.malformed else None,
        )
        return own


def _order(entry: SetAside) -> tuple[int, QuarantineId]:
    return entry.received_at_ns, entry.id


def _is_in(entry: SetAside, scope: QuarantineScope) -> bool:
    node = entry.agent.node
    return (
        scope.since_ns <= entry.received_at_ns < scope.until_ns
        and (not scope.clusters or node.cluster in scope.clusters)
        and (not scope.nodes or node.node in scope.nodes)
        and scope.reason.lower() in entry.reason.lower()
        and (scope.replayed or entry.replayed_at_ns is None)
    )


def _row_is_in(entry: SetAside, scope: Scope) -> bool:
    assert entry.row is not None
    key = entry.row.key
    return (
        scope.start_ns <= key.window_start_ns < scope.end_ns
        and (not scope.clusters or key.node.cluster in scope.clusters)
        and (not scope.namespaces or key.holder.namespace in scope.namespaces)
    )
