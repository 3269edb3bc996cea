"""Where the admin socket lies: a path that may be longer than a socket's name can be."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "admin.sock"
_MOST_BYTES = 107
"""What a socket's name may have on Linux."""


@contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """A name for *path* that a socket takes, as long as this lasts."""
    if len(os.fsencode(path)) <= _MOST_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def connect(path: Path, timeout_s: float) -> socket.socket:
    """
    A connection to who serves at *path*.

    Raises:
        OSError: Nobody does, or this user may not ask.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(timeout_s)
        with socket_name(path) as name:
            line.connect(name)
    except BaseException:
        line.close()
        raise
    return line
