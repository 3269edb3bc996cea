"""A small JSON file of the data directory that a store is not whole without: read at the start, replaced as a whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gpucost.durable_file import replace_file
from gpucost.trouble import EXIT_PERMISSION, EXIT_STORE, Reject, Retry, Stop

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """*without_it* says what to do, or what is lost, where it is damaged and no backup has it."""

    path: Path
    without_it: str

    def read(self, facts_of: Callable[[Any], Facts]) -> Facts | None:
        """
        What *facts_of* makes of the JSON in the file, of which it may raise what bad content makes it raise; None
        where there is no file. What is wrong with the folder, its store tells.

        Raises:
            Stop: It is there and can not be read (exit code 4 or 5): going on as if there were none would hide a loss.
        """
        try:
            return facts_of(json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise Stop(f"{self.path}: this user may not read it", EXIT_PERMISSION) from None
        except OSError as trouble:
            raise Stop(f"{self.path}: can not be read: {trouble.strerror}", EXIT_STORE) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Reject) as trouble:
            raise Stop(
                f"{self.path}: is not what an aggregator of this version wrote ({trouble}): restore it from a backup; "
                f"{self.without_it}",
                EXIT_STORE,
            ) from None

    def write(self, body: object) -> None:
        """
        Keep *body* instead of what was kept before; blocks on the disk.

        Raises:
            Retry: The disk does not take it, and what was kept before still is.
        """
        try:
            replace_file(self.path, (json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode())
        except OSError as trouble:
            raise Retry(f"{self.path}: can not be written: {trouble.strerror}") from None
