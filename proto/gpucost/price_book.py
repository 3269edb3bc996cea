"""
The owner's own prices: rules in a YAML file, the first that fits wins.

The format, with an example, is in docs/prices.md; why it is so in docs/adr/0007-price-book.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from gpucost.trouble import EXIT_SETTINGS, Reject, Stop
from gpucost.units import NANODOLLARS_PER_USD, nanodollars_from_usd
from gpucost.window import from_rfc3339
from gpucost.yaml_marks import Block, Mark, Node, as_block, as_listing, as_text, parse_yaml

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
REGION_LABEL = "topology.kubernetes.io/region"
MAX_USD_PER_HOUR = 1_000_000
"""More than any node costs; a price above it has its decimal point in the wrong place."""

MOST_VERSION_BYTES = 512
"""A book's version travels as a name."""

_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,15})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BOOK_KEYS = ("version", "rules")
_MATCH_KEYS = ("cluster", "node_labels", "instance_type", "gpu_model", "region")
_PRICE_KEYS = ("node_usd_per_hour", "gpu_usd_per_hour")
_RULE_KEYS = ("name", "date", "source", "match", *_PRICE_KEYS, "valid_from", "valid_until")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuContext:
    """
    What a price depends on, of one GPU: where it is, what it is, and which GPUs share its node's price.

    *gpu_uuids* are all that were seen on the node since its boot, in any order.
    """

    cluster: str
    node_labels: Mapping[str, str]
    node_annotations: Mapping[str, str]
    gpu_model: str
    gpu_uuids: tuple[str, ...]

    @property
    def instance_type(self) -> str:
        """The kind of machine, by the node's label; empty is not known."""
        return self.node_labels.get(INSTANCE_TYPE_LABEL, "")

    @property
    def region(self) -> str:
        """Where the node is, by its label; empty is not known."""
        return self.node_labels.get(REGION_LABEL, "")


@dataclass(frozen=True, slots=True)
class Match:
    """Which GPUs a rule is about. Every pattern given has to fit; `*` stands for any text, `?` for one character."""

    cluster: str = "*"
    instance_type: str = "*"
    gpu_model: str = "*"
    region: str = "*"
    node_labels: Mapping[str, str] = field(default_factory=dict)

    def fits(self, context: GpuContext) -> bool:
        """Whether the GPU of *context* is one of them. A label that the node does not have fits no pattern."""
        return (
            _fits(self.cluster, context.cluster)
            and _fits(self.instance_type, context.instance_type)
            and _fits(self.gpu_model, context.gpu_model)
            and _fits(self.region, context.region)
            and all(
                label in context.node_labels and _fits(pattern, context.node_labels[label])
                for label, pattern in self.node_labels.items()
            )
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One price: *nanodollars_per_hour* of the whole node, or of one GPU if *is_gpu_price*.

    It holds for windows that start in [*valid_from_ns*, *valid_until_ns*); None is no bound.
    *date* (YYYY-MM-DD) and *source* say where the price comes from.
    """

    name: str
    date: str
    match: Match
    nanodollars_per_hour: int
    is_gpu_price: bool
    source: str = ""
    valid_from_ns: int | None = None
    valid_until_ns: int | None = None

    def holds(self, at_ns: int) -> bool:
        """Whether the rule is valid at *at_ns* (nanoseconds since 1970 UTC)."""
        begun = self.valid_from_ns is None or self.valid_from_ns <= at_ns
        return begun and (self.valid_until_ns is None or at_ns < self.valid_until_ns)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The rules of one file, in their order; *sha256* is that of its text, in hexadecimal digits."""

    version: str = ""
    rules: tuple[Rule, ...] = ()
    sha256: str = ""

    @classmethod
    def parse(cls, text: str, file_name: str) -> "PriceBook":
        """
        The book that *text* writes down. *file_name* stands in messages only.

        Raises:
            Reject: It is not one; the message is FILE:LINE:COLUMN, what is wrong, and what to write.
        """
        block = parse_yaml(text, file_name)
        block.refuse_unknown(_BOOK_KEYS, "a price book")
        version = _parsed(
            _required(block, "version", "a price book", "for example `version: 2026-11`"), "version", _version
        )
        listing = as_listing(
            _required(block, "rules", "a price book", "`rules:` with one item a price"), "rules"
        )
        rules: dict[str, Rule] = {}
        for node in listing.items:
            rule = _rule(as_block(node, "a rule"))
            if rule.name in rules:
                raise node.mark.reject(
                    f"a rule {rule.name!r} is there already: names stand on bills, so keep each once"
                )
            rules[rule.name] = rule
        return cls(version, tuple(rules.values()), hashlib.sha256(text.encode()).hexdigest())

    def first(self, context: GpuContext, at_ns: int) -> Rule | None:
        """The rule for the GPU of *context* in a window that starts at *at_ns*; None if there is none."""
        return next((rule for rule in self.rules if rule.holds(at_ns) and rule.match.fits(context)), None)


def load_price_book(file: Path) -> PriceBook:
    """
    The book in *file*, read now.

    Raises:
        Stop: It can not be read, or is no price book (exit code 2).
    """
    try:
        return PriceBook.parse(file.read_text(encoding="utf-8"), str(file))
    except OSError as trouble:
        raise Stop(f"price book {file}: can not be read: {trouble.strerror}", EXIT_SETTINGS) from None
    except UnicodeDecodeError:
        raise Stop(f"price book {file}: can not be read: it is not UTF-8 text", EXIT_SETTINGS) from None
    except Reject as trouble:
        raise Stop(str(trouble), EXIT_SETTINGS) from None


def price_from_text(text: str) -> int:
    """
    Nano-dollars from an amount of US dollars an hour as people write it.

    Raises:
        ValueError: It is no such amount, finer than a nano-dollar, or more than any node costs.
    """
    if not _AMOUNT.fullmatch(text):
        raise ValueError(
            f"{text!r} is not an amount of US dollars: write digits and a point, for example 4.20"
        )
    nanodollars = nanodollars_from_usd(text)
    if nanodollars > MAX_USD_PER_HOUR * NANODOLLARS_PER_USD:
        raise ValueError(
            f"{text} US dollars an hour are more than {MAX_USD_PER_HOUR}: look at the decimal point"
        )
    return nanodollars


def _fits(pattern: str, text: str) -> bool:
    # Only * and ? are special here; fnmatch would take [ for a set as well.
    return pattern == "*" or fnmatchcase(text, pattern.replace("[", "[[]"))


def _rule(block: Block) -> Rule:
    block.refuse_unknown(_RULE_KEYS, "a rule")
    name = _value(block, "name", "for example `name: lab`", _rule_name)
    where = f"rule {name!r}"
    given = [key for key in _PRICE_KEYS if block.get(key) is not None]
    if len(given) != 1:
        found = "both prices" if given else "no price"
        raise block.mark.reject(f"{where} has {found}: write either node_usd_per_hour or gpu_usd_per_hour")
    valid_from, valid_until = (_optional(block, key, None, _instant) for key in ("valid_from", "valid_until"))
    if valid_from is not None and valid_until is not None and valid_until <= valid_from:
        raise block.entries["valid_until"].value.mark.reject(
            f"{where} ends before it begins: valid_until has to be later than valid_from"
        )
    return Rule(
        name=name,
        date=_value(block, "date", "the day of the price's source, for example `date: 2026-10-01`", _day),
        match=_match(
            _required(block, "match", where, "`match:` with what it is about, `match: {}` for every GPU")
        ),
        nanodollars_per_hour=_value(block, given[0], "a price", price_from_text),
        is_gpu_price=given[0] == "gpu_usd_per_hour",
        source=_optional(block, "source", "", str),
        valid_from_ns=valid_from,
        valid_until_ns=valid_until,
    )


def _match(node: Node) -> Match:
    block = as_block(node, "match")
    block.refuse_unknown(_MATCH_KEYS, "match")
    given = {key: as_text(entry.value, key) for key, entry in block.entries.items() if key != "node_labels"}
    labels = block.entries.get("node_labels")
    patterns = as_block(labels.value, "node_labels").entries if labels else {}
    return Match(
        **given, node_labels={key: as_text(entry.value, f"label {key}") for key, entry in patterns.items()}
    )


def _required(block: Block, key: str, where: str, what: str) -> Node:
    node = block.get(key)
    if node is None:
        mark: Mark = block.entries[key].key_mark if key in block.entries else block.mark
        raise mark.reject(f"{where} has no {key!r}: write {what}")
    return node


def _value(block: Block, key: str, what: str, parse: Callable[[str], T]) -> T:
    return _parsed(_required(block, key, "a rule", what), key, parse)


def _parsed(node: Node, key: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(as_text(node, key))
    except ValueError as trouble:
        raise node.mark.reject(f"{key}: {trouble}") from None


def _optional(block: Block, key: str, otherwise: T, parse: Callable[[str], T]) -> T:
    return otherwise if block.get(key) is None else _value(block, key, "", parse)


def _version(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} names nothing: write for example 2026-11")
    if len(text.encode()) > MOST_VERSION_BYTES:
        raise ValueError(
            f"more than {MOST_VERSION_BYTES} bytes, and it stands in every batch: write a short one"
        )
    return text


def _rule_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} can not stand on a bill: write up to 63 letters, digits, `-`, `_` and `.`"
        )
    return text


def _day(text: str) -> str:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a day: write for example 2026-10-01")


def _instant(text: str) -> int:
    try:
        return from_rfc3339(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time with its zone: write for example 2026-01-01T00:00:00Z"
        ) from None
