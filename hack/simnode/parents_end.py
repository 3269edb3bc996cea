"""The signal that a process gets when its parent ends: Linux forgets it when the process becomes another user."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SET, _GET = 1, 2
"""PR_SET_PDEATHSIG and PR_GET_PDEATHSIG of prctl(2)."""


@contextmanager
def kept() -> Iterator[None]:
    """What the parent asked for before holds afterwards too; a parent that ended meanwhile ends this process."""
    libc = ctypes.CDLL(None)
    parent, asked = os.getppid(), ctypes.c_int(0)
    libc.prctl(_GET, ctypes.byref(asked))
    yield
    if not asked.value:
        return
    libc.prctl(_SET, ctypes.c_ulong(asked.value))
    if os.getppid() != parent:
        os.kill(os.getpid(), asked.value)
