"""A command for operators: what it is called, and what it does with what was said."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gpucost.setting import Command, Loaded, Setting

from gpucost_aggregator.admin.client import AdminClient
from gpucost_aggregator.admin.socket_place import FILE_NAME

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: its flags and arguments, where the server is, and where words for people go."""

    loaded: Loaded
    data_dir: Path
    admin_socket: Path | None
    write: Callable[[str], object]

    @property
    def client(self) -> AdminClient:
        """The running server."""
        return AdminClient(self.admin_socket or self.data_dir / FILE_NAME)

    def value(self, setting: Setting[T]) -> T:
        """What was said of a flag or an argument of this command."""
        return self.loaded.value(setting)

    def line(self, text: str = "") -> None:
        """Write *text* and a line's end."""
        self.write(f"{text}\n")


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """*act* does what *command* is for and returns the exit code; it raises Stop where it can not."""

    command: Command
    act: Callable[[Call], int]
