"""What waits in the quarantine: how it is named, asked for, and replayed."""

import re
from dataclasses import dataclass

from gpucost.cost_slice import CostSlice
from gpucost.trouble import Reject

from gpucost_aggregator.store.rows import AcceptedBatch, AgentId

_ID = re.compile(r"([sb])([1-9][0-9]{0,17})")


@dataclass(frozen=True, order=True, slots=True)
class QuarantineId:
    """The name of something set aside: a slice, or a whole batch; its number never moves."""

    is_batch: bool
    number: int

    def __str__(self) -> str:
        return f"{'b' if self.is_batch else 's'}{self.number}"

    @classmethod
    def read(cls, text: str) -> "QuarantineId":
        """
        The id that is written *text*.

        Raises:
            Reject: It is none.
        """
        found = _ID.fullmatch(text)
        if found is None:
            raise Reject(
                f"{text!r} is no id of the quarantine: they look like s17 (a slice) and b3 (a batch)"
            )
        return cls(found[1] == "b", int(found[2]))


@dataclass(frozen=True, slots=True)
class SetAside:
    """
    A slice, or a whole batch, that was not accepted; and what became of it.

    *row* is None for a batch, *message_bytes* (the length of its message) is None for a slice.
    *reason* is the latest; *tried_at_ns* is when it was last replayed in vain,
    *replayed_at_ns* when it was accepted after all. Both None: it waits.
    """

    id: QuarantineId
    agent: AgentId
    sequence_number: int
    received_at_ns: int
    reason: str
    row: CostSlice | None = None
    message_bytes: int | None = None
    tried_at_ns: int | None = None
    replayed_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class QuarantineScope:
    """
    Which of it: of these clusters and nodes (empty: all), with *reason* in its reason, set aside in [since, until).

    *replayed*: also what was replayed already.
    """

    clusters: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    reason: str = ""
    since_ns: int = 0
    until_ns: int = (1 << 63) - 1
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """What was set aside, the oldest first, *waiting* of all in the scope; *next_cursor* is None on the last page."""

    entries: tuple[SetAside, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """
    What a replay found: *batch* holds what is accepted now, and what of a batch is refused slice by slice.

    *reason* says why it stays in the quarantine; empty, it leaves.
    """

    id: QuarantineId
    batch: AcceptedBatch | None
    reason: str = ""
