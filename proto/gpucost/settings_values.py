"""What the text of a setting means: one parser a kind of value; each says in its ValueError what to write."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|TiB)?")
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address; an empty *host* is every interface, and only listeners may have it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside of this machine can be at the other end."""
        return (
            self.host in {"localhost", "::1"} or re.fullmatch(r"127(\.[0-9]{1,3}){3}", self.host) is not None
        )


def text(value: str) -> str:
    """Any text of at least one character, without such as no message and no database takes."""
    if not value.strip():
        raise ValueError("is empty: write a text")
    return _plain(value)


def words(value: str) -> tuple[str, ...]:
    """Texts with commas between; a list in a file. The empty text is no word at all."""
    return tuple(word for word in (part.strip() for part in _plain(value).split(",")) if word)


def integer(at_least: int | None = None, at_most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers within bounds, both included."""

    def parse(value: str) -> int:
        # int() also takes "1_0" and digits of other scripts, which a typo can produce.
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError(f"{value!r} is not a whole number: write digits only")
        number = int(value)
        if at_least is not None and number < at_least:
            raise ValueError(f"{number} is too small: write {at_least} or more")
        if at_most is not None and number > at_most:
            raise ValueError(f"{number} is too large: write {at_most} or less")
        return number

    return parse


positive = integer(at_least=1)
"""A parser of whole numbers of 1 or more."""


def byte_size(value: str) -> int:
    """Bytes from `512MiB`, `4GiB` or a bare number of bytes."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a size: write for example 512MiB or 4GiB")
    return int(match[1]) * _SIZE_UNITS[match[2] or "B"]


def spelt_bytes(number: int) -> str:
    """*number* of bytes as `byte_size` reads it, in the largest unit that is exact."""
    unit = max(
        (unit for unit, size in _SIZE_UNITS.items() if number % size == 0), key=_SIZE_UNITS.__getitem__
    )
    return f"{number // _SIZE_UNITS[unit]}{unit}"


def boolean(value: str) -> bool:
    """Whether `true` or `false`; a flag of this kind may stand without a value and is true then."""
    word = value.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{value!r} is neither: write true or false")
    return word in _TRUE


def choice(*options: str) -> Callable[[str], str]:
    """A parser of one of *options*."""

    def parse(value: str) -> str:
        if value not in options:
            raise ValueError(f"{value!r} is none of the choices: write {' or '.join(options)}")
        return value

    return parse


def path(value: str) -> Path:
    """A path of a file, folder or socket; nobody looks whether it is there."""
    if not value.strip() or "\0" in value:
        raise ValueError(f"{value!r} is not a path: write for example /etc/gpucost/prices.yaml")
    return Path(value)


def url(value: str) -> str:
    """An http or https address, without a slash at its end."""
    try:
        parts = urlsplit(value)
        good = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{value!r} is not an address: write for example https://127.0.0.1:6443")
    return value.rstrip("/")


def host_port(value: str) -> HostPort:
    """An address to call, as HOST:PORT; an IPv6 host stands in brackets."""
    address = listen_address(value)
    if not address.host:
        raise ValueError(f"{value!r} names no host: write HOST:PORT, for example gpucost-aggregator:9443")
    return address


def listen_address(value: str) -> HostPort:
    """An address to listen on, as HOST:PORT; `:PORT` is every interface, port 0 one that is free."""
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed) or any(sign in host for sign in "/@ "):
        raise ValueError(f"{value!r} is not an address: write HOST:PORT, for example 127.0.0.1:8080")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise ValueError(
            f"{value!r} has no port from 0 to {MAX_PORT}: write HOST:PORT, for example 127.0.0.1:8080"
        )
    return HostPort(host.strip("[]"), int(port))


def _plain(value: str) -> str:
    # What is no UTF-8 in the environment comes as halves of characters; YAML can spell both out.
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ValueError(f"{value!r} holds what is no character: write UTF-8 text")
    return value
