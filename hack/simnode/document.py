"""A YAML document whose every value knows its line and column, so that a complaint can name the place."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import yaml

_TAG = "tag:yaml.org,2002:"
_SPANS = {"us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_WHOLE_SPAN = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:us|ms|s|m|h))+)\Z")
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


class ScenarioError(Exception):
    """A scenario that cannot be used; its text is FILE:LINE:COLUMN: what is wrong and what to do."""


class Value:
    """One value of the document, with its place."""

    def __init__(self, node: yaml.Node, file: str) -> None:
        self._node = node
        self._file = file

    def fail(self, message: str) -> NoReturn:
        mark = self._node.start_mark
        raise ScenarioError(f"{self._file}:{mark.line + 1}:{mark.column + 1}: {message}")

    def _tag(self) -> str:
        return str(self._node.tag).removeprefix(_TAG)

    def is_null(self) -> bool:
        return self._tag() == "null"

    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def section(self, what: str, known: Sequence[str]) -> dict[str, Value]:
        """The values of a mapping; a key that is not known is refused."""
        found = self._pairs(what)
        for key, (place, _) in found.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"known keys are {', '.join(known)}"
                place.fail(f"{what} has no key `{key}`; {hint}")
        return {key: value for key, (_, value) in found.items()}

    def _pairs(self, what: str) -> dict[str, tuple[Value, Value]]:
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"{what} must be a mapping of keys to values")
        found: dict[str, tuple[Value, Value]] = {}
        for key_node, value_node in self._node.value:
            place = Value(key_node, self._file)
            # YAML takes the plain word `off` for a truth value; as a key it is a word
            plain = place._tag() == "bool" and isinstance(key_node, yaml.ScalarNode)
            key = key_node.value if plain else place.text("a key")
            if key in found:
                place.fail(f"the key `{key}` stands here twice; keep one")
            found[key] = (place, Value(value_node, self._file))
        return found

    def pairs(self, what: str) -> dict[str, Value]:
        """The values of a mapping with any keys."""
        return {key: value for key, (_, value) in self._pairs(what).items()}

    def items(self, what: str, at_least: int = 0) -> list[Value]:
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail(f"{what} must be a list")
        if len(self._node.value) < at_least:
            self.fail(f"{what} must have at least one entry")
        return [Value(node, self._file) for node in self._node.value]

    def _scalar(self) -> object:
        if not isinstance(self._node, yaml.ScalarNode):
            return None
        try:
            return yaml.constructor.SafeConstructor().construct_document(self._node)
        except (ValueError, LookupError, AttributeError, OverflowError, yaml.YAMLError):
            # PyYAML trips over a tag that its value does not fit, such as `!!timestamp x`.
            return None

    def text(self, what: str) -> str:
        value = self._scalar()
        if not isinstance(value, str) or not value:
            self.fail(f"{what} must be text; quote it if it looks like a number, a date or a truth value")
        return value

    def text_map(self, what: str) -> Mapping[str, str]:
        pairs = self._pairs(what).items()
        return MappingProxyType({k: v._maybe_empty(f"the value of `{k}` in {what}") for k, (_, v) in pairs})

    def _maybe_empty(self, what: str) -> str:
        return "" if self._scalar() == "" else self.text(what)

    def name(self, what: str) -> str:
        value = self.text(what)
        if len(value) > 253 or not _NAME.match(value):
            self.fail(f"{what} must be a Kubernetes name (a-z, 0-9, - and . inside), not {value!r}")
        return value

    def matching(self, what: str, pattern: str, example: str) -> str:
        value = self.text(what)
        if not re.fullmatch(pattern, value):
            self.fail(f"{what} must look like {example}, not {value!r}")
        return value

    def choice(self, what: str, options: Sequence[str]) -> str:
        value = self.text(what)
        if value not in options:
            self.fail(f"{what} must be one of {', '.join(options)}, not {value!r}")
        return value

    def boolean(self, what: str) -> bool:
        value = self._scalar()
        if not isinstance(value, bool):
            self.fail(f"{what} must be true or false")
        return value

    def integer(self, what: str, least: int, most: int | None = None) -> int:
        value = self._scalar()
        upper = "" if most is None else f" and at most {most}"
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(f"{what} must be an integer of at least {least}{upper}")
        if value < least or (most is not None and value > most):
            self.fail(f"{what} must be at least {least}{upper}, not {value}")
        return value

    def number(self, what: str, least: float, most: float | None = None, above: bool = False) -> Fraction:
        """A finite number; with `above` it must be more than least."""
        value = self._scalar()
        bounds = f"{'more than' if above else 'at least'} {least:g}" + (
            "" if most is None else f" and at most {most:g}"
        )
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{what} must be a number, {bounds}")
        outside = not math.isfinite(value) or value < least
        if outside or (above and value <= least) or (most is not None and value > most):
            self.fail(f"{what} must be {bounds}, not {value}")
        return Fraction(str(value))

    def milliseconds(self, what: str, above: bool = True) -> int:
        """A number of milliseconds, as nanoseconds."""
        return int(self.number(what, 0, 86_400_000, above=above) * 10**6)

    def offset(self, what: str) -> int:
        """A duration with units, or a bare number of seconds, as nanoseconds; it may be negative."""
        value = self._scalar()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**9:
            return int(Fraction(str(value)) * 10**9)
        whole = _WHOLE_SPAN.match(value) if isinstance(value, str) else None
        if not whole:
            self.fail(f"{what} must be a time such as 90s, 1m30s, 250ms or a number of seconds")
        total = sum(Fraction(n) * _SPANS[unit] for n, unit in _SPAN.findall(whole.group(2)))
        return int(-total if whole.group(1) else total)


def read(file: str | Path) -> Value:
    """The document's root."""
    name = str(file)
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError(f"{name}:1:1: the scenario cannot be read: {reason}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ScenarioError(f"{name}:{place}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # PyYAML raises the last three for characters past Unicode, endless numbers and endless nesting.
        raise ScenarioError(f"{name}:1:1: not YAML: {' '.join(str(error).split())}") from error
    if root is None:
        raise ScenarioError(f"{name}:1:1: the scenario is empty; it needs `name` and `clusters`")
    return Value(root, name)
