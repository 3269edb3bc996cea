"""What every page knows beside its report: the request's state, and how far the books are closed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from urllib.parse import urlencode

from gpucost.identity import NodeId

from gpucost_aggregator.reports.completeness import Completeness
from gpucost_aggregator.reports.names import Names
from gpucost_aggregator.reports.period import Period, Record

State = Mapping[str, str]
"""What of the URL a page keeps in its links: window, cluster, namespace, tz, theme; a list has commas."""

MOST_EXPORTED = 10_000
"""As many rows as the API gives at once."""

STATE_PARAMETERS = ("window", "cluster", "namespace", "tz", "theme")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    *names* has all clusters that there are; *known* and *period* are of those asked for.

    *record* is looked up where the period has nothing to show. *doubled* are nodes with two agents now.
    """

    path: str
    state: State
    period: Period
    known: Completeness
    now_ns: int
    zone: tzinfo
    version: str
    names: Names = field(default_factory=Names)
    record: Record = field(default_factory=Record)
    picked_clusters: tuple[str, ...] = ()
    picked_namespaces: tuple[str, ...] = ()
    counts: Mapping[str, str] = field(default_factory=dict)
    doubled: tuple[NodeId, ...] = ()

    def link(self, path: str, **changes: str) -> str:
        """*path* with the state of this page, but for *changes*; an empty text takes a parameter out."""
        state = {name: changes.get(name, self.state.get(name, "")) for name in STATE_PARAMETERS}
        query = urlencode({name: text for name, text in state.items() if text}, safe=",:/")
        return f"{path}?{query}" if query else path

    def export(self, report: str, kind: str) -> str:
        """Where the same numbers are as CSV or JSON."""
        state = {name: text for name, text in self.state.items() if text and name != "theme"}
        query = urlencode(state | {"format": kind, "limit": str(MOST_EXPORTED)}, safe=",:/")
        return f"/api/v1/reports/{report}?{query}"

    def live(self, nodes: Iterable[str]) -> str:
        """Where it is told what *nodes* look like now; without any, only how fresh that is."""
        state = {name: self.state.get(name, "") for name in ("cluster", "namespace")}
        given = {name: text for name, text in state.items() if text}
        named = ",".join(nodes)
        given |= {"node": named, "limit": str(MOST_EXPORTED)} if named else {"limit": "1"}
        return f"/api/v1/live?{urlencode(given, safe=',:/')}"

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster that was ever heard."""
        return self.names.clusters

    @property
    def has_data(self) -> bool:
        """Whether any window was ever closed."""
        return self.known.complete_through_ns is not None
