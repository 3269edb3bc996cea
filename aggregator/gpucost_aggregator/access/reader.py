"""Somebody who reads, and what of it all they may see."""

from dataclasses import dataclass

from gpucost.trouble import Reject


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, as logs name them. Empty *clusters* or *namespaces* are all of them."""

    name: str
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    @property
    def sees_holders_only(self) -> bool:
        """Whether what belongs to no namespace is none of theirs: what is free, unobserved, of the host."""
        return bool(self.namespaces)

    def narrow(
        self, clusters: tuple[str, ...], namespaces: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """
        The filter of a question, which is never wider than what they may see; empty asks for all of that.

        Raises:
            Reject: It names what they may not see, whether that exists or not.
        """
        return _within("cluster", clusters, self.clusters), _within("namespace", namespaces, self.namespaces)


EVERYTHING = Reader("anybody")
"""Who reads where nobody is asked."""


def _within(what: str, asked: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    if not allowed or not asked:
        return asked or allowed
    if outside := [name for name in asked if name not in allowed]:
        raise Reject(f"you may not see {what} {', '.join(outside)}; you may see {', '.join(allowed)}")
    return asked
