"""From a batch's message to what the store keeps: read, checked, the bad set apart. Pure but for its counts."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpucost.identity import NodeId
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2, stream_pb2
from gpucost.wire import BatchContent, Unreadable, readable_part
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.ingest.bounds import FUTURE_NS
from gpucost_aggregator.ingest.checks import MAX_SLICES, Checked, check_slices
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import Greeting
from gpucost_aggregator.store.rows import AcceptedBatch, Malformed

MAX_FACTS = 10_000
"""Pods and GPUs that one batch may tell of: far more than a node has."""

MAX_NAMES = 8 * MAX_SLICES
"""A holder has four names, a slice a method and some flags, and each stands in the table once."""

MAX_FLAGS = 64
"""Of one slice; there are about a dozen."""

MAX_SEQUENCE_NUMBER = (1 << 63) - 1

ROW_BYTES = 2_048
"""What a slice takes once it is read, and what a waiting batch is measured in."""

_LABELS_A_ROW = 8

MOST_TOLD = 100
"""Slices that a sender is told of as refused, a batch; all of them wait in the quarantine, with their reasons."""

_MOST_REASONS = 5
_MOST_REASON = 300


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch for the store, and what its sender is told of it; None where all is well."""

    batch: AcceptedBatch
    reject: stream_pb2.Reject | None


def batch_sha256(message: stream_pb2.Batch) -> bytes:
    """What a batch is known by: the hash of its message in protobuf's deterministic form."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def rows_of(message: stream_pb2.Batch) -> int:
    """
    The room that *message* takes once it is read, in rows: its slices and facts, and itself.

    Its bytes count twice, as it is kept beside what was read of it; and all of it is set aside where nothing can be.
    """
    labels = sum(len(pod.labels) + len(pod.annotations) for pod in message.workloads)
    entries = len(message.table.slices) + len(message.workloads) + len(message.gpus) + labels // _LABELS_A_ROW
    return 1 + entries + 2 * message.ByteSize() // ROW_BYTES


def take_batch(message: stream_pb2.Batch, greeting: Greeting, now_ns: int) -> tuple[Taken, Checked | None]:
    """
    *message* as the store keeps it, with what the checks found; None where it is no table of slices.

    One of which only a part can be read is kept twice: that part as slices, and the whole message as malformed.

    Raises:
        Reject: It has no sequence number; there is nothing that an acknowledgement could name.
    """
    if not 0 < message.sequence_number <= MAX_SEQUENCE_NUMBER:
        raise Reject(f"a batch has the sequence number {message.sequence_number}: numbers begin at 1")
    encoded = message.SerializeToString(deterministic=True)
    try:
        content, unreadable = read_batch(message, greeting.agent.node)
    except Reject as trouble:
        return _malformed(message, encoded, greeting, now_ns, str(trouble)), None
    checked = check_slices(content.slices, greeting.agent.node, greeting.window_ns, now_ns)
    if unreadable:
        # Sums over a GPU say nothing where one of its slices can not be read.
        own = Counter({"slice": checked.breaches["slice"]})
        checked = replace(checked, breaches=+own)
    closed_through_ns = content.closed_through_ns
    if closed_through_ns > now_ns + FUTURE_NS:
        # A clock that is ahead closes no windows that have not begun.
        closed_through_ns = now_ns
    batch = AcceptedBatch(
        agent=greeting.agent,
        boot_id=greeting.boot_id,
        sequence_number=message.sequence_number,
        sha256=hashlib.sha256(encoded).digest(),
        window_ns=greeting.window_ns,
        closed_through_ns=closed_through_ns,
        received_at_ns=now_ns,
        slices=checked.good,
        refused=tuple(refused for _, refused in checked.refused),
        workloads=content.workloads,
        gpus=content.gpus,
        price_book_version=content.price_book_version,
        malformed=Malformed(encoded, unreadable_words(unreadable)) if unreadable else None,
        message=encoded,
    )
    return Taken(batch, _reject(message, checked, unreadable)), checked


def count_batch(taken: Taken, checked: Checked | None, counts: Counts, log: FilteringBoundLogger) -> None:
    """Count what *taken* brought, and log what is wrong with it: once a batch."""
    batch = taken.batch
    counts.batches += 1
    counts.slices_refused += len(batch.refused)
    about = log.bind(
        cluster=batch.agent.node.cluster, node=batch.agent.node.node, sequence_number=batch.sequence_number
    )
    if batch.malformed is not None:
        counts.batches_malformed += 1
        about.error("batch_malformed", reason=batch.malformed.reason)
    if batch.refused:
        reasons = sorted({refused.reason for refused in batch.refused})
        about.warning("slices_refused", slices=len(batch.refused), reasons=reasons[:5])
    if checked is not None and checked.breaches:
        counts.law_breaches += checked.breaches
        about.error("law_breached", laws=dict(checked.breaches))


def read_batch(message: stream_pb2.Batch, node: NodeId) -> tuple[BatchContent, tuple[Unreadable, ...]]:
    """
    What can be read of *message* from *node*, and what can not.

    Raises:
        Reject: It passes a bound, or nothing of it can be read.
    """
    # Before reading, as a slice takes a hundred times the memory of its message.
    if len(message.table.slices) > MAX_SLICES:
        raise Reject(f"{len(message.table.slices)} slices in one batch; {MAX_SLICES} is the most")
    if len(message.workloads) + len(message.gpus) > MAX_FACTS:
        raise Reject(
            f"{len(message.workloads) + len(message.gpus)} facts in one batch; {MAX_FACTS} is the most"
        )
    _bound_table(message.table)
    return readable_part(message, node)


def _bound_table(table: ledger_pb2.Table) -> None:
    """Two bytes make an entry of a list, and one makes a flag of half a kilobyte, so their counts are bounded too."""
    for what, most in (
        ("devices", MAX_SLICES),
        ("holders", MAX_SLICES),
        ("prices", MAX_SLICES),
        ("names", MAX_NAMES),
    ):
        if len(getattr(table, what)) > most:
            raise Reject(f"{len(getattr(table, what))} {what} in one batch; {most} is the most")
    if (flags := max((len(row.flags) for row in table.slices), default=0)) > MAX_FLAGS:
        raise Reject(f"{flags} flags of one slice; {MAX_FLAGS} is the most")


def unreadable_words(unreadable: Sequence[Unreadable]) -> str:
    """Why the rest of a batch waits, in a line of bounded length."""
    words = [each.reason[:_MOST_REASON] for each in unreadable[:_MOST_REASONS]]
    more = len(unreadable) - len(words)
    return "; ".join([*words, f"and {more} more"] if more else words)


def _reject(
    message: stream_pb2.Batch, checked: Checked, unreadable: Sequence[Unreadable]
) -> stream_pb2.Reject | None:
    # The places that the checks name are those among the slices that could be read.
    bad = {each.slice for each in unreadable}
    places = [place for place in range(len(message.table.slices)) if place not in bad]
    refused = [(places[place], refused.reason) for place, refused in checked.refused]
    refused += [(each.slice or 0, each.reason) for each in unreadable]
    if not refused:
        return None
    told = [
        stream_pb2.Reject.Refused(slice=place, reason=reason) for place, reason in sorted(refused)[:MOST_TOLD]
    ]
    return stream_pb2.Reject(sequence_number=message.sequence_number, refused=told)


def _malformed(
    message: stream_pb2.Batch, encoded: bytes, greeting: Greeting, now_ns: int, reason: str
) -> Taken:
    batch = AcceptedBatch(
        agent=greeting.agent,
        boot_id=greeting.boot_id,
        sequence_number=message.sequence_number,
        sha256=hashlib.sha256(encoded).digest(),
        window_ns=greeting.window_ns,
        # What it says is not to be believed, so its window stays open in the reports.
        closed_through_ns=0,
        received_at_ns=now_ns,
        slices=(),
        malformed=Malformed(encoded, reason),
        message=encoded,
    )
    places = range(min(len(message.table.slices), MOST_TOLD)) or range(1)
    refused = [stream_pb2.Reject.Refused(slice=place, reason=reason) for place in places]
    return Taken(batch, stream_pb2.Reject(sequence_number=message.sequence_number, refused=refused))
