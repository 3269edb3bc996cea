"""What every text, id and index of a message is held against, before anything else sees it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from gpucost.trouble import Reject

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_NAME_BYTES = 512
"""Longer than any Kubernetes name (253) and any label value (63, annotations cut to 256)."""

MAX_LABELS = 64


def bounded_name(text: str, what: str) -> str:
    """*text*, or a Reject that calls it *what* where it is too long."""
    if len(text.encode()) > MAX_NAME_BYTES:
        raise Reject(f"{what} has {len(text.encode())} bytes; {MAX_NAME_BYTES} is the most")
    return text


def uuid_from(raw: bytes, what: str) -> str:
    """The UUID of 16 bytes as text; a Reject where they are not 16."""
    if len(raw) != 16:
        raise Reject(f"{what} has {len(raw)} bytes, not 16")
    return str(UUID(bytes=raw))


def entry_at(values: Sequence[Any], place: int, what: str) -> Any:
    """The entry at *place*; a Reject where there is none, or none that could be read."""
    if place >= len(values):
        raise Reject(f"{what} is number {place} of {len(values)}")
    if isinstance(values[place], Reject):
        raise Reject(f"{what}: {values[place]}")
    return values[place]


def each_or_reject(read: Callable[[Any], Any], messages: Iterable[Any]) -> list[Any]:
    """Each of *messages* as it is read; the Reject where it can not be."""
    found: list[Any] = []
    for message in messages:
        try:
            found.append(read(message))
        except Reject as trouble:
            found.append(trouble)
    return found


def optional(message: Any, name: str) -> Any:
    """The field *name*, None where the message does not have it."""
    return getattr(message, name) if message.HasField(name) else None
