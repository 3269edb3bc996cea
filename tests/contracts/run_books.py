"""What an agent's spool holds after a run: its windows, and sums over them."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpucost.cost_slice import CostSlice
from gpucost.identity import HolderKind, NodeId
from gpucost.v1 import stream_pb2
from gpucost.wire import batch_from_message

from contracts.node_stage import CLUSTER, SECOND


@dataclass(frozen=True)
class Window:
    """A closed window by the agent's wall clock."""

    start_ns: int
    end_ns: int
    rows: tuple[CostSlice, ...]


@dataclass(frozen=True)
class Sums:
    """Over some slices, in seconds of GPU-time."""

    reserved: float = 0.0
    used: float = 0.0
    idle: float = 0.0
    unmeasured: float = 0.0
    watched: float = 0.0

    @property
    def charged(self) -> float:
        return self.used + self.idle + self.unmeasured


class Books:
    """The windows of one node, in their order. *start_ns* is when the simulation began."""

    def __init__(self, node: str, spool: Path, start_ns: int) -> None:
        self.start_ns = start_ns
        database = sqlite3.connect(f"file:{spool}/spool.sqlite?mode=ro", uri=True)
        rows = database.execute("SELECT message FROM batches ORDER BY sequence_number").fetchall()
        database.close()
        batches = [
            batch_from_message(stream_pb2.Batch.FromString(row[0]), NodeId(CLUSTER, node)) for row in rows
        ]
        self.windows = [
            Window(batch.window.window_start_ns, batch.closed_through_ns, batch.slices) for batch in batches
        ]

    def rows(
        self, gpu: str = "", after_s: float = float("-inf"), before_s: float = float("inf")
    ) -> Iterator[CostSlice]:
        """Of the windows that lie between two seconds of the simulation as a whole."""
        for window in self.windows:
            if self.second(window.start_ns) >= after_s and self.second(window.end_ns) <= before_s:
                yield from (row for row in window.rows if gpu in ("", row.key.device.gpu_uuid))

    def second(self, instant_ns: int) -> float:
        return (instant_ns - self.start_ns) / SECOND

    def sums(
        self, gpu: str, after_s: float = float("-inf"), before_s: float = float("inf")
    ) -> dict[str, Sums]:
        """By holder: a pod's name, or the kind, with its reason."""
        found: dict[str, Sums] = {}
        for row in self.rows(gpu, after_s, before_s):
            found[who(row)] = plus(found.get(who(row), Sums()), row)
        return found


def who(row: CostSlice) -> str:
    """A pod's name, or what else pays."""
    holder = row.key.holder
    if holder.kind is HolderKind.CONTAINER:
        return holder.pod or holder.pod_uid
    return f"{holder.kind.value}:{holder.reason}" if holder.reason else holder.kind.value


def plus(sums: Sums, row: CostSlice) -> Sums:
    time = row.time
    return Sums(
        sums.reserved + time.reserved_ns / SECOND,
        sums.used + time.used_ns / SECOND,
        sums.idle + time.idle_ns / SECOND,
        sums.unmeasured + time.unmeasured_ns / SECOND,
        sums.watched + row.evidence.watched_ns / SECOND,
    )
