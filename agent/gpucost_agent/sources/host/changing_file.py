"""A file that others write now and then, parsed again only when it has changed."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

Content = TypeVar("Content")

LARGEST_CHARACTERS = 16 << 20
"""No file that is read here comes near; one that does is none of ours."""


class ChangingFile(Generic[Content]):
    """
    For one thread. *parse* is pure; for what it can not read it raises what wrong data raises, ValueError or the like.

    Whoever writes such files puts a new one in the old one's place, so inode, size and time tell them apart.
    """

    def __init__(self, path: Path, parse: Callable[[str], Content]) -> None:
        self._path = path
        self._parse = parse
        self._stamp: tuple[int, int, int] | None = None
        self._content: Content | None = None

    def read(self) -> Content | None:
        """Its content; None if it is not there, or not what it should be. Raises nothing."""
        if self.changed:
            self._stamp = self._content = None
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self._content = self._parsed()
        return self._content

    @property
    def changed(self) -> bool:
        """Whether it was written since it was last read. One look at its folder entry; raises nothing."""
        return self._look() != self._stamp

    @property
    def written_at_ns(self) -> int | None:
        """When the content that was last read was written, by the host's wall clock; None if there is none."""
        return None if self._stamp is None else self._stamp[0]

    def _look(self) -> tuple[int, int, int] | None:
        try:
            return _stamp(self._path.stat())
        except OSError:
            return None

    def _parsed(self) -> Content | None:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            # Of the file that is open, as another may take its place at any moment.
            self._stamp = _stamp(os.fstat(file.fileno()))
            text = file.read(LARGEST_CHARACTERS + 1)
        return self._parse(text) if len(text) <= LARGEST_CHARACTERS else None


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return (found.st_mtime_ns, found.st_size, found.st_ino)
