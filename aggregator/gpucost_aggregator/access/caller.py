"""Somebody who writes: what they show, and what they may."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpucost.identity import NodeId

from gpucost_aggregator.access.refusal import Refused, Why


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller shows: a bearer token, and the names in its verified certificate. Empty is nothing."""

    token: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who writes, as logs name them, and what they may.

    *clusters* None is all. *node* is the only one they may speak for; empty is any. *may_watch*: they may be a
    cluster's watcher. *until_ns* is when what they showed ends, by the wall clock; None is never.
    """

    name: str
    clusters: frozenset[str] | None
    node: str = ""
    may_watch: bool = True
    until_ns: int | None = None

    def check(self, place: NodeId, *, is_watcher: bool) -> None:
        """
        See that they may write as the agent of *place*, or as the watcher of its cluster.

        Raises:
            Refused: They may not.
        """
        if self.clusters is not None and place.cluster not in self.clusters:
            allowed = ", ".join(sorted(self.clusters)) or "no cluster"
            raise Refused(
                Why.NOT_ALLOWED,
                f"this identity may not write cluster {place.cluster}: give the agent its own cluster's credential",
                f"{self.name} may write {allowed}",
            )
        if is_watcher and not self.may_watch:
            raise Refused(
                Why.NOT_ALLOWED,
                "this identity may not speak for its cluster, only for a node",
                f"{self.name} is no watcher",
            )
        if self.node and not is_watcher and place.node != self.node:
            raise Refused(
                Why.NOT_ALLOWED,
                f"this identity is bound to another node than {place.node}: an agent uses the token of its own pod, "
                "and --node is its node's name",
                f"{self.name} is bound to {self.node}",
            )


ANYBODY = Caller("anybody", None)
"""Who writes where nobody is asked."""

_BEARER = "bearer "


def shown(metadata: Mapping[str, str], peer: Mapping[str, Iterable[bytes]]) -> Shown:
    """What a call brought: its *metadata*, and what TLS verified of its *peer*, by gRPC's names."""
    said = metadata.get("authorization", "")
    token = said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else ""
    names = [
        name.decode("utf-8", "replace")
        for key in ("x509_common_name", "x509_subject_alternative_name")
        for name in peer.get(key, ())
    ]
    return Shown(token, tuple(dict.fromkeys(name for name in names if name)))
