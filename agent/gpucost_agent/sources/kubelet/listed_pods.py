"""
The kubelet's list, parsed pod by pod: pure.

A busy node has hundreds of pods, the list comes each second, in any order, and says of nearly all of them what it
said before. So the answer is cut into the messages of its pods, and only those that are new are parsed.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Parsed = TypeVar("Parsed")

_PODS = 0x0A
"""The tag of `repeated PodResources pod_resources = 1`."""

_LONGEST_VARINT_BITS = 63


class ListedPods(Generic[Parsed]):
    """Remembers what the pods of the last list were parsed to; *parse* takes the message of one pod."""

    def __init__(self, parse: Callable[[bytes], tuple[Parsed, ...]]) -> None:
        self._parse = parse
        self._known: dict[bytes, tuple[Parsed, ...]] = {}
        self._said: tuple[Parsed, ...] = ()

    def read(self, answer: bytes) -> tuple[Parsed, ...]:
        """
        What all pods are parsed to; the same object while the list says the same, in whatever order.

        Raises ValueError if it has something beside pods.
        """
        known, listed = self._known, list(messages(answer))
        if len(listed) != len(known) or not all(message in known for message in listed):
            self._known = {
                message: known[message] if message in known else self._parse(message) for message in listed
            }
            self._said = tuple(parsed for message in listed for parsed in self._known[message])
        return self._said


def messages(answer: bytes) -> Iterator[bytes]:
    """The messages of the pods in an answer. Raises ValueError if it is cut off, or has something beside pods."""
    at, end = 0, len(answer)
    while at < end:
        if answer[at] != _PODS:
            raise ValueError(f"a field of the tag {answer[at]} beside the pods")
        at, length = _length(answer, at + 1)
        if at + length > end:
            raise ValueError("the answer is cut off")
        yield answer[at : at + length]
        at += length


def _length(answer: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = shift = 0
    while at < len(answer):
        byte = answer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, value
        shift += 7
        if shift > _LONGEST_VARINT_BITS:
            raise ValueError("a length that protobuf does not write")
    raise ValueError("the answer is cut off")
