"""Numbers that a shim in another process reads at once: by how much a clock is ahead, and how a disk fails."""

from __future__ import annotations

import errno
import mmap
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

FULL_DISK, READ_ONLY = errno.ENOSPC, errno.EROFS
_MOMENT_S = 10.0
_ERROR, _DELAY, _REFUSED, _SYNCS, _SYNCING = range(5)


@dataclass
class MappedNumbers:
    """Signed 64-bit numbers in a file, in the machine's order."""

    path: Path
    count: int
    _map: mmap.mmap = field(init=False)

    def __post_init__(self) -> None:
        self.path.write_bytes(bytes(8 * self.count))
        # The simulator has become another user by the time it reads.
        self.path.chmod(0o644)
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * self.count)

    def __getitem__(self, place: int) -> int:
        (value,) = struct.unpack_from("=q", self._map, 8 * place)
        return int(value)

    def __setitem__(self, place: int, value: int) -> None:
        struct.pack_into("=q", self._map, 8 * place, value)


class Clock:
    """The wall clock of some processes, by clockshim."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = MappedNumbers(path, 1)

    @property
    def ahead_ns(self) -> int:
        """By how much it is ahead."""
        return self._numbers[0]

    def set(self, ahead_ns: int) -> None:
        """Step it."""
        self._numbers[0] = ahead_ns


class Disk:
    """The disk below a folder as one process sees it, by diskshim."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self._numbers = MappedNumbers(path, 5)
        self._worked_at = float("-inf")

    @property
    def refused(self) -> int:
        """How many calls got an error, ever."""
        return self._numbers[_REFUSED]

    @property
    def syncs(self) -> int:
        """How many syncs began, ever."""
        return self._numbers[_SYNCS]

    @property
    def is_syncing(self) -> bool:
        """Whether the process is inside of a sync now."""
        return self._numbers[_SYNCING] > 0

    @property
    def has_failed(self) -> bool:
        """Whether changes are refused, or were a moment ago."""
        return bool(self._numbers[_ERROR]) or time.monotonic() < self._worked_at + _MOMENT_S

    def fail(self, error: int) -> None:
        """Let changes fail; 0 lets them work again."""
        if self._numbers[_ERROR] and not error:
            self._worked_at = time.monotonic()
        self._numbers[_ERROR] = error

    def slow(self, delay_ns: int) -> None:
        """Let each sync last so long."""
        self._numbers[_DELAY] = delay_ns

    def hold(self) -> None:
        """Let no sync begin, until it is told how long they last."""
        self._numbers[_DELAY] = -1

    def begun(self) -> None:
        """A new process uses it: no sync of the one before is under way."""
        self._numbers[_SYNCING] = 0

    def environ(self) -> dict[str, str]:
        """What the shim reads."""
        return {"DISK_SHIM_FILE": str(self.path), "DISK_SHIM_FOLDER": str(self.folder)}
