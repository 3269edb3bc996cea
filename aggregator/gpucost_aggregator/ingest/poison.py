"""A batch on which the store chokes: how often it did, and what stands in its place when it is given up."""

from collections import OrderedDict
from dataclasses import replace

from gpucost_aggregator.store.rows import AcceptedBatch, AgentId, Malformed

MAX_REMEMBERED = 10_000
"""Batches whose failures are counted at once; a node's agent sends one such batch at a time."""

_MOST_REASON = 500


class Failures:
    """How often each batch failed alone; an agent sends it again each time, after a pause of its own."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[AgentId, int], int] = OrderedDict()

    def another(self, batch: AcceptedBatch) -> int:
        """*batch* failed once more; how often that is by now."""
        key = (batch.agent, batch.sequence_number)
        self._counts[key] = self._counts.pop(key, 0) + 1
        if len(self._counts) > MAX_REMEMBERED:
            self._counts.popitem(last=False)
        return self._counts[key]

    def over(self, batch: AcceptedBatch) -> None:
        """*batch* needs no more counting."""
        self._counts.pop((batch.agent, batch.sequence_number), None)


def set_aside_whole(batch: AcceptedBatch, trouble: Exception) -> AcceptedBatch:
    """*batch* as nothing but its message, kept with the *trouble* that it made; it closes no window."""
    reason = f"the store failed on it: {type(trouble).__name__}: {trouble}"[:_MOST_REASON]
    return replace(
        batch,
        closed_through_ns=0,
        slices=(),
        refused=(),
        workloads=(),
        gpus=(),
        price_book_version="",
        malformed=Malformed(batch.message, reason),
    )
