"""Whether a value is what its type says, all the way down: what a parser made of others' bytes has to be."""

import types
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from fuzz.target import Breach


class HalfACharacter(Breach):
    """A text that no file, socket or database takes."""


def see_typed(value: object, place: str = "", *, may_be_halves: bool = False) -> None:
    """
    See that each field of the dataclass *value* has the type that it declares, and that texts can be written.

    *may_be_halves*: but for halves of characters, which are let pass.

    Raises:
        Breach: One has another, or holds half a character, which no file, socket or database takes.
    """
    for name, declared in _hints(type(value)).items():
        try:
            _see(getattr(value, name), declared, f"{place or type(value).__name__}.{name}")
        except HalfACharacter:
            if not may_be_halves:
                raise


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _see(value: object, declared: Any, place: str) -> None:
    origin, inner = get_origin(declared), get_args(declared)
    if origin in (Union, types.UnionType):
        _see_one_of(value, inner, place)
    elif origin is tuple:
        _see_is(value, tuple, place)
        kinds = inner[:1] * len(value) if inner[-1:] == (Ellipsis,) else inner  # type: ignore[arg-type]
        if len(kinds) != len(value):  # type: ignore[arg-type]
            raise Breach(f"{place} has {len(value)} parts")  # type: ignore[arg-type]
        for number, (part, kind) in enumerate(zip(value, kinds, strict=True)):  # type: ignore[call-overload]
            _see(part, kind, f"{place}[{number}]")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _see_is(value, Mapping, place)
        for key, part in value.items():  # type: ignore[attr-defined]
            _see(key, inner[0], f"a key of {place}")
            _see(part, inner[1], f"{place}[{key!r:.40}]")
    elif isinstance(origin, type) and issubclass(origin, AbstractSet):
        _see_is(value, AbstractSet, place)
        for part in value:  # type: ignore[attr-defined]
            _see(part, inner[0], f"a member of {place}")
    elif isinstance(declared, type):
        _see_plain(value, declared, place)


def _see_one_of(value: object, kinds: tuple[Any, ...], place: str) -> None:
    for kind in kinds:
        try:
            _see(value, kind, place)
        except Breach as trouble:
            last = trouble
        else:
            return
    raise last


def _see_plain(value: object, declared: type, place: str) -> None:
    _see_is(value, declared, place)
    if declared in (int, float) and isinstance(value, bool):
        raise Breach(f"{place} is {value!r}, no number")
    if is_dataclass(declared):
        see_typed(value, place)
    if isinstance(value, str) and not isinstance(value, Enum):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise HalfACharacter(f"{place} holds half a character: {value[:80]!r}") from None


def _see_is(value: object, declared: type, place: str) -> None:
    if not isinstance(value, type(None) if declared is None else declared):
        raise Breach(f"{place} is {value!r:.80}, not {declared.__name__}")
