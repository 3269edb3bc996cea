"""What a request asks for: its parameters, read strictly."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from aiohttp import web
from gpucost.trouble import Reject

from gpucost_aggregator.access.reader import EVERYTHING, Reader
from gpucost_aggregator.api.problems import BadRequest, NotYours
from gpucost_aggregator.reports import basis as policies
from gpucost_aggregator.reports import period as periods
from gpucost_aggregator.reports.basis import MEASURED, Basis

REPORT_PARAMETERS = ("window", "cluster", "namespace", "basis", "tz", "format", "limit")
SLICE_PARAMETERS = ("window", "cluster", "namespace", "tz", "format", "limit", "cursor")
REPEATABLE = frozenset({"cluster", "namespace", "node"})

OVERVIEW = "/"
RANGES = (("Today so far", "today"), ("7 days", "7d"), ("30 days", "30d"))
"""What the overview tells beside the window that it is asked for."""

DEFAULT_WINDOW = "24h"
DEFAULT_LIMIT = 1_000
MOST_ROWS = 10_000
"""The most rows of one answer; a page of slices of this size is a few megabytes."""


Query = Mapping[str, Sequence[str]]
"""Every value of every parameter, in the order in which they were given."""


@dataclass(frozen=True, slots=True)
class Ask:
    """
    The parameters of a request, narrowed to what its *reader* may see. Empty *clusters* or *namespaces* are all.

    *window* is still text: what it means depends on how far the books are closed.
    """

    window: str = DEFAULT_WINDOW
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    basis: Basis = MEASURED
    zone: tzinfo = UTC
    zone_name: str = "UTC"
    limit: int = DEFAULT_LIMIT
    format: str = "json"
    cursor: str | None = None
    reader: Reader = EVERYTHING


def query_of(request: web.Request) -> Query:
    """The parameters of *request*."""
    return {name: request.query.getall(name) for name in request.query}


def read_ask(query: Query, accept: str, known: Collection[str], reader: Reader) -> Ask:
    """
    The ask of *query* by *reader*; the Accept header decides between JSON and CSV where ``format`` does not.

    Raises:
        BadRequest: A parameter is not *known*, given twice, or can not be read.
        NotYours: It names a cluster or namespace that the reader may not see.
    """
    if unknown := sorted(set(query) - set(known)):
        raise BadRequest(
            f"unknown parameter {unknown[0]!r}", f"known here are {', '.join(known)}", parameter=unknown[0]
        )
    for name in set(query) - REPEATABLE:
        if len(query[name]) > 1:
            raise BadRequest(f"{name} is given twice", "give it once", parameter=name)
    given = {name: values[0] for name, values in query.items()}
    zone_name = given.get("tz", "UTC")
    clusters, namespaces = _narrowed(query, reader)
    return Ask(
        window=given.get("window", DEFAULT_WINDOW),
        clusters=clusters,
        namespaces=namespaces,
        basis=_basis(given.get("basis", MEASURED.name)),
        zone=_zone(zone_name),
        zone_name=zone_name,
        limit=_limit(given.get("limit", str(DEFAULT_LIMIT))),
        format=_format(given.get("format"), accept),
        cursor=given.get("cursor"),
        reader=reader,
    )


def _narrowed(query: Query, reader: Reader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        return reader.narrow(words_of(query, "cluster"), words_of(query, "namespace"))
    except Reject as trouble:
        raise NotYours(str(trouble), "leave the filter out to see all that is yours") from None


def words_of(query: Query, name: str) -> tuple[str, ...]:
    """Values of a parameter that may be repeated or hold several with commas, each once, in order."""
    words = [word.strip() for text in query.get(name, ()) for word in text.split(",")]
    return tuple(dict.fromkeys(word for word in words if word))


def _basis(text: str) -> Basis:
    try:
        return policies.parse_basis(text)
    except Reject as trouble:
        raise BadRequest(str(trouble), policies.HINT, parameter="basis") from None


def _zone(text: str) -> tzinfo:
    try:
        return periods.zone_named(text)
    except Reject as trouble:
        raise BadRequest(str(trouble), "the default is UTC", parameter="tz") from None


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_ROWS):
        raise BadRequest(f"{text!r} is not a limit", f"take 1 to {MOST_ROWS}", parameter="limit")
    return int(text)


def _format(text: str | None, accept: str) -> str:
    if text is None:
        return "csv" if "text/csv" in accept and "application/json" not in accept else "json"
    if text not in ("json", "csv"):
        raise BadRequest(f"{text!r} is not a format", "take json or csv", parameter="format")
    return text
