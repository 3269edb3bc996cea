"""Field and label selectors of list and watch requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simnode.kube_store import Manifest

FIELDS: dict[str, frozenset[str]] = {
    "pods": frozenset({"metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"}),
}
FIELDS_OF_EVERY_KIND = frozenset({"metadata.name", "metadata.namespace"})


class BadSelector(ValueError):
    """A selector that a real API server refuses, or one that this server does not know."""


@dataclass(frozen=True)
class Selector:
    terms: tuple[Callable[[Manifest], bool], ...]

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, manifest: Manifest | None) -> bool:
        return manifest is not None and all(term(manifest) for term in self.terms)


def parse(kind: str, field_selector: str, label_selector: str) -> Selector:
    fields = [_field_term(kind, term) for term in field_selector.split(",") if term]
    labels = [_label_term(term.strip()) for term in label_selector.split(",") if term.strip()]
    return Selector(tuple(fields + labels))


def _comparison(term: str) -> tuple[str, bool, str] | None:
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        name, found, value = term.partition(sign)
        if found:
            return name.strip(), equal, value.strip()
    return None


def _field_term(kind: str, term: str) -> Callable[[Manifest], bool]:
    comparison = _comparison(term)
    if comparison is None:
        raise BadSelector(f"invalid selector: '{term}'; can't understand '{term}'")
    name, equal, value = comparison
    if name not in FIELDS.get(kind, FIELDS_OF_EVERY_KIND):
        raise BadSelector(f"field label not supported: {name}")
    path = name.split(".")

    def matches(manifest: Manifest) -> bool:
        found: Any = manifest
        for part in path:
            found = found.get(part, {})
        return ((found or "") == value) is equal

    return matches


def _label_term(term: str) -> Callable[[Manifest], bool]:
    if "(" in term or ")" in term:
        raise BadSelector(f"the simulated API server knows no set-based label selectors: '{term}'")
    comparison = _comparison(term)
    if comparison is None:
        wanted = not term.startswith("!")
        label = term.removeprefix("!")
        return lambda manifest: (label in _labels(manifest)) is wanted
    name, equal, value = comparison
    if equal:
        return lambda manifest: _labels(manifest).get(name) == value
    return lambda manifest: _labels(manifest).get(name) != value


def _labels(manifest: Manifest) -> dict[str, str]:
    labels: dict[str, str] = manifest["metadata"].get("labels", {})
    return labels
