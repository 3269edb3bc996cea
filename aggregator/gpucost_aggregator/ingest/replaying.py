"""
Whether what waits in the quarantine can be accepted now. Pure.

It is read again with today's code, and held against today's clock.
"""

from dataclasses import dataclass

from gpucost.trouble import Reject
from gpucost.wire import BatchContent, Unreadable, batch_from_bytes

from gpucost_aggregator.ingest.bounds import slice_breaches
from gpucost_aggregator.ingest.intake import read_batch, unreadable_words
from gpucost_aggregator.store.quarantine_rows import Replay, SetAside
from gpucost_aggregator.store.rows import AcceptedBatch, Refused

_LOST = "its message is not there: stop the aggregator, and put the messages.sqlite of a backup into its --data-dir"


@dataclass(frozen=True, slots=True)
class Reread:
    """What today's code makes of a malformed batch; *content* is None where it can read nothing of it."""

    content: BatchContent | None
    unreadable: tuple[Unreadable, ...]

    @property
    def reason(self) -> str:
        """Why it stays; empty if all of it can be read."""
        return unreadable_words(self.unreadable)


def reread(entry: SetAside, message: bytes | None) -> Reread:
    """The batch of *entry*, whose *message* is as it came; None where it is lost."""
    if message is None:
        return Reread(None, (Unreadable(None, _LOST),))
    try:
        content, unreadable = read_batch(batch_from_bytes(message), entry.agent.node)
    except Reject as trouble:
        return Reread(None, (Unreadable(None, str(trouble)),))
    return Reread(content, unreadable)


def replay_slice(entry: SetAside, window_ns: int, now_ns: int) -> Replay:
    """What becomes of the slice *entry* at *now_ns*; *window_ns* is the window of its node."""
    assert entry.row is not None  # noqa: S101  # a slice has one
    broken = slice_breaches(entry.row, entry.agent.node, now_ns)
    if broken:
        return Replay(entry.id, None, "; ".join(breach.words for breach in broken))
    return Replay(entry.id, _batch(entry, window_ns, slices=(entry.row,)))


def replay_batch(entry: SetAside, message: bytes | None, window_ns: int, now_ns: int) -> Replay:
    """What becomes of the batch *entry*: its good slices are kept, its bad ones wait on their own."""
    read = reread(entry, message)
    if read.content is None:
        return Replay(entry.id, None, read.reason)
    good, refused = [], []
    for row in read.content.slices:
        broken = slice_breaches(row, entry.agent.node, now_ns)
        if broken:
            refused.append(Refused(row, "; ".join(breach.words for breach in broken)))
        else:
            good.append(row)
    batch = _batch(
        entry,
        window_ns,
        slices=tuple(good),
        refused=tuple(refused),
        workloads=read.content.workloads,
        gpus=read.content.gpus,
    )
    return Replay(entry.id, batch, read.reason)


def _batch(entry: SetAside, window_ns: int, **content: object) -> AcceptedBatch:
    # Its number and how far it closed the books were kept when it came, and are not looked at again.
    fields = {
        "agent": entry.agent,
        "boot_id": "",
        "sequence_number": entry.sequence_number,
        "sha256": b"",
        "window_ns": window_ns,
        "closed_through_ns": 0,
        "received_at_ns": entry.received_at_ns,
        **content,
    }
    return AcceptedBatch(**fields)  # type: ignore[arg-type]  # named as they are
