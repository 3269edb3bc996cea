"""
YAML with positions: every key and value knows its file, line and column.

Scalars stay the text that somebody wrote, and who reads them decides what they mean:
a price of 4.20 never becomes a float, and a cluster called `no` never becomes False.
Aliases, tags, several documents and repeated keys are refused.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from gpucost.suggestion import did_you_mean
from gpucost.trouble import Reject

if TYPE_CHECKING:
    from yaml.error import Mark as YamlMark
    from yaml.events import Event, ScalarEvent

MAX_CHARACTERS = 1 << 20
"""Of one file: ten thousand rules fit, a mistaken core dump does not."""

MAX_DEPTH = 20
"""Nested levels; the deepest of our files has four."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, both counted from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def reject(self, message: str) -> Reject:
        """The trouble *message* at this place."""
        return Reject(f"{self}: {message}")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as written, without its quotes. *is_null* tells an absent value from an empty text in quotes."""

    mark: Mark
    text: str
    is_null: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Values in their order."""

    mark: Mark
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place, and its value."""

    key_mark: Mark
    value: "Node"


@dataclass(frozen=True, slots=True)
class Block:
    """Keys in their order, each once."""

    mark: Mark
    entries: Mapping[str, Entry]

    def refuse_unknown(self, known: Collection[str], where: str) -> None:
        """
        See that every key is one of *known*; *where* names the block for people.

        Raises:
            Reject: One is not; the message names its place and the key that was probably meant.
        """
        for key, entry in self.entries.items():
            if key not in known:
                raise entry.key_mark.reject(f"unknown key {key!r} in {where}{did_you_mean(key, known)}")

    def get(self, key: str) -> "Node | None":
        """The value of *key*; None where it is not there or null."""
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.is_null):
            return None
        return entry.value


Node: TypeAlias = Scalar | Listing | Block


def as_text(node: Node, what: str) -> str:
    """
    The text of *node*.

    Raises:
        Reject: It is empty, a list or a block. *what* names the value for people.
    """
    if not isinstance(node, Scalar):
        raise node.mark.reject(f"{what} is {_kind(node)}: write one value")
    if not node.text:
        raise node.mark.reject(f"{what} is empty: write a value, or leave the key out")
    return node.text


def as_block(node: Node, what: str) -> Block:
    """
    *node* as a block of keys.

    Raises:
        Reject: It is something else. *what* names the value for people.
    """
    if not isinstance(node, Block):
        raise node.mark.reject(f"{what} is {_kind(node)}: write a block of `key: value`")
    return node


def as_listing(node: Node, what: str) -> Listing:
    """
    *node* as a list.

    Raises:
        Reject: It is something else. *what* names the value for people.
    """
    if not isinstance(node, Listing):
        raise node.mark.reject(f"{what} is {_kind(node)}: write a list, each item after `- `")
    return node


def parse_yaml(text: str, file_name: str) -> Block:
    """
    The keys of the one document in *text*; an empty one has none. *file_name* stands in every message.

    Raises:
        Reject: Not YAML, or of a kind that is refused here; the message begins with FILE:LINE:COLUMN.
    """
    start = Mark(file_name, 1, 1)
    if len(text) > MAX_CHARACTERS:
        raise start.reject(f"{len(text)} characters are too many: at most {MAX_CHARACTERS}")
    # Most runs have no file, and PyYAML is 2 MiB of memory: imported where there is one.
    import yaml  # noqa: PLC0415

    try:
        node = _document(_Events(yaml.parse(text, Loader=yaml.SafeLoader), file_name), start)
    except yaml.MarkedYAMLError as trouble:
        at = trouble.problem_mark or trouble.context_mark
        mark = Mark(file_name, at.line + 1, at.column + 1) if at else start
        said = ", ".join(part for part in (trouble.context, trouble.problem) if part)
        raise mark.reject(f"this is not YAML: {said}") from None
    except yaml.reader.ReaderError as trouble:
        before = text[: trouble.position]
        mark = Mark(file_name, before.count("\n") + 1, trouble.position - before.rfind("\n"))
        raise mark.reject("this is not YAML: a character that no text has") from None
    except (ValueError, OverflowError):
        # PyYAML's own: an escape such as "\U00110000" names no character, a directive has thousands of digits.
        raise start.reject("this is not YAML: an escape or a directive with a number that is none") from None
    if isinstance(node, Scalar) and node.is_null:
        return Block(start, {})
    return as_block(node, "the file")


class _Events:
    """PyYAML's events, one at a time, by the name of their class."""

    def __init__(self, events: Iterator["Event"], file_name: str) -> None:
        self._events = events
        self._file_name = file_name
        self.event: Event = next(events)

    def advance(self) -> None:
        self.event = next(self._events)

    def take(self) -> "Event":
        event = self.event
        self.advance()
        return event

    @property
    def kind(self) -> str:
        return type(self.event).__name__.removesuffix("Event")

    @property
    def mark(self) -> Mark:
        at = cast("YamlMark", self.event.start_mark)
        return Mark(self._file_name, at.line + 1, at.column + 1)


def _document(events: _Events, start: Mark) -> Node:
    events.advance()
    if events.kind == "StreamEnd":
        return Scalar(start, "", is_null=True)
    events.advance()
    node = _node(events, 0)
    events.advance()
    if events.kind != "StreamEnd":
        raise events.mark.reject("a second document begins here: keep one per file")
    return node


def _node(events: _Events, depth: int) -> Node:
    mark, kind = events.mark, events.kind
    if kind == "Alias":
        raise mark.reject("aliases are not supported: write the value out")
    if getattr(events.event, "tag", None) not in {None, "!"}:
        raise mark.reject("tags are not supported: write the value without its `!`")
    if depth > MAX_DEPTH:
        raise mark.reject(f"nested deeper than {MAX_DEPTH} levels")
    if kind == "Scalar":
        event = cast("ScalarEvent", events.take())
        plain = bool(event.implicit[0])
        null = plain and event.value in _NULLS
        if any("\ud800" <= sign <= "\udfff" for sign in event.value):
            raise mark.reject("half a character: write it out, or as one escape")
        return Scalar(mark, "" if null else event.value, null)
    if kind == "SequenceStart":
        return _listing(events, depth)
    return _block(events, depth)


def _listing(events: _Events, depth: int) -> Listing:
    mark = events.mark
    events.advance()
    items = []
    while events.kind != "SequenceEnd":
        items.append(_node(events, depth + 1))
    events.advance()
    return Listing(mark, tuple(items))


def _block(events: _Events, depth: int) -> Block:
    mark = events.mark
    events.advance()
    entries: dict[str, Entry] = {}
    while events.kind != "MappingEnd":
        key = _node(events, depth + 1)
        if not isinstance(key, Scalar) or not key.text:
            raise key.mark.reject("a key has to be one word")
        if key.text in entries:
            first = entries[key.text].key_mark
            raise key.mark.reject(f"the key {key.text!r} is there already, in line {first.line}: keep one")
        entries[key.text] = Entry(key.mark, _node(events, depth + 1))
    events.advance()
    return Block(mark, entries)


def _kind(node: Node) -> str:
    if isinstance(node, Listing):
        return "a list"
    if isinstance(node, Block):
        return "a block of keys"
    return "one value" if node.text else "empty"
