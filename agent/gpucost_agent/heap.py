"""
Memory, kept from creeping up in a program that runs for months.

glibc keeps for each thread what a window needed for a moment; where the C library is another one, nothing is done.
Python looks for cycles among old objects only once their number has grown by a quarter, and an agent's are the
hundred thousand of its imports.
"""

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX, _ARENAS = -8, 2
"""glibc's name for it, from malloc.h; one arena would let threads wait for each other."""


def share() -> None:
    """Let all threads take from the same few arenas; to be called before there are any."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """What is there now stays for the life of the program and is not looked through again."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """What lies free goes back to the kernel; takes some milliseconds."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
