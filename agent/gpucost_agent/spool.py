"""
Batches that wait for the aggregator: durable, bounded, the oldest abridged first, every loss counted.

SQLite in WAL mode on the node's disk. A batch and the books' checkpoint after it are one transaction,
so whatever kills the agent, the next one goes on where the last durable batch ended.
"""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from gpucost.trouble import Retry
from gpucost.units import NS_PER_HOUR

from gpucost_agent.spool_disk import SCHEMA_VERSION, Disk, Entry

__all__ = ["SCHEMA_VERSION", "Abridge", "Bounds", "Entry", "Fill", "Position", "Spool"]

Abridge = Callable[[bytes], bytes]
"""A batch's message with what it says of holders left out; the same where there is nothing to leave out."""

_SHORT_PART = 8
"""Abridged batches may take so small a part of the room: a month of a node's is some megabytes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much may lie here. Past a bound the oldest is abridged, and goes where even that is not enough.

    How long batches wait is counted in batches, one a window: a clock that jumps makes none of them old.
    *unwritten_bytes* may lie in memory while the disk fails.
    Acknowledged batches stay for a while, for an aggregator that comes back from a backup.
    """

    waiting_batches: int = 7 * 24 * 60
    waiting_bytes: int = 256 << 20
    unwritten_bytes: int = 16 << 20
    acknowledged_ns: int = 48 * NS_PER_HOUR
    acknowledged_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """Where the spool stands: its epoch, the number of the next batch, the hash of the last one."""

    epoch: str
    next_sequence_number: int
    last_sha256: bytes


@dataclass(frozen=True, slots=True)
class Fill:
    """What lies in the spool, and of how many windows the holders went out of it unsent, ever."""

    waiting_batches: int
    waiting_bytes: int
    lost_windows: int
    on_disk: bool


class Spool:
    """
    Batches in the order of their numbers. For any thread; a call may block on the disk.

    Where the disk fails, batches are kept in memory and written when it works again: measuring never stops.
    """

    def __init__(self, folder: Path, bounds: Bounds, abridge: Abridge = bytes) -> None:
        """
        Open the spool in *folder*, or make one; where its disk fails, in memory until it works.

        Raises:
            Stop: The folder may not be written, another agent uses it, or it is of a newer version.
        """
        self._bounds, self._abridge = bounds, abridge
        self._lock = threading.Lock()
        self._unwritten: list[tuple[Entry, str]] = []
        self._abridged: set[int] = set()
        """Batches in memory that were abridged there."""
        self._disk_works = True
        self.appended = threading.Event()
        self._disk = Disk(folder, bounds.unwritten_bytes)
        self.trouble = self._disk.in_memory
        """Why it began in memory; empty if it did not."""
        facts = self._disk.facts()
        self._epoch = facts["epoch"]
        self._next = int(facts.get("next_sequence_number") or 1)
        self._last_sha256 = bytes.fromhex(facts.get("last_sha256") or "")
        self._lost = int(facts.get("lost_windows") or 0)

    def append(self, encode: Callable[[int], bytes], checkpoint: str, now_ns: int) -> None:
        """Keep one more batch, which *encode* makes for its number, and the checkpoint after it."""
        with self._lock:
            number = self._next
            message = encode(number)
            self._next = number + 1
            self._last_sha256 = hashlib.sha256(message).digest()
            self._unwritten.append((Entry(number, now_ns, message), checkpoint))
            self._write()
            self._bound_unwritten()
            # A disk that fails drops nothing.
            with suppress(Retry):
                if self._disk.in_memory:
                    self._disk.to_disk()
            with suppress(Retry):
                self._bound_waiting()
                self._drop_acknowledged(now_ns)
        self.appended.set()

    def remember(self, checkpoint: str) -> None:
        """Keep a checkpoint without a batch. Raises Retry where the disk fails."""
        with self._lock:
            self._disk.set({"checkpoint": checkpoint})

    def checkpoint(self) -> str | None:
        """The last checkpoint that was kept; None in a new spool."""
        with self._lock:
            return self._disk.facts().get("checkpoint")

    def note(self, name: str, text: str) -> None:
        """Keep what is no part of the books for the next agent; not at all where the disk fails."""
        with self._lock, suppress(Retry):
            self._disk.set({f"note:{name}": text})

    def noted(self, name: str) -> str | None:
        """What was noted last under this name."""
        with self._lock:
            return self._disk.facts().get(f"note:{name}")

    def position(self) -> Position:
        """Where the spool stands."""
        with self._lock:
            return Position(self._epoch, self._next, self._last_sha256)

    def after(self, sequence_number: int, limit: int) -> list[Entry]:
        """At most *limit* batches behind *sequence_number*, acknowledged ones too. Raises Retry."""
        with self._lock:
            found = self._disk.after(sequence_number, limit)
            unwritten = [entry for entry, _ in self._unwritten if entry.sequence_number > sequence_number]
            return (found + unwritten)[:limit]

    def acknowledge(self, sequence_number: int, now_ns: int) -> None:
        """
        Every batch up to *sequence_number* is durable at the aggregator.

        Where the disk fails, the next acknowledgement marks these batches too.
        """
        with self._lock:
            self._unwritten = [pair for pair in self._unwritten if pair[0].sequence_number > sequence_number]
            with suppress(Retry):
                self._disk.acknowledge(sequence_number, now_ns)
                self._drop_acknowledged(now_ns)

    def wrote(self, sequence_number: int, sha256: bytes) -> bool:
        """Whether batch *sequence_number* is one of this spool's, as far as is still known; 0 is none, and is."""
        with self._lock:
            if sequence_number >= self._next:
                return False
            known = [entry for entry, _ in self._unwritten if entry.sequence_number == sequence_number]
            # It may have arrived before it was abridged, and its acknowledgement been lost.
            own = [hashlib.sha256(entry.message).digest() for entry in known] or self._disk.hashes(
                sequence_number
            )
            return not own or not sha256 or sha256 in own

    def begin_epoch(self) -> None:
        """
        Take another name for what lies here, so that the aggregator counts it anew.

        Raises:
            Retry: The disk fails; the name stays.
        """
        epoch = str(uuid4())
        with self._lock:
            self._disk.set({"epoch": epoch})
            self._epoch = epoch

    def fill(self) -> Fill:
        """What lies here now; where the disk can not be read, what lies in memory."""
        with self._lock:
            batches = size = 0
            with suppress(Retry):
                waiting = self._disk.waiting()
                batches, size = waiting.batches, waiting.size
            size += sum(len(entry.message) for entry, _ in self._unwritten)
            on_disk = self._disk_works and not self._disk.in_memory
            return Fill(batches + len(self._unwritten), size, self._lost, on_disk)

    def close(self) -> None:
        """Give the folder back."""
        with self._lock:
            self._disk.close()

    def _write(self) -> None:
        """Write what is not on the disk yet; keep it in memory if that fails."""
        try:
            with self._disk.step():
                for entry, checkpoint in self._unwritten:
                    self._disk.put(entry, hashlib.sha256(entry.message).digest())
                    self._disk.set({"checkpoint": checkpoint})
                self._disk.set(
                    {
                        "next_sequence_number": str(self._next),
                        "last_sha256": self._last_sha256.hex(),
                        "lost_windows": str(self._lost),
                    }
                )
        except Retry:
            self._disk_works = False
            return
        self._unwritten.clear()
        self._abridged.clear()
        self._disk_works = True

    def _bound_unwritten(self) -> None:
        size = sum(len(entry.message) for entry, _ in self._unwritten)
        for entry, checkpoint in list(self._unwritten):
            if size <= self._bounds.unwritten_bytes:
                return
            short = self._shorter(entry)
            if short is not None:
                place = self._unwritten.index((entry, checkpoint))
                self._unwritten[place] = (replace(entry, message=short), checkpoint)
                size -= len(entry.message) - len(short)
                self._lost += 1
                self._abridged.add(entry.sequence_number)
        while size > self._bounds.unwritten_bytes and len(self._unwritten) > 1:
            entry, _ = self._unwritten.pop(0)
            size -= len(entry.message)
            self._lost += entry.sequence_number not in self._abridged
            self._abridged.discard(entry.sequence_number)

    def _bound_waiting(self) -> None:
        disk, waiting, lost = self._disk, self._disk.waiting(), self._lost
        most_batches, most_bytes = self._bounds.waiting_batches, self._bounds.waiting_bytes
        if disk.in_memory:
            most_bytes = min(most_bytes, self._bounds.unwritten_bytes)
        size, short_size = waiting.size, waiting.short_size
        whole = waiting.batches - waiting.short_batches
        if size <= most_bytes and whole <= most_batches:
            return
        # Changed and counted in one step, so that no loss stays uncounted.
        with disk.step():
            while size > most_bytes or whole > most_batches:
                if (entry := disk.oldest(whole=True)) is None:
                    break
                short = self._shorter(entry)
                if short is None:
                    disk.drop(entry.sequence_number)
                else:
                    disk.shorten(entry.sequence_number, short, hashlib.sha256(short).digest())
                    short_size += len(short)
                size -= len(entry.message) - len(short or b"")
                whole, lost = whole - 1, lost + 1
            # What is left of those may take a part of the room only.
            while size > most_bytes or short_size * _SHORT_PART > most_bytes:
                if (entry := disk.oldest(whole=False)) is None:
                    break
                disk.drop(entry.sequence_number)
                size, short_size = size - len(entry.message), short_size - len(entry.message)
            disk.set({"lost_windows": str(lost)})
        self._lost = lost

    def _shorter(self, entry: Entry) -> bytes | None:
        """Its message abridged; None where that saves nothing."""
        short = self._abridge(entry.message)
        return short if len(short) < len(entry.message) else None

    def _drop_acknowledged(self, now_ns: int) -> None:
        most_bytes = 0 if self._disk.in_memory else self._bounds.acknowledged_bytes
        self._disk.drop_acknowledged(now_ns - self._bounds.acknowledged_ns, most_bytes)
