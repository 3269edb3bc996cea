"""From a batch's message to what the store keeps: read, checked, the bad set apart. Pure but for its counts."""

import hashlib
from dataclasses import dataclass

from gpucost.trouble import Reject
from gpucost.v1 import stream_pb2
from gpucost.wire import BatchContent, batch_from_message
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.ingest.checks import FUTURE_NS, MAX_SLICES, Checked, check_slices
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.ingest.greeting import Greeting
from gpucost_aggregator.store.rows import AcceptedBatch, Malformed

MAX_FACTS = 10_000
"""Pods and GPUs that one batch may tell of: far more than a node has."""

MAX_SEQUENCE_NUMBER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch for the store, and what its sender is told of it; None where all is well."""

    batch: AcceptedBatch
    reject: stream_pb2.Reject | None


def batch_sha256(message: stream_pb2.Batch) -> bytes:
    """What a batch is known by: the hash of its message in protobuf's deterministic form."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def take_batch(message: stream_pb2.Batch, greeting: Greeting, now_ns: int) -> tuple[Taken, Checked | None]:
    """
    *message* as the store keeps it, with what the checks found; None where it is no table of slices.

    Raises:
        Reject: It has no sequence number; there is nothing that an acknowledgement could name.
    """
    if not 0 < message.sequence_number <= MAX_SEQUENCE_NUMBER:
        raise Reject(f"a batch has the sequence number {message.sequence_number}: numbers begin at 1")
    try:
        content = _read(message, greeting)
    except Reject as trouble:
        return _malformed(message, greeting, now_ns, str(trouble)), None
    checked = check_slices(content.slices, greeting.agent.node, greeting.window_ns, now_ns)
    closed_through_ns = content.closed_through_ns
    if closed_through_ns > now_ns + FUTURE_NS:
        # A clock that is ahead closes no windows that have not begun.
        closed_through_ns = now_ns
    batch = AcceptedBatch(
        agent=greeting.agent,
        boot_id=greeting.boot_id,
        sequence_number=message.sequence_number,
        sha256=batch_sha256(message),
        window_ns=greeting.window_ns,
        closed_through_ns=closed_through_ns,
        received_at_ns=now_ns,
        slices=checked.good,
        refused=tuple(refused for _, refused in checked.refused),
        workloads=content.workloads,
        gpus=content.gpus,
        price_book_version=content.price_book_version,
    )
    return Taken(batch, _reject(message, checked)), checked


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


def _read(message: stream_pb2.Batch, greeting: Greeting) -> BatchContent:
    # Before reading, as a slice takes a hundred times the memory of its message.
    if len(message.table.slices) > MAX_SLICES:
        raise Reject(f"{len(message.table.slices)} slices in one batch; {MAX_SLICES} is the most")
    if len(message.workloads) + len(message.gpus) > MAX_FACTS:
        raise Reject(
            f"{len(message.workloads) + len(message.gpus)} facts in one batch; {MAX_FACTS} is the most"
        )
    return batch_from_message(message, greeting.agent.node)


def _reject(message: stream_pb2.Batch, checked: Checked) -> stream_pb2.Reject | None:
    if not checked.refused:
        return None
    refused = [
        stream_pb2.Reject.Refused(slice=place, reason=refused.reason) for place, refused in checked.refused
    ]
    return stream_pb2.Reject(sequence_number=message.sequence_number, refused=refused)


def _malformed(message: stream_pb2.Batch, greeting: Greeting, now_ns: int, reason: str) -> Taken:
    batch = AcceptedBatch(
        agent=greeting.agent,
        boot_id=greeting.boot_id,
        sequence_number=message.sequence_number,
        sha256=batch_sha256(message),
        window_ns=greeting.window_ns,
        # What it says is not to be believed, so its window stays open in the reports.
        closed_through_ns=0,
        received_at_ns=now_ns,
        slices=(),
        malformed=Malformed(message.SerializeToString(deterministic=True), reason),
    )
    places = range(min(len(message.table.slices), MAX_SLICES)) or range(1)
    refused = [stream_pb2.Reject.Refused(slice=place, reason=reason) for place in places]
    return Taken(batch, stream_pb2.Reject(sequence_number=message.sequence_number, refused=refused))
