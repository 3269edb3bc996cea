"""Draws that depend on (seed, path, what) only: all who read the same scenario agree on them."""

from __future__ import annotations

import hashlib
import random
import uuid


def digest(seed: int, path: str, what: str) -> bytes:
    """32 bytes that are always the same for the same three inputs."""
    return hashlib.sha256(f"{seed}\0{path}\0{what}".encode()).digest()


def integer(seed: int, path: str, what: str, below: int) -> int:
    """An integer from 0 to below - 1."""
    return int.from_bytes(digest(seed, path, what)[:16], "big") % below


def lower_uuid(seed: int, path: str, what: str) -> str:
    """A random (version 4) UUID in lower case."""
    return str(uuid.UUID(bytes=digest(seed, path, what)[:16], version=4))


def hexadecimal(seed: int, path: str, what: str) -> str:
    """64 hexadecimal digits."""
    return digest(seed, path, what).hex()


def stream(seed: int, path: str, what: str) -> random.Random:
    """A stream of numbers; only random() and what Python promises to keep stable is to be used of it."""
    return random.Random(int.from_bytes(digest(seed, path, what), "big"))
