"""What a GPU costs an hour, by the rules of docs/prices.md: annotation, price book, catalogue, nobody knows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from demo.audit.formula import apportion
from demo.audit.scenario import NS, Gpu, Node

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
REGION = "topology.kubernetes.io/region"
OVERRIDE = "gpucost.dev/node-price-usd-per-hour"
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,9}0*)?")
_SPOT = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "oci.oraclecloud.com/oke-is-preemptible": "true",
}


@dataclass(frozen=True, slots=True)
class Quote:
    """Nano-dollars an hour, or None where nobody knows; with source and date as slices state them."""

    nanodollars: int | None
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """A price book's rules and the catalogue's rows, as plain data in their order."""

    rules: Sequence[Mapping[str, Any]]
    catalogue: Sequence[Mapping[str, str]]

    def quote(self, node: Node, gpu: Gpu, at_ns: int) -> Quote:
        """The price of a GPU for the window that starts at *at_ns*."""
        written = node.annotations.get(OVERRIDE)
        if written is not None and _AMOUNT.fullmatch(written):
            return Quote(_part(_nanodollars(written), node, gpu), "override", "")
        for rule in self.rules:
            if _holds(rule, at_ns) and _fits(rule.get("match") or {}, node, gpu):
                date = str(rule["date"])
                if "gpu_usd_per_hour" in rule:
                    return Quote(_nanodollars(rule["gpu_usd_per_hour"]), f"book:{rule['name']}", date)
                amount = _nanodollars(rule["node_usd_per_hour"])
                return Quote(_part(amount, node, gpu), f"book:{rule['name']}", date)
        return self._listed(node, gpu)

    def _listed(self, node: Node, gpu: Gpu) -> Quote:
        if node.labels.get("eks.amazonaws.com/capacityType") == "CAPACITY_BLOCK":
            return Quote(None, "unknown", "")
        is_spot = any(node.labels.get(label) == word for label, word in _SPOT.items())
        column = "usd_per_hour_spot" if is_spot else "usd_per_hour_ondemand"
        region = node.labels.get(REGION, "")
        rows = [
            row
            for row in self.catalogue
            if row["instance_type"] == node.labels.get(INSTANCE_TYPE) and row[column]
        ]
        if not rows:
            return Quote(None, "unknown", "")
        own = [row for row in rows if row["region"].startswith("all") or row["region"] == region != ""]
        best = _newest(own or rows)
        source = "catalogue" if own else "catalogue_other_region"
        return Quote(_part(_nanodollars(best[column]), node, gpu), source, _first_day(best["as_of"]))


def read(book: str | None, catalogue: Path) -> PriceList:
    """The prices of a book's text (None: there is no book) and of the catalogue's file."""
    # Plain text all through: YAML would make dates of dates and floats of amounts.
    rules = yaml.load(book, Loader=yaml.BaseLoader)["rules"] if book is not None else []  # noqa: S506 (text only)
    with catalogue.open(encoding="utf-8", newline="") as lines:
        return PriceList(rules, list(csv.DictReader(lines)))


def refusal(book: str) -> str | None:
    """Why a book's text can not be checked against, as LINE:COLUMN: WORDS; None: it can."""
    try:
        root = yaml.compose(book, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        return _at(error.problem_mark or error.context_mark, f"not YAML: {error.problem}")
    except yaml.YAMLError as error:
        return f"1:1: not YAML: {error}"
    if not isinstance(root, yaml.MappingNode):
        return "1:1: a price book is a mapping with `rules`"
    rules = {key.value: value for key, value in root.value}.get("rules")
    if not isinstance(rules, yaml.SequenceNode):
        return _at(root.start_mark, "a price book has a list of `rules`")
    for rule in rules.value:
        if words := _not_a_rule(rule):
            return _at(rule.start_mark, words)
    return None


def _not_a_rule(rule: yaml.Node) -> str | None:
    if not isinstance(rule, yaml.MappingNode):
        return "a rule is a mapping"
    fields = {key.value: value.value for key, value in rule.value}
    if missing := [key for key in ("name", "date") if not isinstance(fields.get(key), str)]:
        return f"a rule needs `{missing[0]}`"
    amounts = [fields[key] for key in ("gpu_usd_per_hour", "node_usd_per_hour") if key in fields]
    if len(amounts) != 1 or not _AMOUNT.fullmatch(str(amounts[0])):
        return "a rule needs one amount, `gpu_usd_per_hour` or `node_usd_per_hour`, of dollars"
    return None


def _at(mark: yaml.Mark | None, words: str) -> str:
    return f"{mark.line + 1}:{mark.column + 1}: {words}" if mark else f"1:1: {words}"


def _nanodollars(text: str) -> int:
    amount = Fraction(text) * 10**9
    assert amount.denominator == 1, f"{text} is finer than a nano-dollar"
    return int(amount)


def _part(node_nanodollars: int, node: Node, gpu: Gpu) -> int:
    uuids = sorted(each.uuid for each in node.gpus)
    return apportion(node_nanodollars, [1] * len(uuids))[uuids.index(gpu.uuid)]


def _holds(rule: Mapping[str, str], at_ns: int) -> bool:
    begun = "valid_from" not in rule or _instant(rule["valid_from"]) <= at_ns
    return begun and ("valid_until" not in rule or at_ns < _instant(rule["valid_until"]))


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS


def _fits(match: Mapping[str, Any], node: Node, gpu: Gpu) -> bool:
    facts = {
        "cluster": node.cluster,
        "instance_type": node.labels.get(INSTANCE_TYPE, ""),
        "region": node.labels.get(REGION, ""),
        "gpu_model": gpu.model,
    }
    plain = all(_like(str(match[key]), fact) for key, fact in facts.items() if key in match)
    labels: Mapping[str, str] = match.get("node_labels") or {}
    return plain and all(
        label in node.labels and _like(pattern, node.labels[label]) for label, pattern in labels.items()
    )


def _like(pattern: str, text: str) -> bool:
    escaped = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(escaped, text, re.DOTALL) is not None


def _newest(rows: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    # max() keeps the first of equals, and the file's order breaks ties.
    return max(rows, key=lambda row: _first_day(row["as_of"]))


def _first_day(text: str) -> str:
    return {4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text)
