"""What is fuzzed: a parser with inputs for it and the properties that its answers keep."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st


class Breach(AssertionError):
    """A property that does not hold; its text says which, and of what."""


@dataclass(frozen=True)
class Target:
    """
    One door through which others' bytes come in.

    *covers* are files of the repository whose parsing it tries; a planted bug in one of them is its to find.
    *check* takes one input, and says whether it was accepted (False: refused in the way that the docstring of the
    parser promises). Whatever it raises is a finding: an exception that nobody promised, or a Breach.
    """

    name: str
    covers: tuple[str, ...]
    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes], bool]


def holds(condition: object, words: str) -> None:
    """Raise Breach with *words* unless *condition*."""
    if not condition:
        raise Breach(words)


def text_of(data: bytes) -> str:
    """An input as text; half characters come through, as JSON and the environment can hold them."""
    return data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("utf-8", "replace")


def bytes_of(text: str) -> bytes:
    """The input that text_of reads as *text*."""
    return text.encode("utf-8", "surrogatepass")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True
