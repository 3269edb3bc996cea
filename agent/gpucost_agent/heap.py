"""
The C library's memory, kept from creeping up in a program that runs for months.

glibc keeps for each thread what a window needed for a moment. Where the C library is another one, nothing is done.
"""

import ctypes
from contextlib import suppress

_M_ARENA_MAX, _ARENAS = -8, 2
"""glibc's name for it, from malloc.h; one arena would let threads wait for each other."""


def share() -> None:
    """Let all threads take from the same few arenas; to be called before there are any."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """What lies free goes back to the kernel; takes a millisecond or two."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
