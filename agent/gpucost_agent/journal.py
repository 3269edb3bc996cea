"""
What the books took in since the last closed window, on the node's disk: a killed agent loses the time it is away only.

Files of blocks, one file for each closed window. They are not synced, so a node that loses its power may lose some
seconds of them; a block that is not whole ends what is read.
"""

import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812  # a class, whatever its name
from typing import Any

import msgspec
from gpucost.clock import Instant

from gpucost_agent.readings import (
    Boot,
    ClusterReading,
    ContainerNamed,
    DcgmReading,
    Entry,
    GpuLook,
    GpusSeen,
    HoldingReading,
    Pod,
    PodNamed,
    ProcessIdentity,
)

_MOST_WAITING = 20_000
"""Entries that may wait for a disk that hangs; past it the oldest go, and with them what a kill would lose anyway."""

_BLOCK = Struct("<II")
"""How long a block of packed entries is, and its check sum."""
_ENTRY = Struct("<BI")
"""Of which kind an entry is, and how long."""
_LARGEST_BLOCK = 64 << 20
_NAME = "journal-"


@dataclass(frozen=True, slots=True)
class Beginning:
    """
    What the books began with: the boot, the first look, where they were closed (wall nanoseconds).

    *before* is the checkpoint that they began with, as JSON; None if they had none.
    """

    boot: Boot
    first_look_ns: int
    closed_through_ns: int
    before: str | None


@dataclass(frozen=True, slots=True)
class HeardAgain:
    """The kubelet answered the same again."""

    read_at: Instant


@dataclass(frozen=True, slots=True)
class Story:
    """What a killed agent left: how its books began, and what they took in since, in order."""

    beginning: Beginning
    entries: tuple[Entry, ...]


_KINDS: tuple[type, ...] = (
    Beginning,
    GpusSeen,
    GpuLook,
    DcgmReading,
    HoldingReading,
    HeardAgain,
    ClusterReading,
    PodNamed,
    ContainerNamed,
    Instant,
)
"""By their numbers in the files; new ones are put at the end."""
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


@dataclass(slots=True)
class _Told:
    """What the current file says already."""

    identities: dict[int, ProcessIdentity | None] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    named: set[tuple[str, str, str]] = field(default_factory=set)
    cluster: ClusterReading | None = None
    holding: HoldingReading | None = None


class Journal:
    """
    Writes entries, for any thread. ``note`` never blocks; the others may block on the disk.

    Where the disk fails, nothing is written until the next window, and nobody is stopped.
    """

    def __init__(self, folder: Path, beginning: Beginning) -> None:
        self._folder = folder
        self._beginning = beginning
        self._waiting: deque[Entry] = deque(maxlen=_MOST_WAITING)
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()
        self._told = _Told()
        self._gpus: GpusSeen | None = None
        self._containers: dict[str, ContainerNamed] = {}
        self._files: list[tuple[int, Path]] = []
        """The files that are full, by when they were, the oldest first."""
        self._number = 0
        self._file: int | None = None
        self.trouble = ""
        """Why it is not written; empty if it is."""
        self._is_ours = False
        """Nothing of an agent before lies in the folder."""
        self._begin_file()

    def note(self, entry: Entry) -> None:
        """The books took this in."""
        self._waiting.append(entry)

    def flush(self) -> None:
        """Write what was noted."""
        with self._lock:
            self._flush()

    def closed(self, through_ns: int, now_ns: int) -> None:
        """A window was closed at *now_ns*; what was noted before *through_ns* is not needed any more."""
        with self._lock:
            self._flush()
            if self._file is not None:
                os.close(self._file)
                self._files.append((now_ns, self._path()))
            self._number += 1
            self._begin_file()
            try:
                while self._files and self._files[0][0] < through_ns:
                    self._files[0][1].unlink(missing_ok=True)
                    self._files.pop(0)
            except OSError as error:
                # It goes with the next window; what it tells was closed, and is closed but once.
                self.trouble = str(error)

    def close(self) -> None:
        """The books were closed for good: nothing is left to tell."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            try:
                discard(self._folder)
            except OSError as error:
                self.trouble = str(error)

    def _flush(self) -> None:
        entries: list[bytes] = []
        while self._waiting:
            entries += self._worth_telling(self._waiting.popleft())
        self._write(entries)

    def _begin_file(self) -> None:
        named, self._told = self._told.named, _Told()
        uids = {uid for _, _, uid in named}
        self._containers = {key: each for key, each in self._containers.items() if each.pod_uid in uids}
        try:
            if not self._is_ours:
                discard(self._folder)
                self._is_ours = True
            self._file = os.open(self._path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self.trouble = ""
        except OSError as error:
            self._file, self.trouble = None, str(error)
            return
        state = [self._encoded(self._beginning)]
        if self._gpus is not None:
            state.append(self._encoded(self._gpus))
        self._write([*state, *map(self._encoded, self._containers.values())])

    def _path(self) -> Path:
        return self._folder / f"{_NAME}{self._number:08d}"

    def _write(self, entries: list[bytes]) -> None:
        if self._file is None or not entries:
            return
        # Names of fields and of processes fill most of it: a sixth is left, for a tenth of a millisecond.
        packed = zlib.compress(b"".join(entries), 1)
        data = _BLOCK.pack(len(packed), zlib.crc32(packed)) + packed
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self.trouble = str(error)
            os.close(self._file)
            self._file = None

    def _worth_telling(self, entry: Entry) -> Iterator[bytes]:
        """What has to be written of an entry, as most of them say much again."""
        told = self._told
        match entry:
            case GpuLook(reading, identities):
                known = told.identities
                new = {pid: who for pid, who in identities.items() if pid not in known or known[pid] != who}
                known.update(new)
                yield self._encoded(GpuLook(reading, new))
                return
            case HoldingReading():
                if told.holding is not None and replace(told.holding, read_at=entry.read_at) == entry:
                    yield self._encoded(HeardAgain(entry.read_at))
                    return
                told.holding = entry
            case ClusterReading():
                if entry is told.cluster:
                    return
                told.cluster = entry
                pods = tuple(pod for pod in entry.pods if told.pods.get(pod.uid) is not pod)
                told.pods.update((pod.uid, pod) for pod in pods)
                entry = replace(entry, pods=pods)
            case PodNamed(namespace, pod_name, uid):
                if (namespace, pod_name, uid) in told.named:
                    return
                told.named.add((namespace, pod_name, uid))
            case ContainerNamed():
                self._containers[entry.container_id] = entry
            case GpusSeen():
                self._gpus = entry
        yield self._encoded(entry)

    def _encoded(self, content: Any) -> bytes:
        data = self._encoder.encode(content)
        return _ENTRY.pack(_NUMBERS[type(content)], len(data)) + data


def discard(folder: Path) -> None:
    """Forget what lies in *folder*."""
    for path in folder.glob(f"{_NAME}*"):
        path.unlink(missing_ok=True)


def read_story(folder: Path) -> Story | None:
    """
    What a killed agent left in *folder*; None if it left nothing.

    Raises:
        ValueError: What lies there was written by no agent, or by one that this one does not understand.
        OSError: It can not be read.
    """
    beginning: Beginning | None = None
    entries: list[Entry] = []
    known: dict[int, ProcessIdentity | None] = {}
    holding: HoldingReading | None = None
    for path in sorted(folder.glob(f"{_NAME}*")):
        for content in _understood(path.read_bytes()):
            match content:
                case Beginning():
                    beginning = content
                case HeardAgain(read_at):
                    if holding is not None:
                        entries.append(replace(holding, read_at=read_at))
                case GpuLook(reading, new):
                    known.update(new)
                    entries.append(GpuLook(reading, {pid: known.get(pid) for pid in reading.pids()}))
                case _:
                    if isinstance(content, HoldingReading):
                        holding = content
                    entries.append(content)
    return None if beginning is None else Story(beginning, tuple(entries))


def _understood(data: bytes) -> Iterator[Any]:
    try:
        yield from _contents(data)
    except (StructError, zlib.error, RecursionError) as error:
        raise ValueError(f"no journal of this agent: {error}") from error


def _contents(data: bytes) -> Iterator[Any]:
    decoders: list[msgspec.msgpack.Decoder[Any]] = [msgspec.msgpack.Decoder(kind) for kind in _KINDS]
    for block in _blocks(data):
        place = 0
        while place < len(block):
            number, length = _ENTRY.unpack_from(block, place)
            place += _ENTRY.size + length
            if number >= len(decoders):
                raise ValueError(f"a journal of a newer agent: it has entries of kind {number}")
            try:
                yield decoders[number].decode(block[place - length : place])
            except msgspec.MsgspecError as error:
                raise ValueError(f"no journal of this agent: {error}") from error


def _blocks(data: bytes) -> Iterator[bytes]:
    place = 0
    while place + _BLOCK.size <= len(data):
        length, checksum = _BLOCK.unpack_from(data, place)
        place += _BLOCK.size
        packed = data[place : place + length]
        # One that is not whole was being written when the agent or its node ended.
        if length > _LARGEST_BLOCK or len(packed) < length or zlib.crc32(packed) != checksum:
            return
        yield zlib.decompress(packed)
        place += length
