"""
Memory, kept from creeping up in a program that runs for months.

glibc keeps for each thread what a window needed for a moment; where the C library is another one, nothing is done.
Python looks for cycles among old objects only once their number has grown by a quarter, and an agent's are the
hundred thousand of its imports.
"""

import ctypes
import gc
import os
import sys
from contextlib import suppress

_M_ARENA_MAX, _ARENAS = -8, 2
"""glibc's name for it, from malloc.h; one arena would let threads wait for each other."""

_SELDOM = 1_000
"""Python's looks through younger objects before one through all: more than there are between two windows."""

_TUNABLES, _NO_THREAD_CACHES = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
"""glibc keeps up to a quarter of a MiB of what each thread gave back for that thread alone: 40 KB a minute here."""


def begin_without_thread_caches() -> None:
    """
    Begin the program again, as the same process, where it keeps such caches: glibc is told at a start only.

    Nothing may be open yet. Where that is not possible, or a GLIBC_TUNABLES says otherwise, the program goes on.
    """
    told = os.environ.get(_TUNABLES, "")
    if "tcache_count" in told or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        return
    os.environ[_TUNABLES] = f"{told}:{_NO_THREAD_CACHES}" if told else _NO_THREAD_CACHES
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this program, as it was begun


def share() -> None:
    """Let all threads take from the same few arenas; to be called before there are any."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """What is there now stays for the life of the program and is not looked through again."""
    gc.collect()
    gc.freeze()
    # The rest is looked through when a window closes; on its own Python would do so each few seconds.
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _SELDOM)


def give_back() -> None:
    """What lies free goes back to the kernel; takes some milliseconds."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
