"""A file that is read again when it changes; while it is wrong, what it said before holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from gpucost.trouble import EXIT_PERMISSION, EXIT_SETTINGS, Reject, Stop
from gpucost.yaml_marks import Block, parse_yaml

T = TypeVar("T")


def read_yaml(flag: str, file: Path, parse: Callable[[Block], T]) -> T:
    """
    What the YAML in *file*, which *flag* named, says.

    Raises:
        Stop: It can not be read (exit code 4 where this user may not, else 2), or says nothing that *parse* takes.
    """
    try:
        return parse(parse_yaml(file.read_text(encoding="utf-8"), str(file)))
    except PermissionError:
        raise Stop(f"{flag} {file}: this user may not read it", EXIT_PERMISSION) from None
    except OSError as trouble:
        raise Stop(f"{flag} {file}: can not be read: {trouble.strerror}", EXIT_SETTINGS) from None
    except UnicodeDecodeError:
        raise Stop(f"{flag} {file}: is not UTF-8 text", EXIT_SETTINGS) from None
    except Reject as trouble:
        raise Stop(str(trouble), EXIT_SETTINGS) from None


class WatchedFile(Generic[T]):
    """
    What *file* says by *parse*, looked at again at each `value`, which is one call of the system where nothing moved.

    *on_refused* gets the reason, once a change, where a new content is wrong.
    """

    def __init__(
        self, flag: str, file: Path, parse: Callable[[Block], T], on_refused: Callable[[str], None]
    ) -> None:
        """
        Raises:
            Stop: As `read_yaml`, for the file as it is now.
        """
        self._flag, self._file, self._parse = flag, file, parse
        self._on_refused = on_refused
        self._seen = self._look()
        self._value = read_yaml(flag, file, parse)

    def value(self) -> T:
        """What it said when it was last right."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._value = read_yaml(self._flag, self._file, self._parse)
            except Stop as trouble:
                self._on_refused(str(trouble))
        return self._value

    def _look(self) -> tuple[int, int, int]:
        # Inode, size and time: a mounted Secret is renewed by renaming a link.
        try:
            at = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (at.st_ino, at.st_size, at.st_mtime_ns)
