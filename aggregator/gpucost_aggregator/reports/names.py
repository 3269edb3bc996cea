"""Names that were asked for: which of them anybody ever reported, and which have never been heard."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_TOLD = 20
"""More names than this are counted, not told."""


@dataclass(frozen=True, slots=True)
class Names:
    """
    Every cluster that has reported, and the names asked for that nobody ever reported.

    *namespaces* are those that have held something; they are looked up only where one asked for may not have.
    """

    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    unheard_clusters: tuple[str, ...] = ()
    unheard_namespaces: tuple[str, ...] = ()

    @property
    def hints(self) -> tuple[str, ...]:
        """What to say beside an answer in which a name holds nothing, because there is none such."""
        said = []
        if self.unheard_clusters:
            have = _told(self.clusters)
            who = " or ".join(self.unheard_clusters)
            said.append(
                f"no cluster named {who} has reported: {have}" if have else "no cluster has reported yet"
            )
        if self.unheard_namespaces:
            have = _told(self.namespaces)
            who = " or ".join(self.unheard_namespaces)
            said.append(f"no namespace named {who} has held a GPU: {have or 'none has yet'}")
        return tuple(said)


def unheard(asked: Sequence[str], heard: Sequence[str]) -> tuple[str, ...]:
    """Those of *asked* that are none of *heard*."""
    known = frozenset(heard)
    return tuple(name for name in asked if name not in known)


def _told(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = [*names[:MOST_TOLD]]
    if len(names) > MOST_TOLD:
        shown.append(f"{len(names) - MOST_TOLD:,} more")
    return f"{', '.join(shown)} {'has' if len(names) == 1 else 'have'}"
